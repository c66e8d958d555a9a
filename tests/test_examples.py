"""The examples: short, runnable, and the same in the notebook."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
TOUR = EXAMPLES / "tour.ipynb"
SCRIPTS = [EXAMPLES / f"{name}.py" for name in ("see", "train", "own_loop")]  # as in the notebook
REPORTS = {"see": "see.html", "train": "train/report.html", "own_loop": "own_loop/report.html"}


def cells(path: Path, kind: str) -> list[dict]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def squeezed(text: str) -> str:
    return "".join(text.split())


def test_there_are_no_others():
    assert sorted(EXAMPLES.glob("[!._]*")) == sorted([*SCRIPTS, TOUR])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_is_short_and_imports_public_names(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    assert "_rl._" not in text
    assert "import _" not in text


@pytest.mark.long
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_runs_and_writes_its_report(path, tmp_path):
    (tmp_path / "tests").symlink_to(ROOT / "tests")  # as in the clone's folder, with empty runs
    done = subprocess.run([sys.executable, path], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "The most repeated error is one way of working" in done.stdout
    assert f"Report: runs/{REPORTS[path.stem]}" in done.stdout
    assert (tmp_path / "runs" / REPORTS[path.stem]).is_file()


def test_the_notebook_has_the_code_of_the_scripts():
    """`make notebook` writes it."""
    code = squeezed("".join("".join(cell["source"]) for cell in cells(TOUR, "code")))
    for path in SCRIPTS:
        body = path.read_text(encoding="utf-8").partition("\n")[2]  # without the docstring
        assert squeezed(body) in code, path


def test_the_notebook_is_small_and_shows_no_path_of_a_machine():
    text = TOUR.read_text(encoding="utf-8")
    assert len(text) < 50_000
    shown = [line for cell in cells(TOUR, "code") for output in cell["outputs"] for line in output["text"]]
    assert len(shown) > 20
    assert not [line for line in shown if "site-packages" in line or str(Path.home()) in line or "/tmp" in line]


@pytest.mark.long
def test_the_notebook_runs_and_prints_what_it_shows(tmp_path):
    """What it prints of the saved rollouts; trainings differ from machine to machine."""
    found = tmp_path / "tour.ipynb"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, ROOT / "docs" / "notebook.py", found], check=True, env=environment)
    stored, new = cells(TOUR, "code"), cells(found, "code")
    assert [cell["source"] for cell in new] == [cell["source"] for cell in stored]
    last = next(number for number, cell in enumerate(stored) if "see.html" in "".join(cell["source"]))
    for number in range(last + 1):
        assert new[number]["outputs"] == stored[number]["outputs"]
    assert "Report: runs/own_loop/report.html\n" in new[-1]["outputs"][0]["text"]
