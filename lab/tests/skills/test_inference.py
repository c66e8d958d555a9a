"""What the grid `skills` answers."""

import json

import numpy as np
import pandas as pd
import pytest

from meds_lab.compare.significance import holm
from meds_lab.skills.inference import (
    check_table,
    discovery_ratio,
    easy_rows,
    factor_rows,
    hard_skills,
    main,
    method_rows,
    paired_differences,
    question_rows,
)
from meds_lab.skills.questions import QUESTIONS, Question

FOUND = {"none": [[3, 3], [4, 4], [5, 5]], "memory": [[4, 4], [5, 7], [8, 8]]}
"""Of 10 skills. Differences .1 and .1, .1 and .3, .3 and .3: by checkpoint .1, .2, .3."""


def test_t_over_checkpoints(counted):
    (row,) = question_rows(check_table(counted(FOUND)), [Question("?", "memory", "none")])
    found = row["share found [95 %]"]
    # Mean .2, deviation .1, error .1 / sqrt(3) = .05774; t(2) at .975 is 4.3027: .2484. t = 3.464, p = .0742.
    assert (found.value, found.low, found.high) == pytest.approx((0.2, -0.0484, 0.4484), abs=1e-4)
    assert row["p"] == pytest.approx(0.0742, abs=1e-4)
    assert (row["checkpoints"], row["pairs"]) == (3, 6)
    # early_logp is the number found, so its differences are ten times as large.
    assert row["ln p after a quarter [95 %]"].high == pytest.approx(4.484, abs=1e-3)


def test_only_pairs_count(counted):
    found = FOUND | {"memory": [[4, 4], [5], [8, 8]]}
    (row,) = question_rows(check_table(counted(found)), [Question("?", "memory", "none")])
    # The second checkpoint's first seed only: .1, .1, .3.
    assert row["share found [95 %]"].value == pytest.approx(0.5 / 3)
    assert row["pairs"] == 5


def test_a_subset_of_skills(counted):
    table = check_table(counted(FOUND))
    # Answers do not tell of the last five skills. None of them are found without the memory; with it 0, 0; 0, 2; 3, 3.
    (row,) = question_rows(table, [Question("?", "memory", "none", subset="not tells")])
    assert row["share found [95 %]"].value == pytest.approx((0 + 0.2 + 0.6) / 3)


def test_holm_over_the_questions(counted):
    found = {
        "none": [[2], [2], [2], [2]],
        "a": [[4], [4], [4], [5]],
        "b": [[2], [3], [5], [3]],
        "c": [[2], [3], [1], [2]],
    }
    rows = question_rows(check_table(counted(found)), [Question(name, name, "none") for name in "bca"])
    p_values = [row["p"] for row in rows]
    assert p_values[2] < p_values[0] < p_values[1]
    assert [row["p (Holm)"] for row in rows] == pytest.approx(holm(p_values))
    assert rows[2]["p (Holm)"] == pytest.approx(3 * p_values[2])


def test_as_good_as_needs_the_90_per_cent_interval_within_the_margin(counted):
    table = check_table(counted(FOUND))
    # t(2) at .95 is 2.9200, so the 90 % interval is .2 +- .1686 = [.0314, .3686].
    rows = question_rows(table, [Question("?", "memory", "none", margin=margin) for margin in (0.36, 0.37, None)])
    cells = [row["as good as"] for row in rows]
    assert cells == ["not shown: [0.031, 0.369] of ±0.36", "yes: [0.031, 0.369] of ±0.37", "–"]


def test_equal_differences_have_no_interval(counted):
    found = {"none": [[3], [4]], "memory": [[4], [5]], "other": [[4], [6]]}
    table = check_table(counted(found))
    rows = question_rows(table, [Question("?", "memory", "none"), Question("?", "other", "none")])
    assert str(rows[0]["share found [95 %]"]) == "0.100 [–]"
    # Counts as 1: the other p is doubled.
    assert rows[0]["p (Holm)"] == 1
    assert rows[1]["p (Holm)"] == pytest.approx(2 * rows[1]["p"])


# ---- Ratios of discovery.


def test_ratio_of_two_shares(counted):
    table = check_table(counted(FOUND))
    # 24 of 60 and 36 of 60 are found at equal lambda: m = ln(1 - .6) / ln(1 - .4) = 1.7937.
    assert discovery_ratio(hard_skills(table), "memory", "none").value == pytest.approx(1.7937, abs=1e-4)


def test_lambda_is_an_offset(counted):
    table = check_table(counted(FOUND))
    # The same skills found at twice the lambda are found at half the rate: half the ratio.
    table.loc[table["method"] == "memory", "lam"] = 2.0
    assert discovery_ratio(hard_skills(table), "memory", "none").value == pytest.approx(1.7937 / 2, abs=1e-4)


def test_no_ratio_where_all_or_nothing_is_found(counted):
    found = {"none": [[0], [0]], "memory": [[1], [2]]}
    assert str(discovery_ratio(hard_skills(check_table(counted(found))), "memory", "none")) == "–"


def test_intervals_cover_the_multiplier(simulated):
    covered = 0
    for replicate in range(40):
        rng = np.random.default_rng(replicate)
        table = simulated(rng, {"none": (1, 1), "memory": (1.5, 1.5)}, checkpoints=8, seeds=2)
        ratio = discovery_ratio(check_table(table), "memory", "none")
        covered += ratio.low <= 1.5 <= ratio.high
    # 38 are expected; fewer than 35 have a probability of .014 if intervals cover in 95 %.
    assert covered >= 35


def test_multipliers_by_kind_of_skill(simulated):
    table = check_table(simulated(np.random.default_rng(1), {"none": (1, 1), "memory": (1.2, 3)}, 40, 3))
    (row,) = factor_rows(table)
    assert list(row) == ["method", "rules == 6", "rules == 30", "tells"]  # all tell here
    assert row["rules == 6"].low < 1.2 < row["rules == 6"].high < 2
    assert 2 < row["rules == 30"].low < 3 < row["rules == 30"].high


# ---- Methods and easy problems.


def test_methods_beside_the_prediction(counted):
    none, memory = method_rows(check_table(counted(FOUND)), {"memory": 1.6})
    assert none["method"] == "none"
    assert none["share found [95 %]"].value == pytest.approx(0.4)
    assert memory["minus none [95 %]"].value == pytest.approx(0.2)
    assert (memory["trainings"], memory["predicted"]) == (6, 1.6)


def easy(table, kind, after):
    """One easy row for each training, `after` by method."""
    one = table[table["skill"] == "skill-0"]
    values = one["method"].map(after) + 0.01 * one["seed"]
    return one.assign(kind=kind, skill=None, lam=None, found=None, early_logp=None, p_right_0=0.8, p_right=values)


def test_easy_problems_of_both_kinds(counted):
    hard = counted(FOUND)
    parts = [hard, easy(hard, "habit", {"none": 0.8, "memory": 0.7}), easy(hard, "own", {"none": 0.9, "memory": 0.9})]
    table = check_table(pd.concat([part.astype(object) for part in parts], ignore_index=True))
    rows = easy_rows(table)
    assert [(row["easy by"], row["method"]) for row in rows] == [
        ("habit", "none"),
        ("habit", "memory"),
        ("own", "none"),
        ("own", "memory"),
    ]
    # Seeds 0 and 1 add .00 and .01.
    assert (rows[1]["before"], rows[1]["after"]) == pytest.approx((0.8, 0.705))
    assert rows[1]["minus none [95 %]"].value == pytest.approx(-0.1)
    assert question_rows(table, [Question("?", "memory", "none", subset="tells")])[0]["pairs"] == 6


# ---- The door.


def test_the_command_prints_all_tables(counted, tmp_path, capsys):
    methods = {"none", *(name for one in QUESTIONS for name in (one.method, one.other))}
    rng = np.random.default_rng(0)
    table = counted({method: rng.integers(2, 9, size=(3, 2)).tolist() for method in sorted(methods)})
    table.to_parquet(tmp_path / "table.parquet")
    (tmp_path / "predicted.json").write_text(json.dumps({"memory": 1.6}))
    assert main([str(tmp_path / "table.parquet"), "--predictions", str(tmp_path / "predicted.json")]) == 0
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if line.startswith("## ")] == [
        "## Questions",
        "## Methods, on hard skills",
        "## Multiplier of discovery over none, by kind of skill [95 %]",
    ]
    assert all(f"| {one.name} | {one.method} - {one.other} |" in printed for one in QUESTIONS)


def test_other_questions_may_be_asked(counted, tmp_path, capsys):
    rng = np.random.default_rng(0)
    counted({name: rng.integers(2, 9, size=(3, 2)).tolist() for name in ("none", "a", "b")}).to_parquet(tmp_path / "t")
    assert main([str(tmp_path / "t"), "--ask", "a", "b", "--ask", "b", "none"]) == 0
    asked = [line for line in capsys.readouterr().out.splitlines() if "?" in line]
    assert [line.split(" | ")[1] for line in asked] == ["a - b", "b - none"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="lam"), r"lacks the columns \['lam'\]"),
        (lambda table: table.assign(kind="easy"), r"kind must be one of .* got \['easy'\]"),
        (lambda table: pd.concat([table, table[:2]]), r"2 rows repeat .*'start-0'.*one row each"),
        (lambda table: table[1:], r"= \(0, 'none'\) from the checkpoint 'start-0' lacks the skills \['skill-0'\]"),
        (lambda table: table.assign(lam=0.0), "lam is missing or impossible in 120 rows"),
        (lambda table: table.assign(found=table["found"].where(table["seed"] == 0)), "found is missing .* 60 rows"),
        (lambda table: table.assign(early_logp=-np.inf), "early_logp is missing"),
        (lambda table: table[table["method"] == "none"], r"no training of \['memory'\]; its methods are \['none'\]"),
    ],
)
def test_bad_tables_are_refused(counted, change, message):
    with pytest.raises(ValueError, match=message):
        check_table(change(counted(FOUND)), ["none", "memory"])


def test_what_cannot_be_compared(counted):
    table = check_table(counted(FOUND))
    with pytest.raises(ValueError, match="no hard skill where 'rules == 7'"):
        hard_skills(table, "rules == 7")
    table.loc[table["method"] == "memory", "seed"] += 2
    with pytest.raises(ValueError, match="'memory' and 'none' share no checkpoint and seed"):
        paired_differences(table, "found", "memory", "none")
    with pytest.raises(ValueError, match=r"margin .* above 0 or None, got 0"):
        Question("?", "memory", "none", margin=0)
