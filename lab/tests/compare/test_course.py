"""The course of training over the units that all methods have finished, by hand."""

import math

import pytest

from meds_lab.compare.comparison import courses
from meds_lab.compare.outcomes import read_outcome
from meds_rl.rollouts.samples import samples_table, write_samples


def write(cell, when, right):
    """One problem of four samples, so many of them right."""
    rows = [
        {
            "benchmark": "pocket",
            "group": "test",
            "problem_id": "p",
            "sample": sample,
            "completion": "x",
            "answer": "y",
            "is_correct": sample < right,
            "is_exact": None,
        }
        for sample in range(4)
    ]
    write_samples(cell.folder / "evaluation" / f"{when}.parquet", samples_table(rows))


def trained(cell, rights):
    """A finished cell whose evaluations found so many right: before, at steps 1, 2, ... and after."""
    cell.folder.mkdir(parents=True)
    (cell.folder / "recipe.yaml").write_text(
        "per_device_train_batch_size: 4\ngradient_accumulation_steps: 1\ngeneration_batch_size: 4\n"
    )
    (cell.folder / "metrics.jsonl").write_text(f'{{"step": {len(rights) - 1}}}\n')
    names = ["before", *(f"step-{step:06d}" for step in range(1, len(rights) - 1)), "after"]
    for name, right in zip(names, rights, strict=True):
        write(cell, name, right)
    return read_outcome(cell)


@pytest.fixture
def cells(make):
    grid, found = make(k=2)
    return grid, {(cell.seed, cell.method): cell for cell in found}


def test_means_and_spread_by_hand(cells):
    grid, of = cells
    outcomes = [
        trained(of[0, "dapo"], [0, 1, 2]),
        trained(of[1, "dapo"], [0, 2, 4]),
        trained(of[0, "meds"], [0, 2, 3]),
        trained(of[1, "meds"], [0, 2, 3]),
    ]
    points, notes = courses(grid, outcomes)
    assert notes == []
    assert {(one.task, one.group, one.k, one.num_units) for one in points} == {("pocket", "test", 2, 2)}
    shown = {(one.measure, one.method, one.step): (one.value, one.spread) for one in points}
    assert len(shown) == 2 * 2 * 3
    # dapo at step 1: 1/4 and 2/4; standard deviation |1/4| / sqrt 2.
    assert shown["pass@1", "dapo", 1] == pytest.approx((3 / 8, 1 / (4 * math.sqrt(2))))
    assert shown["pass@1", "dapo", 2] == pytest.approx((3 / 4, 1 / (2 * math.sqrt(2))))
    assert shown["pass@1", "meds", 2] == (3 / 4, 0.0)
    # pass@2 of 2 right in 4: 1 - 1/6.
    assert shown["pass@k", "meds", 1] == pytest.approx((5 / 6, 0.0))
    assert shown["pass@1", "meds", 0] == (0.0, 0.0)


def test_only_units_and_steps_that_all_have(cells):
    grid, of = cells
    outcomes = [
        trained(of[0, "dapo"], [0, 1, 2]),
        trained(of[1, "dapo"], [4, 4, 4]),  # meds has not finished seed 1
        trained(of[0, "meds"], [0, 2, 3]),
    ]
    points, _ = courses(grid, outcomes)
    assert {one.num_units for one in points} == {1}
    assert all(math.isnan(one.spread) for one in points)
    values = [one.value for one in points if (one.measure, one.method) == ("pass@1", "dapo")]
    assert values == [0, 1 / 4, 2 / 4]
    (of[0, "meds"].folder / "evaluation" / "step-000001.parquet").unlink()
    assert courses(grid, outcomes) == (
        [],
        ["No course of pocket: no evaluations in training that all cells have (eval_every)."],
    )


def test_without_a_common_unit_there_is_no_course(cells):
    grid, of = cells
    one = trained(of[0, "dapo"], [0, 1, 2])
    other = trained(of[1, "meds"], [0, 1, 2])
    assert courses(grid, [one, other]) == ([], ["No course of pocket: no unit has all methods finished."])
