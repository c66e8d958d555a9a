"""The command line as a user meets it: in a process of its own."""

import importlib.metadata
import os
import subprocess
import sys
from unittest.mock import Mock

import numpy as np
import pytest
from safetensors import SafetensorError

from meds_rl import ErrorMemory, __version__
from meds_rl.cli import main
from meds_rl.cli.main import COMMANDS
from meds_rl.rollouts import ROLLOUT_COLUMNS, RunFolder


def meds(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "meds_rl", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160", **environment},
    )


def test_help_names_every_command():
    done = meds("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)


def test_help_and_parsing_import_nothing_heavy():
    code = (
        "import sys; from meds_rl.cli.main import _parser; _parser().format_help(); "
        "heavy = {'torch', 'transformers', 'trl', 'datasets', 'pandas', 'pyarrow', 'sklearn', 'rich'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_version_shows_what_a_bug_report_needs(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"meds-rl {__version__}"
    assert lines[1].startswith("Python 3.")
    assert f"numpy {importlib.metadata.version('numpy')}" in lines


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "usage: meds" in capsys.readouterr().out


def test_bad_input_is_one_sentence_and_status_2(tmp_path):
    done = meds("train", str(tmp_path / "none.yaml"))
    assert done.returncode == 2
    assert done.stderr.startswith("meds train: There is no recipe at")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "No space left on device"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"), "disk may be full"),
        (RecursionError("maximum recursion depth exceeded"), "maximum recursion depth"),
        (OverflowError("cannot convert float infinity to integer"), "float infinity"),
    ],
)
def test_a_full_disk_and_odd_numbers_are_one_sentence(monkeypatch, capsys, error, said):
    monkeypatch.setattr(COMMANDS["inspect"][0], "run", Mock(side_effect=error))
    assert main(["inspect", "run"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


@pytest.mark.parametrize(("command", "extra"), [("inspect", "report"), ("diversity", "eval"), ("train", "trl")])
def test_a_missing_package_names_the_extra_of_the_command(monkeypatch, capsys, command, extra):
    monkeypatch.setattr(COMMANDS[command][0], "run", Mock(side_effect=ModuleNotFoundError("No module named 'rich'")))
    main([command, "run"])
    assert f'pip install "meds-rl[{extra}]"' in capsys.readouterr().err


def test_a_missing_extra_is_named_for_pypi_and_for_a_clone(monkeypatch, capsys):
    error = ImportError('pictures need vl-convert: pip install "meds-rl[report]"')
    monkeypatch.setattr(COMMANDS["inspect"][0], "run", Mock(side_effect=error))
    main(["inspect", "run"])
    assert capsys.readouterr().err.endswith('"meds-rl[report]" (in a clone: pip install -e ".[report]")\n')


def test_a_bug_shows_its_traceback(monkeypatch):
    monkeypatch.setattr(COMMANDS["inspect"][0], "run", Mock(side_effect=RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        main(["inspect", "run"])


@pytest.mark.parametrize("line", ["learning_rate: {a: 1}", "logging_steps: .inf", "num_threads: 1.5", "seed: !!int ''"])
def test_a_wrong_recipe_leaves_no_folder(tmp_path, capsys, line):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"task: pocket\nmodel_name_or_path: pocket\noutput_dir: {tmp_path / 'run'}\n{line}\n")
    assert main(["train", str(recipe)]) == 2
    assert capsys.readouterr().err.startswith("meds train: ")
    assert list(tmp_path.iterdir()) == [recipe]


def test_unknown_arguments_of_other_commands_are_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["inspect", "run", "--colour", "red"])
    assert ended.value.code == 2
    assert "--colour" in capsys.readouterr().err


@pytest.fixture
def run_folder(tmp_path):
    """A run with one prompt, two clusters of wrong answers and one completion without an answer."""
    run = RunFolder(tmp_path / "run")
    memory = ErrorMemory()
    rng = np.random.default_rng(0)
    centres = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    features = np.concatenate([centres[i] + 0.01 * rng.normal(size=(4, 3)) for i in (0, 1)] + [np.full((1, 3), np.nan)])
    ids = memory.remember("p", features)
    run.path.mkdir(parents=True)
    memory.save(run.path / "memory.safetensors")
    defaults = {"int64": 0, "float64": 0.0, "bool": False, "string": "x"}
    columns = {name: [defaults[kind]] * 9 for name, (kind, _) in ROLLOUT_COLUMNS.items()}
    columns |= {
        "memory_id": ids.tolist(),
        "answer": ["14"] * 4 + ["20"] * 4 + [None],
        "completion": ["left to right"] * 4 + ["\x1b[31m[bold]right\x07 to left[/bold]"] * 4 + ["I give up"],
        "prompt": ["2 + 3 * 4"] * 9,
    }
    run.write_rollouts(0, columns)
    return run.path


def test_inspect_shows_clusters_sizes_and_examples(run_folder):
    done = meds("inspect", str(run_folder))
    assert done.returncode == 0, done.stderr
    assert "9 remembered completions of 1 prompts in 2 clusters" in " ".join(done.stdout.split())
    for text in ("2 + 3 * 4", "14 ×4", "20 ×4", "left to right", "no answer", "I give up"):
        assert text in done.stdout


def test_inspect_shows_hostile_completions_as_text_and_nothing_else(run_folder):
    done = meds("inspect", str(run_folder))
    assert "[bold]right" in done.stdout
    assert "\x1b[31m" not in done.stdout
    assert "\x07" not in done.stdout


def test_inspect_shows_hostile_ids_and_paths_without_escapes(tmp_path):
    memory = ErrorMemory()
    for name in ("\x1b[2Jp", "q\udcff"):
        memory.remember(name, np.eye(3))
    folder = tmp_path / "run\x1b[31m"
    folder.mkdir()
    memory.save(folder / "memory.safetensors")
    done = meds("inspect", str(folder), PYTHONIOENCODING="utf-8")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "[2Jp" in done.stdout
    assert r"q\udcff" in done.stdout


def test_what_an_output_cannot_encode_is_replaced(run_folder):
    done = meds("inspect", str(run_folder), PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "14 ?4" in done.stdout  # 14 ×4


def test_inspect_of_a_memory_file_alone_and_of_nothing(run_folder, tmp_path):
    assert meds("inspect", str(run_folder / "memory.safetensors")).returncode == 0
    done = meds("inspect", str(tmp_path / "none"))
    assert done.returncode == 2
    assert "does not exist" in done.stderr
    done = meds("inspect", str(run_folder), "--prompt-id", "q")
    assert "'q' is not among the 1 prompts" in done.stderr
