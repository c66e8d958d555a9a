"""Cells by base checkpoint, put together by hand."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from checkpoints import interval, main


def cells(tmp_path):
    """Two methods, three checkpoints of which one has twice as many seeds; the difference is .1, .2 and .6."""
    rows = [
        ("c1", 0, "recommended", 0.3), ("c1", 0, "dapo", 0.2),
        ("c2", 0, "recommended", 0.5), ("c2", 0, "dapo", 0.3),
        ("c3", 0, "recommended", 0.9), ("c3", 0, "dapo", 0.4),
        ("c3", 1, "recommended", 0.8), ("c3", 1, "dapo", 0.1),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["checkpoint", "seed", "method", "pass@1"])
    table = table.assign(**{"group": "test hard", "when": "after", "exact pass@k": table["pass@1"]})
    path = tmp_path / "cells.parquet"
    pd.concat([table, table.assign(when="before")]).to_parquet(path)
    return path


def test_each_checkpoint_counts_once(tmp_path, capsys):
    main([str(cells(tmp_path))])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| test hard | pass@1")]
    assert lines == [
        "| test hard | pass@1 | dapo | 0.250 | 3 | +0.300 | [-0.357, +0.957] | 3 | 0.250 | +0.150 |"
    ]


def test_the_interval_is_students():
    values = np.array([0.1, 0.2, 0.6, -0.1])
    half = 3.182446 * values.std(ddof=1) / 2  # the .975 quantile at 3 degrees of freedom; sqrt(4)
    assert interval(values) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-6)
    assert np.isnan(interval(values[:1])).all()


def test_a_method_that_is_not_there_is_named_with_those_that_are(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(cells(tmp_path)), "--method", "meds"])
    assert "no cell is of meds; there are dapo, recommended" in capsys.readouterr().err
