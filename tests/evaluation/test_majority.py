"""maj@k against all subsets, against simulation, and by hand."""

from collections import Counter
from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meds_rl.evaluation import maj_at_k


def vote(subset):
    """The chance that the right answer ("R") wins a vote: 1 over the number of winners if it is one of them."""
    counts = Counter(answer for answer in subset if answer is not None)
    most = max(counts.values(), default=0)
    winners = [answer for answer, count in counts.items() if count == most]
    return Fraction(int("R" in winners), len(winners) or 1)


def brute(answers, k):
    subsets = [[answers[i] for i in chosen] for chosen in combinations(range(len(answers)), k)]
    return sum(map(vote, subsets), Fraction(0)) / comb(len(answers), k)


def values(answers):
    return maj_at_k(answers, [answer == "R" for answer in answers])


def test_by_hand():
    # Pairs: RR 1; R with a, twice, 1/2 each; R with the silent one, twice, 1 each; a with it 0: 4 of 6.
    # Triples: RR and a 1, RR and the silent one 1, one R with both, twice, 1/2 each: 3 of 4.
    assert values(["R", "R", "a", None]).tolist() == pytest.approx([1 / 2, 4 / 6, 3 / 4, 1])


def test_a_right_completion_without_an_answer_does_not_vote():
    # One of k votes at most, and no answer in the others: maj@1 is 1/3, where pass@1 is 2/3.
    assert maj_at_k(["7", None, None], [True, True, False]).tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert maj_at_k([None, None], [True, True]).tolist() == [0, 0]


@given(st.lists(st.sampled_from(["R", "R", "a", "a", "b", "c", None]), min_size=1, max_size=9))
@settings(max_examples=150)
def test_equals_the_mean_over_all_subsets(answers):
    expected = [float(brute(answers, k)) for k in range(1, len(answers) + 1)]
    np.testing.assert_allclose(values(answers), expected, rtol=1e-12, atol=0)


def test_many_ties():
    answers = ["R", *"abcdefghijk"]  # any two differ: 1/k of the subsets with R, which are k/n of all
    np.testing.assert_allclose(values(answers), np.full(12, 1 / 12), rtol=1e-13)


def test_equals_simulation_where_subsets_are_too_many():
    rng = np.random.default_rng(0)
    answers = np.array(["R"] * 40 + ["a"] * 35 + ["b"] * 20 + [None] * 33, dtype=object)
    found = values(list(answers))
    for k in (8, 32, 100):
        drawn = [float(vote(rng.permutation(answers)[:k])) for _ in range(2_000)]
        assert found[k - 1] == pytest.approx(np.mean(drawn), abs=0.06)  # 5 standard errors


def test_exact_in_whole_numbers_for_two_candidates():
    # No silence: R wins if it has more than half of k votes, with half of the ties.
    right, wrong = 300, 212
    got = values(["R"] * right + ["a"] * wrong)
    for k in (1, 2, 33, 256, 511, 512):
        ways = Fraction(0)
        for j in range(max(0, k - wrong), min(k, right) + 1):
            weight = Fraction(1) if 2 * j > k else Fraction(1, 2) if 2 * j == k else Fraction(0)
            ways += weight * comb(right, j) * comb(wrong, k - j)
        assert got[k - 1] == pytest.approx(float(ways / comb(512, k)), rel=1e-11)


@pytest.mark.parametrize("sizes", [[512, 512], [400, 300, 324], [1] * 1_024, [2] * 512, [341, *[32] * 21, *[1] * 11]])
def test_stable_for_1024_completions(sizes):
    answers = [("R" if i == 0 else str(i)) for i, size in enumerate(sizes) for _ in range(size)]
    found = values(answers)
    assert np.isfinite(found).all()
    assert found[0] == pytest.approx(sizes[0] / 1_024, rel=1e-12)
    most = sum(size == max(sizes) for size in sizes)
    assert found[-1] == pytest.approx(1 / most if sizes[0] == max(sizes) else 0.0, rel=1e-12)
    assert ((found >= 0) & (found <= 1)).all()


def test_who_votes():
    assert maj_at_k([None, None], [False, False]).tolist() == [0, 0]
    # Right answers are one candidate however they are written; wrong ones are by their text.
    assert maj_at_k(["1/2", "0.5", "3", "3"], [True, True, False, False], 4) == 0.5
    assert maj_at_k(["7", "3", "3.0"], [True, False, False], 3) == pytest.approx(1 / 3)
    assert type(maj_at_k(["1"], [True], 1)) is float


def test_a_returned_array_is_the_callers_own():
    maj_at_k(["1"], [True])[0] = 5
    assert maj_at_k(["1"], [True]).tolist() == [1]


@pytest.mark.parametrize(
    ("answers", "is_correct", "k", "said"),
    [
        ([], [], None, "1 to 1024 completions"),
        (["1"] * 1_025, [True] * 1_025, None, "1 to 1024 completions"),
        (["1"], [True, False], None, "same length, got 1 and 2"),
        (["1"], [True], 2, r"k must be in 1\.\.1"),
        (["1"], [True], 0, r"k must be in 1\.\.1"),
    ],
)
def test_bad_input(answers, is_correct, k, said):
    with pytest.raises(ValueError, match=said):
        maj_at_k(answers, is_correct, k)


@pytest.mark.parametrize("k", [1.5, 2.0, True, "2"])
def test_k_is_an_integer(k):
    with pytest.raises(TypeError, match="k must be an integer"):
        maj_at_k(["7", "7", "5"], [True, True, False], k)
    assert maj_at_k(["7", "7", "5"], [True, True, False], np.int64(3)) == 1.0
