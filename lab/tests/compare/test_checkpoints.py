"""Cells by base checkpoint, put together by hand."""

import json

import numpy as np
import pandas as pd
import pytest

from meds_lab.compare.checkpoints import interval, main


def cells(tmp_path, name="cells.parquet", **given):
    """Two methods, three checkpoints of which one has twice as many seeds; the difference is .1, .2 and .6."""
    rows = [
        ("c1", 0, "recommended", 0.3), ("c1", 0, "dapo", 0.2),
        ("c2", 0, "recommended", 0.5), ("c2", 0, "dapo", 0.3),
        ("c3", 0, "recommended", 0.9), ("c3", 0, "dapo", 0.4),
        ("c3", 1, "recommended", 0.8), ("c3", 1, "dapo", 0.1),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["checkpoint", "seed", "method", "pass@1"])
    table = table.assign(**{"group": "test hard", "when": "after", "exact pass@k": table["pass@1"]})
    table = table.assign(given=json.dumps({"max_steps": 60, **given}))
    path = tmp_path / name
    pd.concat([table, table.assign(when="before")]).to_parquet(path)
    return path


def test_each_checkpoint_counts_once(tmp_path, capsys):
    main([str(cells(tmp_path))])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| test hard | pass@1")]
    assert lines == ["| test hard | pass@1 | dapo | 0.250 | 3 | +0.300 | [-0.357, +0.957] | 3 | 0.250 | +0.150 |"]


def test_each_checkpoints_seeds_are_listed(tmp_path, capsys):
    main([str(cells(tmp_path))])
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "| exact pass@k | c1 | c2 | c3 |",
        "| :-- | --: | --: | --: |",
        "| dapo | 0.200 (0.200) | 0.300 (0.300) | 0.250 (0.400, 0.100) |",
        "| recommended | 0.300 (0.300) | 0.500 (0.500) | 0.850 (0.900, 0.800) |",
    ]


def test_checkpoints_of_one_plain_model_count_once(tmp_path, capsys):
    """c1 and c2 are of model 1: the differences are .15 and .6."""
    path = cells(tmp_path)
    table = pd.read_parquet(path)
    table.assign(checkpoint=table["checkpoint"].map({"c1": "stuck-1", "c2": "scatter-1", "c3": "stuck-3"})).to_parquet(
        path
    )
    main([str(path), "--models"])
    out = capsys.readouterr().out
    assert "checkpoints: 1, 3." in out
    assert "| test hard | pass@1 | dapo | 0.250 | 2 | +0.375 | [-2.484, +3.234] | 2 | 0.500 | +0.150 |" in out


def test_a_checkpoint_can_be_left_out_of_the_last_column(tmp_path, capsys):
    main([str(cells(tmp_path)), "--without", "c1"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].endswith("| without c1 |")
    assert lines[4].endswith("| 3 | 0.250 | +0.400 |")


def test_rounding_is_no_difference(tmp_path, capsys):
    path = cells(tmp_path)
    table = pd.read_parquet(path)
    of_dapo = table["method"] == "dapo"
    recommended = table[~of_dapo].set_index(["checkpoint", "seed", "when"])["pass@1"]
    table.loc[of_dapo, "pass@1"] = [
        recommended[key] - 1e-17
        for key in table[of_dapo][["checkpoint", "seed", "when"]].itertuples(index=False, name=None)
    ]
    table.to_parquet(path)
    main([str(path)])
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| test hard | pass@1"))
    assert line.split(" | ")[-3] == "0"


def test_the_same_cells_in_two_files_count_once(tmp_path, capsys):
    main([str(cells(tmp_path))])
    once = capsys.readouterr().out
    main([str(cells(tmp_path)), str(cells(tmp_path, "again.parquet", learning_rate=1.0))])
    assert capsys.readouterr().out == once


def test_other_trainings_are_not_put_together(tmp_path, capsys):
    first = cells(tmp_path)
    longer = cells(tmp_path, "longer.parquet", max_steps=150)
    other = cells(tmp_path, "other.parquet", learning_rate=1.0)
    table = pd.read_parquet(other)
    table.assign(**{"pass@1": table["pass@1"] / 2}).to_parquet(other)
    for second, said in (
        (longer, "cells of different budgets are not put together: max_steps is 60 and 150"),
        (other, "c1, seed 0, recommended is there twice, with different figures"),
    ):
        with pytest.raises(SystemExit):
            main([str(first), str(second)])
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--only", "--without"])
def test_a_checkpoint_that_is_not_there_is_named_with_those_that_are(tmp_path, capsys, option):
    with pytest.raises(SystemExit):
        main([str(cells(tmp_path)), option, "c4"])
    assert "no cell is of checkpoint c4; there are c1, c2, c3" in capsys.readouterr().err


def test_cells_of_other_problems_are_refused(tmp_path, capsys):
    path = cells(tmp_path)
    pd.read_parquet(path).assign(group="test").to_parquet(path)
    with pytest.raises(SystemExit):
        main([str(path)])
    assert "no cell has a group of test hard" in capsys.readouterr().err


def test_the_interval_is_students():
    values = np.array([0.1, 0.2, 0.6, -0.1])
    half = 3.182446 * values.std(ddof=1) / 2  # the .975 quantile at 3 degrees of freedom; sqrt(4)
    assert interval(values) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-6)
    assert np.isnan(interval(values[:1])).all()


def test_a_method_that_is_not_there_is_named_with_those_that_are(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(cells(tmp_path)), "--method", "meds"])
    assert "no cell is of meds; there are dapo, recommended" in capsys.readouterr().err
