"""Figures over samples, worked out by hand."""

import pytest

from meds_rl.evaluation.figures import Samples, summarise


def test_two_problems_by_hand():
    # a: 1 of 4 right; wrong answers 5, 5, none: 2 distinct. b: 4 of 4 right.
    a = Samples("a", [True, False, False, False], ["7", "5", "5", None])
    b = Samples("b", [True] * 4, ["3"] * 4)
    summary = summarise([a, b], k=2)
    assert summary.pass_at_1 == (0.25 + 1) / 2
    # pass@2 of a: 1 - C(3, 2) / C(4, 2) = 1 - 3/6
    assert summary.pass_at_k == (0.5 + 1) / 2
    assert summary.distinct_wrong == (2 + 0) / 2
    assert summary.repeated_errors == pytest.approx(1 - 2 / 3)
    assert summary.no_answer == 1 / 8
    assert (summary.num_problems, summary.num_samples, summary.k) == (2, 4, 2)


def test_all_right_repeats_nothing():
    assert summarise([Samples("a", [True], ["1"])], k=1).repeated_errors == 0.0


@pytest.mark.parametrize(
    ("problems", "k", "said"),
    [
        ([], 1, "no samples"),
        ([Samples("a", [True], ["1"]), Samples("b", [True] * 2, ["1"] * 2)], 1, "same number"),
        ([Samples("a", [True], ["1"])], 2, r"1\.\.1"),
    ],
)
def test_bad_input(problems, k, said):
    with pytest.raises(ValueError, match=said):
        summarise(problems, k)
