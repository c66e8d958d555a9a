"""What trained policies do, of samples that are put together by hand."""

import pandas as pd
import pytest

from meds_lab.tasks.workings import main


def write(grid, cell, rows):
    folder = grid / cell / "evaluation"
    folder.mkdir(parents=True)
    pd.DataFrame(rows, columns=["group", "strategy", "answer"]).to_parquet(folder / "after.parquet")


def test_shares_are_of_samples_and_means_over_cells(tmp_path, capsys):
    right, habit, none = (
        ("test easy", "precedence", "7"),
        ("test easy", "drop_last", "3"),
        ("test easy", "other", None),
    )
    write(tmp_path, "stuck/stuck-1/seed-0/meds", [right, right, habit, none])
    write(tmp_path, "stuck/stuck-2/seed-0/meds", [right, ("train hard", "drop_last", "3")])
    main([str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == ["| test easy | meds | 2 | 0.750 | 0.125 | 0.125 | 0.125 |"]


def test_a_folder_without_samples_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "no finished cell in" in capsys.readouterr().err
