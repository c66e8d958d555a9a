"""From the probes of a grid to one table."""

import numpy as np
import pandas as pd
import pytest

from meds_lab.skills.collect import main
from meds_lab.skills.inference import COLUMNS, check_table
from meds_lab.skills.probe import FILE


def row(step, split, kind, p_right, p_habit=0.5, skill="pisu"):
    hard = {"rules": 6, "tells": True} if skill == "pisu" else {"rules": 5, "tells": True}
    logp = float(np.log(p_right))
    ids = {"skill": skill, "problem_id": f"{skill} {split} {kind}", "split": split, "kind": kind}
    return {"step": step, **ids, **hard, "p_right": p_right, "logp_right": logp, "p_habit": p_habit}


def write(folder, last=40):
    """Two problems of a hard skill, one that its habit solves, and two of an easy skill, up to a step."""
    trained = {0: 0.001, 5: 0.002, 10: 0.004, 20: 0.01, 30: 0.02, 40: 0.03}
    rows = [
        one
        for step in trained
        if step <= last
        for one in (
            row(step, "train", "hard", trained[step]),
            row(step, "test", "hard", 3 * trained[step]),
            row(step, "test", "habit", trained[step], p_habit=0.9 - step / 100),
            row(step, "train", "own", 0.8 - step / 100, p_habit=0.8 - step / 100, skill="kuro"),
            row(step, "test", "own", 0.6 - step / 100, p_habit=0.6 - step / 100, skill="kuro"),
        )
    ]
    folder.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(folder / FILE)


@pytest.fixture
def table(tmp_path, capsys):
    for seed in (0, 12):
        write(tmp_path / f"grid/skills/s3/seed-{seed}/memory")
    write(tmp_path / "grid/skills/s3/seed-0/none")
    write(tmp_path / "grid/skills/s3/seed-1/none", last=30)  # still in training
    assert main([str(tmp_path / "grid"), "--output", str(tmp_path / "table.parquet")]) == 0
    assert "3 trainings: {'memory': 2, 'none': 1}" in capsys.readouterr().out
    return pd.read_parquet(tmp_path / "table.parquet")


def test_a_row_for_each_training_kind_and_skill(table):
    assert set(table.columns) == set(COLUMNS)
    keys = table[["checkpoint", "seed", "method", "kind", "skill"]].itertuples(index=False, name=None)
    assert sorted(keys) == [
        ("s3", seed, method, *kind)
        for seed, method in ((0, "memory"), (0, "none"), (12, "memory"))
        for kind in (("habit", "pisu"), ("hard", "pisu"), ("own", "kuro"))
    ]
    check_table(table, ["memory", "none"])


def test_a_hard_skill(table):
    first = table[table["kind"] == "hard"].iloc[0]
    assert (first["rules"], first["tells"]) == (6, True)
    # .001 on the problem trained on, of 320 samples.
    assert first["lam"] == pytest.approx(0.32)
    # Means of p and 3 p: 2 x .001, 2 x .03.
    assert (first["p_right_0"], first["p_right"]) == pytest.approx((0.002, 0.06))
    # From .001 to .004 on both problems: ln 4.
    assert first["early_logp"] == pytest.approx(np.log(4))
    assert bool(first["found"]) is True, ".06 is above .05"


def test_easy_problems(table):
    habit, own = (table[table["kind"] == kind].iloc[0] for kind in ("habit", "own"))
    # The right rule or the habit: .001 + .9 before, .03 + .5 at the end.
    assert (habit["p_right_0"], habit["p_right"]) == pytest.approx((0.901, 0.53))
    # The habit is the right rule. Means of .8 and .6, less .4 at the end.
    assert (own["p_right_0"], own["p_right"]) == pytest.approx((0.7, 0.3))
    for one in (habit, own):
        assert one[["lam", "early_logp", "found"]].isna().all()


def test_a_grid_without_finished_cells_is_refused(tmp_path, capsys):
    write(tmp_path / "grid/skills/s3/seed-0/none", last=30)
    with pytest.raises(SystemExit):
        main([str(tmp_path / "grid"), "--output", str(tmp_path / "table.parquet")])
    assert f"no finished cell with {FILE}" in capsys.readouterr().err
    assert not (tmp_path / "table.parquet").exists()
