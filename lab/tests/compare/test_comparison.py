"""Figures of made-up cells, by hand."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from meds_lab.compare.cells import Cell
from meds_lab.compare.comparison import Comparison, compare, corrected, levels
from meds_lab.compare.outcomes import Cost, Outcome, measure, write_cells
from meds_lab.compare.results import make_results, write_files
from meds_lab.compare.tables import text_tables

ROOT = Path(__file__).parents[3]


def problems(right, exact=None, n=4, group="test"):
    """A problem for each number of right completions; of the wrong ones two in three answers are distinct."""
    wrong = [n - r for r in right]
    return pd.DataFrame(
        {
            "group": group,
            "problem_id": [f"p{place}" for place in range(len(right))],
            "n": n,
            "right": right,
            "no_answer": 0,
            "wrong": wrong,
            "distinct": [min(2, w) for w in wrong],
            "exact": pd.Series(exact if exact is not None else [None] * len(right), dtype=object),
        }
    )


def outcome(method, seed, right, *, task="pocket", checkpoint="base", exact=None, seconds=1.0):
    cell = Cell(task, checkpoint, seed, method, {}, Path("x"))
    return Outcome(cell, problems([0] * len(right)), problems(right, exact), Cost(seconds, 3, 96), (2,), 4)


@pytest.fixture
def grid(make):
    return make(k=2)[0]


def of(found, name, method="meds"):
    return next(one for one in found if (one.measure, one.method) == (name, method))


def test_differences_by_hand(grid):
    outcomes = [
        outcome("dapo", 0, [1, 2]),
        outcome("meds", 0, [2, 4]),
        outcome("dapo", 1, [0, 2]),
        outcome("meds", 1, [1, 1]),
        outcome("meds", 2, [4, 4]),  # no partner yet
    ]
    found = compare(grid, outcomes)
    one = of(found, "pass@1")
    # Seed 0: 6/8 - 3/8; seed 1: 2/8 - 2/8.
    assert one.difference.by_seed == (0.375, 0.0)
    assert one.difference.difference == 0.1875
    assert (one.difference.num_positive, one.units, one.k) == (1, (("base", 0), ("base", 1)), 2)
    assert one.p == 1.0  # .375 + 0 and its other signs are all as far from 0
    # pass@2 of 0, 1, 2, 4 right in 4: 0, 1/2, 5/6, 1. Seed 0: (5/6 + 1)/2 - (1/2 + 5/6)/2 = 1/4; seed 1: 1/2 - 5/12.
    assert of(found, "pass@k").difference.by_seed == pytest.approx((1 / 4, 1 / 12))
    # Repeated: (wrong - distinct) / wrong, summed. dapo, seed 0: 3, 2 wrong, 2, 2 distinct: 1/5. meds: 2, 0 wrong: 0.
    assert of(found, "repeated").difference.by_seed[0] == pytest.approx(-1 / 5)
    assert [one for one in found if one.measure == "exact pass@k"] == [], "the task does not tell"


def test_exact_counts_only_right_workings():
    table = problems([2, 4], exact=[0, 4])
    assert measure(table, "exact pass@k", 2).values.tolist() == [0.0, 1.0]
    assert measure(problems([2, 4], exact=[None, 4]), "exact pass@k", 2) is None


def test_levels_count_the_checkpoint_once_a_unit(grid):
    found = levels(grid, [outcome("dapo", 0, [1, 2]), outcome("meds", 0, [2, 4]), outcome("meds", 1, [2, 2])])
    shown = {(one.method): (one.value, one.num_units) for one in found if one.measure == "pass@1"}
    assert shown == {"before": (0.0, 2), "dapo": (0.375, 1), "meds": (0.625, 2)}


def test_holm_is_within_a_measure():
    def made(name, p):
        return Comparison("pocket", "test", name, 2, "meds", "dapo", (), None, None, p)  # type: ignore[arg-type]

    found = corrected([made("pass@1", 0.01), made("pass@k", 0.02), made("pass@1", 0.03), made("pass@1", 0.04)])
    assert [one.p_holm for one in found] == pytest.approx([0.03, 0.02, 0.06, 0.06])


@pytest.fixture
def three(make):
    """A grid that also asks for meds minus count."""
    methods = {name: {"method": "dapo"} for name in ("dapo", "count", "meds")}
    return make(k=2, methods=methods, also=[["meds", "count"]])[0]


def test_other_pairs_are_compared_and_counted(three):
    outcomes = [
        outcome(method, seed, [right])
        for seed in range(5)
        for method, right in (("dapo", 1), ("count", 2), ("meds", 4))
    ]
    found = [one for one in compare(three, outcomes) if one.measure == "pass@1"]
    assert [(one.method, one.against, one.difference.difference) for one in found] == [
        ("count", "dapo", 0.25),
        ("meds", "dapo", 0.75),
        ("meds", "count", 0.5),
    ]
    # All 5 units alike: p = 2/32. Three comparisons.
    assert [one.p for one in found] == [0.0625] * 3
    assert [one.p_holm for one in found] == [0.1875] * 3


def test_an_unfinished_other_pair_is_left_out(three):
    found = compare(three, [outcome("dapo", 0, [1, 2]), outcome("meds", 0, [2, 4]), outcome("count", 1, [1, 1])])
    assert {(one.method, one.against) for one in found} == {("meds", "dapo")}


def on_two_checkpoints():
    """Five seeds each; meds changes nothing from checkpoint a and everything from b."""
    return [
        outcome(method, seed, [right], checkpoint=checkpoint)
        for checkpoint, after in (("a", 0), ("b", 4))
        for seed in range(5)
        for method, right in (("dapo", 0), ("meds", after))
    ]


def test_checkpoints_are_drawn_before_their_units(grid):
    one = of(compare(grid, on_two_checkpoints()), "pass@1")
    # Drawn one by one the mean is Binomial(10, 1/2) / 10: 1.1 % lie at .1 or below, 5.5 % at .2 or below.
    assert (one.difference.low, one.difference.high) == pytest.approx((0.2, 0.8))
    # Drawn by checkpoint it is 0, 1/2 or 1.
    assert one.over_checkpoints is not None
    assert (one.over_checkpoints.low, one.over_checkpoints.high) == (0.0, 1.0)
    assert one.over_checkpoints.difference == one.difference.difference == 0.5


def test_one_checkpoint_has_no_interval_over_checkpoints(grid):
    first = [one for one in on_two_checkpoints() if one.cell.checkpoint == "a"]
    assert {one.over_checkpoints for one in compare(grid, first)} == {None}
    assert not [note for note in make_results(grid, first, 10).notes() if "over checkpoints" in note]


def test_the_interval_over_checkpoints_is_in_the_results_and_in_a_note(grid, tmp_path):
    outcomes = on_two_checkpoints()
    results = make_results(grid, outcomes, 20)
    (note,) = [note for note in results.notes() if "over checkpoints" in note]
    assert "With 2 checkpoints it is too narrow" in note
    write_files(tmp_path, grid, outcomes, results)
    (row,) = [
        row for row in json.loads((tmp_path / "results.json").read_text())["comparisons"] if row["measure"] == "pass@1"
    ]
    assert (row["against"], row["low_over_checkpoints"], row["high_over_checkpoints"]) == ("dapo", 0.0, 1.0)
    assert row["interval_over_checkpoints"].startswith("bootstrap over 2 clusters, their seeds and problems")


def test_only_the_groups_that_are_asked_for(make):
    grid, _ = make(groups=["nowhere"])
    assert compare(grid, [outcome("dapo", 0, [1]), outcome("meds", 0, [2])]) == []


def test_notes_say_what_few_pairs_can_say(grid):
    outcomes = [outcome(method, seed, [1, 2]) for seed in (0, 1, 2) for method in ("dapo", "meds")]
    notes = make_results(grid, outcomes, 8).notes()
    assert notes[0].startswith("6 of 8 cells are finished")
    assert "3 pairs: no p value can be below 0.25" in notes[1]
    assert notes[2].startswith("With 3 units and 1 comparison the least corrected p is 0.25: no difference")
    assert len(notes) == 3
    assert "One pair shows nothing about other seeds" in make_results(grid, outcomes[:2], 2).notes()[0]


def test_notes_of_a_half_finished_grid_are_for_all_its_pairs(three):
    outcomes = [outcome(method, seed, [1, 2]) for seed in range(4) for method in ("dapo", "meds")]
    notes = make_results(three, [*outcomes, outcome("count", 0, [1, 2])], 12).notes()
    (note,) = [note for note in notes if "pairs:" in note]
    assert note.startswith("1 to 4 pairs: no p value can be below 1 with 1, 0.12 with 4, and the intervals are")
    assert note.endswith("One pair shows nothing about other seeds and checkpoints.")


def test_unequal_samples_are_said(grid):
    outcomes = [outcome("dapo", 0, [1, 2]), outcome("meds", 0, [1, 2])]
    # 96 each; 101 is over a twentieth more, 100 is not.
    for number, is_said in ((100, False), (101, True)):
        other = replace(outcomes[1], cost=Cost(1.0, 3, number))
        said = [note for note in make_results(grid, [outcomes[0], other], 2).notes() if "completions" in note]
        assert bool(said) == is_said
    assert "On pocket the methods generated different numbers of completions (dapo 96, meds 101)" in said[0]


def test_lost_metrics_are_no_cost_and_no_difference_in_samples(grid):
    outcomes = [outcome("dapo", 0, [1, 2]), outcome("meds", 0, [1, 2]), outcome("meds", 1, [1, 2])]
    lost = Cost(math.nan, 0, 0)
    found = make_results(grid, [*outcomes[:2], replace(outcomes[2], cost=lost)], 3)
    assert [(one.updates, one.samples_generated, one.seconds_per_step) for one in found.costs] == [
        (3, 96, 1.0),
        (3, 96, 1.0),
    ]
    found = make_results(grid, [outcomes[0], replace(outcomes[1], cost=lost)], 2)
    assert not [note for note in found.notes() if "completions" in note]
    *_, table = text_tables(found, "dapo")
    assert table.sections[0][1][1] == ("meds", "1", "–", "–", "–", "–", "–", "2")


def test_files_hold_every_problem_and_no_nan(grid, tmp_path):
    outcomes = [
        outcome("dapo", 0, [4, 4], seconds=2.0),
        outcome("meds", 0, [4, 4], exact=[3, 4], seconds=3.0),
    ]
    write_files(tmp_path, grid, outcomes, make_results(grid, outcomes, 2))
    table = pd.read_parquet(tmp_path / "cells.parquet")
    assert len(table) == 4  # two cells, before and after, one group
    row = table[(table["method"] == "meds") & (table["when"] == "after")].iloc[0]
    assert row["problem_id"].tolist() == ["p0", "p1"]
    assert row["problem_right"].tolist() == [4, 4]
    assert row["problem_exact"].tolist() == [3, 4]
    assert row["pass@1"] == 1.0
    assert np.isnan(row["repeated"]), "nothing was wrong"
    assert (row["seconds_per_step"], row["updates"], row["samples_generated"]) == (3.0, 3, 96)
    page = (ROOT / "lab" / "evidence" / "comparing.md").read_text()
    assert [name for name in table.columns if f"`{name}`" not in page] == []
    text = (tmp_path / "results.json").read_text()
    assert "NaN" not in text
    assert '"relative": 1.5' in text
    write_cells(tmp_path / "again.parquet", outcomes, 2)
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "cells.parquet").read_bytes()
