"""The course of a grid, of rollouts that are put together by hand."""

import pandas as pd
import pytest

from meds_lab.tasks.course import course, main, read
from meds_rl.tasks.pocket.problems import pool


def write(run, steps, rows):
    """`rows` of one hard prompt and one easy one at each step; a row is (right, strategy, advantage)."""
    folder = run / "rollouts"
    folder.mkdir(parents=True)
    for step in range(steps):
        frames = [
            pd.DataFrame(rows, columns=["is_correct", "strategy", "advantage"]).assign(
                step=step, prompt=prompt, reason=["cluster", "unseen", "unseen"][: len(rows)]
            )
            for prompt in (pool("hard")[0].prompt, pool("easy")[0].prompt)
        ]
        pd.concat(frames).to_parquet(folder / f"generation-{step:06d}.parquet")


def finish(run):
    (run / "evaluation").mkdir()
    (run / "evaluation" / "after.parquet").touch()


def test_measures_are_of_hard_problems_and_means_over_seeds(tmp_path):
    write(
        tmp_path / "a",
        6,
        [(False, "left_to_right", -0.1), (False, "left_to_right", -0.1), (False, "other", 0.2)],
    )
    write(
        tmp_path / "b",
        6,
        [(True, "correct", 1.0), (False, "left_to_right", -0.5), (False, "left_to_right", -0.5)],
    )
    hard = {pool("hard")[0].prompt}
    frames = [read(tmp_path / name, hard) for name in "ab"]
    assert [len(rows) for rows in frames] == [18, 18]
    found = course(frames)
    assert found["right"] == pytest.approx([1 / 6] * 6)
    assert found["none right"] == pytest.approx([0.5] * 6)
    assert found["habit"] == pytest.approx([2 / 3] * 6)
    assert found["new and of no planted way"] == pytest.approx([1 / 4] * 6)
    assert found["push"] == pytest.approx([0.4] * 6)


def test_a_table_has_five_lines_for_each_method_of_a_checkpoint(tmp_path, capsys):
    for seed in (0, 1):
        write(tmp_path / f"stuck/stuck-1/seed-{seed}/meds", 12, [(False, "left_to_right", 0.0)])
        finish(tmp_path / f"stuck/stuck-1/seed-{seed}/meds")
    write(tmp_path / "stuck/stuck-1/seed-2/meds", 3, [(True, "correct", 0.0)])  # not finished
    main([str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 5
    assert lines[2].startswith("| stuck | stuck-1 | meds | 2 | right | 0.000")


def test_when_right_answers_begin(tmp_path, capsys):
    for seed, right_from in ((0, 4), (1, 99)):
        run = tmp_path / f"stuck/stuck-1/seed-{seed}/meds"
        write(run, 12, [(False, "left_to_right", 0.0)])
        finish(run)
        for file in run.glob("rollouts/*"):
            rows = pd.read_parquet(file)
            rows.assign(is_correct=rows["step"] >= right_from).to_parquet(file)
    main([str(tmp_path), "--begins", "0.4"])  # 2 of 5 batches: 1 to 5
    assert capsys.readouterr().out.splitlines()[2:] == ["| stuck | stuck-1 | meds | 5, - |"]


def test_a_folder_without_runs_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "has no finished runs with rollouts" in capsys.readouterr().err
    write(tmp_path / "stuck/stuck-1/seed-0/meds", 3, [(True, "correct", 0.0)])
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "1 are not finished" in capsys.readouterr().err


def test_other_problems_are_refused(tmp_path, capsys):
    run = tmp_path / "sums/base/seed-0/meds"
    write(run, 3, [(True, "correct", 0.0)])
    finish(run)
    for file in run.glob("rollouts/*"):
        pd.read_parquet(file).assign(prompt="1 + 1").to_parquet(file)
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "has no hard problem of the pocket task" in capsys.readouterr().err
