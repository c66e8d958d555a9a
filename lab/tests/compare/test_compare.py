"""`meds-lab compare` from the command line to its tables: with a stand-in for the training; slow, with the training."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from meds_lab.cli import main
from meds_lab.compare import runner
from meds_rl.report.recipe import read_recipe, variants

ROOT = Path(__file__).parents[3]
STAND_IN = Path(__file__).with_name("stand_in.py")


def write_grid(path, seeds=2, **more):
    fields = {
        "eval_samples": 8,
        "eval_k": 4,
        "eval_every": 0,
        "max_steps": 2,
        "save_steps": 1,
        "eval_problems": 4,
    }
    fields |= {"per_device_train_batch_size": 16, "num_generations": 4}
    content = {
        "recipe": str(ROOT / "recipes" / "pocket.yaml"),
        "baseline": "dapo",
        "seeds": seeds,
        "fields": fields | more,
        "tasks": {"pocket": None},
        "methods": {"dapo": {"method": "dapo"}, "meds": {"method": "meds", "meds_all_wrong": "shape"}},
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.fixture
def compare(tmp_path, monkeypatch, capsys):
    """Runs `meds-lab compare` with the stand-in; gives status, output and errors."""

    def command(cell, overrides):
        return [sys.executable, str(STAND_IN), str(cell.recipe_path), *overrides]

    monkeypatch.setattr(runner, "train_command", command)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*options, seeds=2, **more):
        grid = write_grid(tmp_path / "grid.yaml", seeds, **more)
        status = main(["compare", str(grid), "--output", str(tmp_path / "out"), "--jobs", "2", *options])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_a_grid_from_start_to_end(compare, tmp_path):
    folder = tmp_path / "out"
    status, out, _ = compare("--dry-run")
    assert status == 0
    assert "pocket/base/seed-1/meds: to begin" in out
    assert "Note: With 2 units and 4 comparisons the least corrected p is 1: no difference can pass .05" in out
    assert out.endswith("4 cells, 0 finished. Nothing was run.\nBudgets are equal.\n")
    assert not folder.exists()

    status, out, _ = compare("--only", "dapo")
    assert status == 0
    assert "2 of 4 cells are finished" in out

    status, out, _ = compare()
    assert status == 0
    assert "pocket/base/seed-1/meds: done in" in out
    assert "dapo: done" not in out, "finished cells are not run again"
    for text in (
        "pocket: test hard, minus dapo",
        "exact pass@4",
        "2/2",
        "cost of training",
        "no p value can be below",
    ):
        assert text in out
    # The stand-in's steps take 3 s and 2 s; 3 steps of 4 groups of 4.
    (cost,) = [line.split() for line in out.splitlines() if line.strip().startswith("meds ") and "1.50" in line]
    assert cost == ["meds", "2", "3.00", "1.50", "1.50-1.50", "3", "48", "2"]
    results = json.loads((folder / "results.json").read_text())
    one = next(row for row in results["comparisons"] if (row["measure"], row["group"]) == ("pass@1", "test hard"))
    cells = pd.read_parquet(folder / "cells.parquet")
    after = cells[(cells["when"] == "after") & (cells["group"] == "test hard")].set_index(["seed", "method"])["pass@1"]
    assert one["by_unit"] == pytest.approx([after[seed, "meds"] - after[seed, "dapo"] for seed in (0, 1)])
    assert one["units"] == [["base", 0], ["base", 1]]

    status, again, _ = compare("--table")
    assert status == 0
    assert again in out, "only the tables"


def test_a_grid_that_was_trained_in_two_folders(compare, tmp_path):
    compare("--only", "dapo", "--output", str(tmp_path / "a"))
    status, out, _ = compare("--dry-run", "--merge", str(tmp_path / "a" / "cells.parquet"))
    assert status == 0
    assert "pocket/base/seed-1/dapo: finished, merged" in out
    assert "4 cells, 2 finished" in out
    status, out, _ = compare("--merge", str(tmp_path / "a" / "cells.parquet"))
    assert status == 0
    assert "dapo: done" not in out, "not trained again"
    assert not (tmp_path / "out" / "pocket" / "base" / "seed-0" / "dapo").exists()
    merged = json.loads((tmp_path / "out" / "results.json").read_text())
    assert merged["finished"] == 4

    compare("--output", str(tmp_path / "whole"))
    whole = json.loads((tmp_path / "whole" / "results.json").read_text())
    assert merged["comparisons"] == whole["comparisons"]
    assert merged["levels"] == whole["levels"]


def test_options_of_several_values_may_be_given_again(compare, tmp_path):
    compare("--only", "dapo", "--output", str(tmp_path / "a"), seeds=1)
    compare("--only", "meds", "--output", str(tmp_path / "b"), seeds=1)
    cells = [str(tmp_path / folder / "cells.parquet") for folder in ("a", "b")]
    status, out, _ = compare("--dry-run", "--merge", cells[0], "--merge", cells[1], seeds=1)
    assert status == 0
    assert "2 cells, 2 finished" in out, "none of the files is dropped"
    _, out, _ = compare("--dry-run", "--only", "meds", "--only", "dapo", seeds=1)
    assert "2 cells" in out


def test_the_hint_can_be_pasted_into_a_shell(compare, tmp_path):
    folder = tmp_path / "my runs [1]"
    _, out, _ = compare("--output", str(folder), seeds=1)
    hint = next(line for line in out.splitlines() if line.startswith("Which errors recur: "))
    pattern, _, page = hint.partition(" meds report ")[2].rpartition(" --output ")
    listed = subprocess.run(["bash", "-c", f"ls -d {pattern}"], capture_output=True, text=True, check=True)
    assert str(folder / "pocket/base/seed-0") in listed.stdout
    assert shlex.split(page) == [str(folder / "report-pocket.html")]


def test_what_differs_in_the_budget_is_said(tmp_path, capsys):
    grid = write_grid(tmp_path / "other.yaml")
    content = yaml.safe_load(grid.read_text()) | {"budget_may_differ": ["max_steps"]}
    content["methods"]["meds"]["max_steps"] = 1
    grid.write_text(yaml.safe_dump(content))
    assert main(["compare", str(grid), "--dry-run", "--output", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.endswith("Budgets are equal but for max_steps.\n")


def test_the_report_sees_two_methods_of_two_seeds(compare, tmp_path):
    compare("--jobs", "1")
    folders = [tmp_path / "out" / "pocket" / "base" / f"seed-{seed}" / "meds" for seed in (0, 1)]
    recipes = [read_recipe(folder) for folder in (*folders, folders[0].with_name("dapo"))]
    assert "eval_before_from" in recipes[0].given, "it was shared"
    assert variants(recipes) == ["meds", "meds", "dapo"]


def test_a_changed_grid_is_refused_and_a_longer_one_is_not(compare, tmp_path):
    assert compare()[0] == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    for options in ([], ["--table"], ["--dry-run"]):
        status, _, error = compare(*options, learning_rate=1.0)
        assert status == 2
        assert "learning_rate was 0.0003, the grid asks for 1.0" in error
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before
    status, out, _ = compare(seeds=3)
    assert status == 0
    assert "[2 of 2]" in out


def test_a_failure_is_status_1_and_its_end_is_shown(compare, monkeypatch):
    def command(cell, overrides):
        program = "raise SystemExit('out of luck')" if cell.method == "meds" and cell.seed == 0 else None
        return [
            sys.executable,
            *(["-c", program] if program else [str(STAND_IN), str(cell.recipe_path), *overrides]),
        ]

    monkeypatch.setattr(runner, "train_command", command)
    status, out, _ = compare()
    assert status == 1
    assert "pocket/base/seed-0/meds failed with status 1" in out
    assert "  out of luck" in out
    assert "3 of 4 cells are finished" in out


def test_tables_as_markdown_and_figures(compare, tmp_path):
    pytest.importorskip("vl_convert")
    page, folder = tmp_path / "tables.md", tmp_path / "figures"
    asked = ("--markdown", str(page), "--figures", str(folder))
    status, out, _ = compare(*asked, eval_every=1)
    assert status == 0
    assert f"Tables as Markdown: {page}" in out
    text = page.read_text()
    assert f"meds-lab compare {tmp_path}/grid.yaml --output {tmp_path}/out --jobs 2 --markdown {page}" in text
    assert "4 of 4 cells finished. pocket: 2 of 2 units with all methods (checkpoints base; seeds 0, 1)" in text
    assert sorted(path.name for path in folder.iterdir()) == [
        *("cost.svg", "course-pass@1.svg", "course-pass@k.svg"),
        *("difference-distinct.svg", "difference-exact-pass@k.svg"),
        *("difference-pass@1.svg", "difference-pass@k.svg", "figures.json"),
    ]
    # Every line of the screen's tables is one of the Markdown, cell by cell.
    shown = [line.split() for line in out.splitlines() if re.match(r"   ?(before|dapo|meds) ", line)]
    written = [line.replace("|", " ").split() for line in text.splitlines() if line.startswith("|")]
    assert len(shown) >= 2 * 6 * 3
    for cells in shown:
        assert any(row[-len(cells) :] == cells for row in written), cells

    status, _, _ = compare("--table", *asked, eval_every=1)
    assert status == 0
    assert page.read_text() == text, "the same cells give the same file"


def test_without_evaluations_in_training_there_is_no_course(compare, tmp_path):
    pytest.importorskip("vl_convert")
    status, out, _ = compare("--figures", str(tmp_path / "figures"), "--format", "png", seeds=1)
    assert status == 0
    assert "Note: No course of pocket: no evaluations in training" in out
    assert (tmp_path / "figures" / "cost.png").read_bytes().startswith(b"\x89PNG")
    assert not list((tmp_path / "figures").glob("course*"))


def test_files_of_others_are_refused_before_anything_runs(compare, tmp_path):
    page = tmp_path / "mine.md"
    page.write_text("# Mine\n")
    for options, said in (
        (["--markdown", str(page)], "was not written by meds-lab compare"),
        (["--markdown", str(tmp_path)], "was not written by meds-lab compare"),
        (["--markdown", str(page / "x.md")], f"--markdown needs a folder {page}; {page} is a file"),
        (["--figures", str(page)], f"--figures needs a folder {page}; {page} is a file"),
        (["--figures", str(page / "new")], f"--figures needs a folder {page}/new; {page} is a file"),
        (["--output", str(page / "new")], f"--output needs a folder {page}/new; {page} is a file"),
        (["--format", "png"], "--format is that of the figures: give --figures DIR"),
        (["--figures", str(tmp_path), "--dry-run"], "--dry-run writes nothing"),
    ):
        status, _, error = compare(*options)
        assert status == 2
        assert said in error
    assert page.read_text() == "# Mine\n"
    assert not (tmp_path / "out").exists()


def test_pictures_of_others_are_refused_before_anything_runs(compare, tmp_path):
    pytest.importorskip("vl_convert")
    folder = tmp_path / "figures"
    folder.mkdir()
    for name in ("cost.svg", "difference-pass@1.svg", "course-pass@k.svg", "figures.json"):
        (folder / name).write_text("{}")
        status, _, error = compare("--figures", str(folder), eval_every=1)
        assert status == 2
        assert f"{folder / name} exists and is no figure of meds-lab compare" in error
        (folder / name).unlink()
    assert not (tmp_path / "out").exists()
    # Not in the way: no course is drawn, and pictures of another format are others' business.
    for name in ("course-pass@k.svg", "cost.png"):
        (folder / name).write_text("mine")
    assert compare("--figures", str(folder), seeds=1)[0] == 0
    assert compare("--figures", str(folder), "--table", seeds=1)[0] == 0, "our own are replaced"
    assert (folder / "cost.png").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_refused(compare, tmp_path, monkeypatch):
    # Not by chmod: nothing is forbidden to root.
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path)
    for option in ("--figures", "--output"):
        status, _, error = compare(option, str(tmp_path / "new" / "folder"))
        assert status == 2
        assert f"{tmp_path} cannot be written to" in error


def test_bad_options(compare):
    for options, said in (
        (["--only", "medz"], "Did you mean meds"),
        (["--jobs", "0"], "--jobs must be at least 1"),
    ):
        status, _, error = compare(*options)
        assert status == 2
        assert said in error
    status, out, _ = compare("--table")
    assert status == 0
    assert "nothing to compare" in out


# ---- with the real training ----


def meds(*arguments):
    command = [sys.executable, "-m", "meds_lab", "compare", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_killed_and_resumed_equals_not_killed(tmp_path):
    grid = write_grid(tmp_path / "grid.yaml", max_steps=4)
    whole = meds(grid, "--output", tmp_path / "whole", "--jobs", "1")
    out, error = whole.communicate()
    assert whole.returncode == 0, error

    folder = tmp_path / "killed"
    for number, method in ((signal.SIGTERM, "dapo"), (signal.SIGKILL, "meds")):
        process = meds(grid, "--output", folder, "--jobs", "1")
        while not list((folder / "pocket" / "base" / "seed-0" / method).glob("checkpoint-*/trainer_state.json")):
            time.sleep(0.05)
        process.send_signal(number)
        process.communicate()
        if number == signal.SIGTERM:
            assert process.returncode == 130
    # The training outlives a kill -9; until it has ended, nobody else may go on in the folder.
    refused = meds(grid, "--output", folder, "--jobs", "1")
    while "still runs" in refused.communicate()[1]:
        assert refused.returncode == 2
        refused = meds(grid, "--output", folder, "--jobs", "1")
    assert refused.returncode == 0
    for path in (tmp_path / "whole").rglob("after.parquet"):
        same = folder / path.relative_to(tmp_path / "whole")
        assert pd.read_parquet(path).equals(pd.read_parquet(same))
    befores = [pd.read_parquet(path) for path in sorted((folder / "pocket/base/seed-1").rglob("before.parquet"))]
    assert len(befores) == 2
    assert befores[0].equals(befores[1])
    assert "cost of training" in out
