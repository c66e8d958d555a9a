"""The tables that the README quotes, from the committed cells."""

from pathlib import Path

import pytest

from meds_lab.compare.cells import make_cells
from meds_lab.compare.checks import resolve
from meds_lab.compare.command import load_grid
from meds_lab.compare.merge import read_merged
from meds_lab.compare.results import Results, make_results

LAB = Path(__file__).parents[2]


def results_of(name: str) -> Results:
    """As `meds-lab compare GRID --table --merge CELLS` makes them."""
    grid = load_grid(LAB / "recipes" / f"{name}.yaml")
    cells = make_cells(grid, Path("none"))
    found = read_merged([LAB / "evidence" / f"{name}.parquet"], resolve(cells))
    assert list(found) == cells, "every cell is in the file"
    return make_results(grid, list(found.values()), len(cells))


def levels_of(results: Results, measure: str, group: str = "test hard") -> dict[str, float]:
    of_measure = [one for one in results.levels if (one.measure, one.group) == (measure, group)]
    return {one.method: round(one.value, 3) for one in of_measure}


def leads_of(results: Results) -> dict[str, tuple[float, ...]]:
    """What `recommended` has more of exact pass@16, with the interval, the pairs above 0 and p after Holm."""
    found = {}
    for one in results.comparisons:
        if one.measure == "exact pass@k":
            low, high = -one.difference.high, -one.difference.low
            below = sum(value < 0 for value in one.difference.by_seed)
            numbers = (-one.difference.difference, low, high, below, one.p_holm)
            found[one.method] = tuple(round(float(number), 3) for number in numbers)
    return found


def test_the_main_table():
    results = results_of("compare-recommended")
    assert levels_of(results, "exact pass@k") == {
        "before": 0.051,
        "recommended": 0.525,
        "recommended-random": 0.423,
        "recommended-count": 0.502,
        "no-penalty": 0.458,
        "grpo-entropy": 0.326,
        "first-preset": 0.418,
    }
    assert leads_of(results) == {
        "no-penalty": pytest.approx((0.067, -0.005, 0.141, 16, 0.114), abs=0.0011),
        "recommended-random": pytest.approx((0.102, 0.040, 0.172, 19, 0.003), abs=0.0011),
        "recommended-count": pytest.approx((0.024, -0.028, 0.075, 15, 0.267), abs=0.0011),
        "first-preset": pytest.approx((0.107, 0.044, 0.176, 19, 0.003), abs=0.0011),
        "grpo-entropy": pytest.approx((0.199, 0.113, 0.291, 21, 0.000), abs=0.0011),
    }
    assert levels_of(results, "pass@1")["recommended"] == 0.169
    easy = levels_of(results, "pass@1", "test easy")
    assert [easy[name] for name in ("before", "recommended", "no-penalty")] == [0.812, 0.781, 0.834]


def test_grpo_and_dapo_with_one_seed():
    results = results_of("compare-recommended-one-seed")
    exact = levels_of(results, "exact pass@k")
    assert [exact[name] for name in ("recommended", "grpo", "dapo")] == [0.536, 0.214, 0.247]
    leads = leads_of(results)
    assert leads["grpo"] == pytest.approx((0.322, 0.198, 0.459, 8, 0.047), abs=0.0011)
    assert leads["dapo"] == pytest.approx((0.289, 0.152, 0.445, 8, 0.047), abs=0.0011)
