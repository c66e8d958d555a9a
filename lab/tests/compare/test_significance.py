"""P values by hand, and against scipy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from meds_lab.compare.significance import MAX_EXACT, holm, sign_flip_p, smallest_p

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1.0], 1.0),  # +1 and -1 are both as far from 0
        ([1.0, 2.0], 0.5),  # sums +-3, +-1: two of four
        ([1.0, -2.0], 1.0),  # |-1|: all four are at least as far
        ([1.0, 2.0, -1.0], 0.75),  # sums +-4, +-2, +-2, 0, 0: six of eight are at least 2 from 0
        ([0.1, 0.2, 0.3], 0.25),  # only +++ and ---, although 0.1 + 0.2 is not 0.3 in binary
        ([0.0, 0.0], 1.0),
        ([0.5] * 10, 2 / 1024),
    ],
)
def test_sign_flips_by_hand(differences, p):
    assert sign_flip_p(differences, RNG) == pytest.approx(p)


def test_what_cannot_be_tested_is_nan():
    assert math.isnan(sign_flip_p([], RNG))
    assert math.isnan(sign_flip_p([1.0, math.nan], RNG))


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=9))
def test_exact_as_scipy_has_it(values):
    found = stats.permutation_test((values,), np.sum, permutation_type="samples", vectorized=False, n_resamples=np.inf)
    assert sign_flip_p(values, RNG) == pytest.approx(min(1.0, found.pvalue), abs=1e-12)


def test_many_units_are_drawn_at_random_and_near_the_normal_limit():
    values = np.random.default_rng(1).normal(0.4, 1.0, size=30)
    p = sign_flip_p(values, np.random.default_rng(2))
    expected = 2 * stats.norm.sf(abs(values.sum()) / math.sqrt((values**2).sum()))
    assert p == pytest.approx(expected, abs=0.01)
    assert sign_flip_p(np.ones(MAX_EXACT + 24), RNG) == smallest_p(MAX_EXACT + 24) == 1 / 100_001


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),  # 3 * .01; 2 * .03; 1 * .04, but not below .06
        ([0.02], [0.02]),
        ([0.5, 0.6], [1.0, 1.0]),  # 2 * .5; .6, but not below 1
        ([0.01, 0.01], [0.02, 0.02]),
        ([0.001, 0.5, 0.02, 0.03], [0.004, 0.5, 0.06, 0.06]),  # 4 * .001, 3 * .02, 2 * .03, 1 * .5
        ([], []),
    ],
)
def test_holm_by_hand(p_values, adjusted):
    assert holm(p_values) == pytest.approx(adjusted)


def test_holm_counts_only_what_was_tested():
    found = holm([0.02, math.nan, 0.03])
    assert found[::2] == pytest.approx([0.04, 0.04])
    assert math.isnan(found[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_none_and_bonferroni_and_keeps_the_order(p_values):
    found = holm(p_values)
    for p, adjusted in zip(p_values, found, strict=True):
        assert p <= adjusted <= min(1.0, len(p_values) * p) + 1e-15
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(found)[order]) >= 0).all()


@pytest.mark.parametrize(("units", "p"), [(1, 1.0), (2, 0.5), (3, 0.25), (10, 2 / 1024)])
def test_smallest_p_is_reached(units, p):
    assert smallest_p(units) == p == sign_flip_p(np.ones(units), RNG)
