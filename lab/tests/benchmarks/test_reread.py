"""Samples whose workings an older reader did not understand, put together by hand."""

import sys
from pathlib import Path

import pytest

from meds_rl.rollouts.samples import read_samples, samples_table, step_of, write_samples

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from reread import main

PROMPT = "what is 7 + 3 * 4 - 2?"
RIGHT = "3 by 4 = 12, 7 + 12 = 19, 19 - 2 = 17. \\boxed{17}"


def row(sample, completion, is_correct, strategy, is_exact):
    return {
        "group": "test hard",
        "problem_id": "p",
        "prompt": PROMPT,
        "sample": sample,
        "completion": completion,
        "answer": "17",
        "is_correct": is_correct,
        "strategy": strategy,
        "is_exact": is_exact,
    }


def write(grid, cell, rows):
    for when in ("before", "after"):
        write_samples(grid / cell / "evaluation" / f"{when}.parquet", samples_table(rows), step=3)


@pytest.fixture
def grid(tmp_path):
    write(
        tmp_path,
        "stuck/stuck-1/seed-0/meds",
        [
            row(0, RIGHT, True, "other", False),
            row(1, RIGHT, False, "other", False),  # by hand: a right working without the right answer
            row(2, "17", True, "other", False),
        ],
    )
    write(tmp_path, "stuck/stuck-1/seed-0/dapo", [row(0, "17", True, "other", False)])
    return tmp_path


def test_only_the_reading_changes(grid, capsys):
    path = grid / "stuck/stuck-1/seed-0/meds/evaluation/after.parquet"
    other = grid / "stuck/stuck-1/seed-0/dapo/evaluation/after.parquet"
    old, untouched = read_samples(path), other.read_bytes()
    assert main([str(grid)]) == 0
    new = read_samples(path)
    assert new["strategy"].to_pylist() == ["precedence", "precedence", "other"]
    assert new["is_exact"].to_pylist() == [True, False, False]
    rest = [name for name in old.column_names if name not in ("strategy", "is_exact")]
    assert new.select(rest).equals(old.select(rest))
    assert step_of(path) == 3
    assert read_samples(path.with_name("before.parquet"))["is_exact"].to_pylist() == [True, False, False]
    assert other.read_bytes() == untouched
    out = capsys.readouterr().out
    assert "| stuck/stuck-1/seed-0/meds | 3 | 1 | 0 | 1 |" in out
    assert out.endswith("1 of 2 cells changed.\n")


def test_a_dry_run_writes_nothing(grid, capsys):
    path = grid / "stuck/stuck-1/seed-0/meds/evaluation/after.parquet"
    before = path.read_bytes()
    main([str(grid), "--dry-run"])
    assert path.read_bytes() == before
    assert capsys.readouterr().out.endswith("1 of 2 cells changed, nothing was written.\n")


def test_other_problems_and_empty_folders_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "has no finished cells" in capsys.readouterr().err
    write(
        tmp_path,
        "sums/base/seed-0/meds",
        [{**row(0, "17", True, None, None), "prompt": "1 + 16"}],
    )
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "has problems that are not of the pocket task: '1 + 16'" in capsys.readouterr().err
