"""Whether a grid can show anything."""

import pytest

from meds_lab.compare.significance import planned_units, power_note


def test_ten_units_bear_25_comparisons():
    # 2 / 2^10 = .001953: 25 of them .0488, 26 .0508.
    assert power_note([10] * 25) is None
    assert power_note([10] * 26) == (
        "With 10 units and 26 comparisons the least corrected p is 0.051: no difference can pass .05; ask fewer "
        "questions or have more units."
    )


def test_few_units():
    assert power_note([5]) is not None  # .0625
    assert power_note([6]) is None  # .03125
    assert "With 1 unit and 1 comparison the least corrected p is 1:" in power_note([1])
    assert power_note([]) is None


def test_units_of_several_numbers():
    # In order: six of .00195, the greatest 12 * .00195 = .023; then six of .25: 6 * .25 > 1.
    note = power_note([3, 10] * 6)
    assert "With 3 units and 12 comparisons the least corrected p is 1: no difference over 3 units can" in note
    # Others that can come out leave fewer to correct for: the last of three is .031 itself.
    assert power_note([6, 20, 20]) is None
    assert "With 3 to 4 units" in power_note([3, 4])


@pytest.mark.parametrize(("also", "number"), [([], 4), ([["meds", "count"]], 6)])
def test_the_plan(make, also, number):
    methods = {name: {"method": "dapo"} for name in ("dapo", "count", "meds")}
    grid, _ = make(methods=methods, also=also, seeds=4)
    assert planned_units(grid, {"pocket": ["test easy", "test hard"]}) == [4] * number
