"""`make test-matrix`: what works together, each in an environment of its own, and one table of the results.

`nox -s trl-3.12 table` runs one of them. An environment is removed when its tests have passed: with CUDA it takes 6 GB.
"""

import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import nox

PYTHONS = nox.project.python_versions(nox.project.load_toml("pyproject.toml"))
OLDEST, MIDDLE = PYTHONS[:2]
VERSIONS = """
import json, platform
from importlib.metadata import distributions
found = {one.name.lower(): one.version.split("+")[0] for one in distributions()}
shown = {name: found[name] for name in ("numpy", "torch", "transformers", "trl", "verl") if name in found}
print(json.dumps({"python": platform.python_version(), **shown}))
"""
ROWS = Path(".nox", "matrix").absolute()

CORE = ["tests/hdbscan", "tests/memory", "tests/shaping", "tests/test_imports.py"]
REPORT = ["tests/report", "tests/rollouts", "tests/engines/test_reward.py", "tests/test_imports.py"]
TRL = ["tests/engines", "tests/train"]
TRAINER = ["tests/engines/trl/test_trainer.py", "tests/engines/trl/test_recall.py"]
TWO_PROCESSES = ["-m", "long and not slow", "tests/engines/trl/test_distributed.py"]
# Each minor version of TRL once, and the newest with transformers that verl and other packages may ask for.
TRL_WITH = [
    *(("1.10.0", "5.0.0"), ("1.11.0", "5.5.4"), ("1.12.0", "5.10.4"), ("1.13.0", "5.15.1"), ("1.14.2", "5.19.0")),
    *(("1.16.0", "5.0.0"), ("1.16.0", "5.10.4")),
]
# The oldest releases that pyproject.toml admits.
LOWEST = ["--resolution", "lowest-direct"]
TESTS = ["pytest>=8.3", "hypothesis>=6.100", "pillow"]

nox.options.default_venv_backend = "uv"


@nox.session(python=PYTHONS)
def core(session: nox.Session) -> None:
    """The core"""
    check(session, ["hdbscan>=0.8.44", "."], CORE)


@nox.session(python=OLDEST)
def core_oldest(session: nox.Session) -> None:
    """The core, lower bounds"""
    check(session, ["hdbscan>=0.8.44", ".", *LOWEST], CORE)


@nox.session(python=PYTHONS)
def report(session: nox.Session) -> None:
    """`meds report`"""
    check(session, [".[report]"], REPORT)


@nox.session(python=OLDEST)
def report_oldest(session: nox.Session) -> None:
    """`meds report`, lower bounds"""
    check(session, [".[report]", *LOWEST], REPORT)


@nox.session(python=PYTHONS)
def trl(session: nox.Session) -> None:
    """TRL/transformers"""
    check(session, [".[trl,report,peft]"], TRL, TWO_PROCESSES)


@nox.session(python=OLDEST)
def trl_oldest(session: nox.Session) -> None:
    """TRL/transformers, lower bounds:"""
    check(session, [".[trl,report,peft]", *LOWEST], TRAINER, TWO_PROCESSES)


@nox.session(python=MIDDLE)
@nox.parametrize(("version", "transformers"), TRL_WITH, ids=["-".join(pair) for pair in TRL_WITH])
def trl_with(session: nox.Session, version: str, transformers: str) -> None:
    """TRL/transformers, other pairs:"""
    check(session, [".[trl,report,peft]", f"trl=={version}", f"transformers=={transformers}"], TRAINER)


@nox.session(python=MIDDLE)
def verl(session: nox.Session) -> None:
    """verl/transformers"""
    packages = ["--constraint", "constraints-verl.txt", ".[verl-dev]"]
    check(session, packages, ["-p", "no:asyncio", "-m", "verl and not slow", "tests/engines/verl"])


@nox.session(python=False)
def table(session: nox.Session) -> None:
    """Print what `make test-matrix` has found, as a table in Markdown: how many tests passed."""
    listed = json.loads(session.run("nox", "--list", "--json", silent=True, external=True))
    cells: dict[str, dict[str, list[str]]] = {}
    tried: dict[str, dict[str, None]] = {}  # name -> versions, in order
    for one in (one for one in listed if one["python"]):
        row, installed = ROWS / f"{one['session']}.json", shutil.which(f"python{one['python']}")
        found = json.loads(row.read_text()) if row.exists() else {"result": "**not run**" if installed else "no Python"}
        versions = found.get("versions", {})
        words = "/".join(versions[name] for name in ("trl", "verl", "transformers") if name in versions)
        tried.setdefault(one["description"], {}).setdefault(words)
        result = re.sub(r" passed|, \d+ skipped", "", found["result"])
        cells.setdefault(one["description"], {}).setdefault(one["python"], []).append(result)
    print(f"| passed on Python | {' | '.join(PYTHONS)} |\n|---|{'---|' * len(PYTHONS)}")
    for name, results in cells.items():
        label = f"{name} {', '.join(tried[name])}".strip()
        print(f"| {label} | {' | '.join(', '.join(results.get(python, [])) for python in PYTHONS)} |")


def check(session: nox.Session, packages: list[str], *runs: list[str]) -> None:
    """Install and test. The row of the table is written also if one of them fails."""
    row: dict[str, Any] = {"result": "**not installed**"}
    ROWS.mkdir(parents=True, exist_ok=True)
    path = ROWS / f"{session.name}.json"
    try:
        session.install(*TESTS)
        session.install(*packages)
        row |= {"versions": json.loads(session.run("python", "-c", VERSIONS, silent=True)), "result": "**broke off**"}
        results = [tested(session, path.with_suffix(f".{number}.xml"), run) for number, run in enumerate(runs)]
        row["result"] = ", two processes: ".join(results)
    finally:
        path.write_text(json.dumps(row))
    if "**" in row["result"]:
        session.error(row["result"])
    shutil.rmtree(session.virtualenv.location)


def tested(session: nox.Session, report: Path, arguments: list[str]) -> str:
    """Run pytest: `12 passed, 1 skipped`. A failure is part of the result, so that further runs follow."""
    report.unlink(missing_ok=True)
    command = ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *arguments]
    environment = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    session.run(*command, *session.posargs, env=environment, success_codes=range(256))
    if not report.exists():
        return "**pytest failed**"
    suite = next(ET.parse(report).iter("testsuite"))
    skipped, failed = int(suite.get("skipped", 0)), int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    passed = int(suite.get("tests", 0)) - skipped - failed
    words = [f"{passed} passed", *([f"{skipped} skipped"] if skipped else [])]
    return ", ".join([*words, *([f"**{failed} failed**"] if failed or not passed else [])])
