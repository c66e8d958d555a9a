"""The house's plan: who may import whom, and that the core stays light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import meds_rl

ROOT = Path(meds_rl.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py"))

# Each part of meds_rl and what of meds_rl it may import, beside itself. None: everything.
MAY_IMPORT: dict[str, set[str] | None] = {
    "labels": set(),
    "files": set(),
    "checks": set(),
    "hdbscan": {"labels"},
    "memory": {"checks", "files", "labels", "hdbscan"},
    "shaping": {"checks", "labels", "memory"},
    "fingerprint": {"checks"},
    "rollouts": {
        "files",
        "labels",
        "memory",
        "fingerprint.answer",
        "fingerprint.locate",
        "fingerprint.outcome",
        "fingerprint.text",
        "tasks.base",
    },
    "tasks": {"fingerprint.answer"},
    "evaluation": {"checks", "files", "labels", "memory", "shaping", "rollouts", "tasks", "fingerprint"},
    "report": {"files", "labels", "memory", "shaping", "rollouts", "evaluation", "fingerprint"},
    "engines": {
        "checks",
        "files",
        "labels",
        "memory",
        "fingerprint",
        "shaping",
        "tasks",
        "rollouts",
        "evaluation",
    },
    "train": {"engines", "evaluation", "files", "rollouts", "tasks"},
    "cli": None,
    "__main__": {"cli"},
    "__init__": {"checks", "engines", "memory", "shaping", "hdbscan"},
}
HEAVY = (
    "torch",
    "transformers",
    "trl",
    "datasets",
    "pandas",
    "pyarrow",
    "sklearn",
    "scipy",
    "numba",
    "rich",
    "yaml",
)


def imported(path: Path) -> Iterator[str]:
    """Modules of meds_rl that a file imports anywhere in it, without the leading `meds_rl.`."""
    package = ["meds_rl", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.removeprefix("meds_rl.") for name in names if f"{name}.".startswith("meds_rl."))


def part_of(module: str) -> str:
    """`tasks` of `tasks.base.Task`. What the package itself offers is the core: `shaping`."""
    first = module.split(".")[0]
    return first if first in MAY_IMPORT else "shaping"


def is_allowed(module: str, allowed: set[str]) -> bool:
    if module in ("__version__", "meds_rl.__version__"):
        return True
    return part_of(module) in allowed or any(f"{module}.".startswith(f"{name}.") for name in allowed)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_arrow_runs_back_up(path):
    part = path.relative_to(ROOT).parts[0].removesuffix(".py")
    assert part in MAY_IMPORT, f"say in MAY_IMPORT what meds_rl.{part} may import"
    allowed = MAY_IMPORT[part]
    if allowed is not None:
        wrong = [module for module in imported(path) if not is_allowed(module, {part} | allowed)]
        assert not wrong, f"meds_rl.{part} may import {sorted(allowed) or 'nothing of ours'}, not {wrong}"


def test_the_scan_sees_all_kinds_of_imports(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    for part in ("shaping", "tasks", "cli"):
        (tmp_path / part).mkdir()
    file = tmp_path / "shaping" / "x.py"
    file.write_text(
        "import numpy, meds_rl.cli.train\nfrom meds_rl.tasks import base\nfrom meds_rl import tasks, RewardShaper\n"
        "from ..tasks.base import Task\nfrom .penalty import penalty\ndef f():\n    from meds_rl.cli import main\n"
    )
    modules = sorted(imported(file))
    expected = ["RewardShaper", "cli.main", "cli.train", "shaping.penalty.penalty", "tasks", "tasks.base"]
    assert modules == sorted([*expected, "tasks.base.Task"])
    assert [part_of(module) for module in ("RewardShaper", "tasks.base.Task")] == ["shaping", "tasks"]
    assert is_allowed("fingerprint.answer.AnswerPosition", {"tasks", "fingerprint.answer"})
    assert not is_allowed("tasks.base", {"shaping"})


@pytest.mark.parametrize(
    "module", ["meds_rl", "meds_rl.shaping", "meds_rl.evaluation", "meds_rl.rollouts", "meds_rl.fingerprint"]
)
def test_importing_the_core_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == ""


def test_the_core_works_without_torch_and_what_builds_on_it(tmp_path):
    code = f"""
import sys
class NotInstalled:
    def find_spec(self, name, *_):
        if name.split(".")[0] in {tuple(name for name in HEAVY if name != "numba")!r}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, NotInstalled())
import numpy as np
from meds_rl import ErrorMemory, RewardShaper
shaper = RewardShaper()
for _ in range(3):
    shaped = shaper.shape([0.0, 0.0, 1.0], prompt_ids=[1, 1, 1], features=np.eye(3), is_correct=[False, False, True])
shaper.memory.save({str(tmp_path / "memory")!r})
print(len(ErrorMemory.load({str(tmp_path / "memory")!r})), shaped.rewards.round(4).tolist())
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # Visit 3: two copies of each of two errors are remembered, two clusters of 2: 0.1 ln 3 = 0.1099.
    assert output.stdout.strip() == "6 [-0.1099, -0.1099, 1.0]"


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("from meds_rl.engines.trl import MEDSTrainer", "trl"),
        ("from meds_rl.engines.verl import MEDSTrainer", "verl"),
        ("from meds_rl.cli import main; raise SystemExit(main(['report', '.']))", "report"),
        ("from meds_rl.cli import main; raise SystemExit(main(['eval', 'pocket']))", "eval"),
        ("from meds_rl.cli import main; raise SystemExit(main(['train', 'pocket.yaml']))", "trl"),
    ],
)
def test_the_core_alone_names_the_missing_extra(tmp_path, code, extra):
    hide = f"import sys; sys.modules.update(dict.fromkeys({(*HEAVY, 'verl')!r}))\n"
    done = subprocess.run([sys.executable, "-c", hide + code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode != 0
    assert f'pip install "meds-rl[{extra}]"' in done.stderr


def test_the_report_of_a_dump_works_without_torch(tmp_path):
    pytest.importorskip("pandas")
    row = '{"prompt": "2 + 2?", "completion": "so 5", "reward": 0}'
    (tmp_path / "mine.jsonl").write_text(row + "\n")
    code = f"""
import sys
class NotInstalled:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("torch", "transformers", "trl", "datasets"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, NotInstalled())
from meds_rl.cli import main
raise SystemExit(main(["report", {str(tmp_path)!r}, "--answer-pattern", "so (.*)"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "No prompt was answered wrong twice." in done.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_assert_is_used_for_checks(path):
    asserts = [node.lineno for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Assert)]
    assert not asserts, f"{path} uses assert in lines {asserts}; python -O drops it"


def test_the_library_does_not_know_the_lab():
    assert [path for path in FILES if "meds_lab" in path.read_text(encoding="utf-8")] == []
