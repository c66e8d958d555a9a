import random
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meds_rl.evaluation import pass_at_k
from meds_rl.evaluation.pass_at_k import pass_at_every_k


def exact(n: int, c: int, k: int) -> Fraction:
    return 1 - Fraction(comb(n - c, k), comb(n, k))


def assert_exact(n: int, c: int, k: int) -> None:
    truth = exact(n, c, k)
    error = abs(Fraction(pass_at_k(n, c, k)) - truth)
    assert error <= Fraction(1, 10**12) * truth, (n, c, k)


def test_hand_worked_numbers():
    # One right among 4, draw 2: 3 of the 6 pairs hold it. Two right: 5 of 6 pairs. C(3, 2) / C(4, 2) = 3 / 6.
    assert pass_at_k(4, 1, 2) == pytest.approx(1 / 2, rel=1e-15)
    assert pass_at_k(4, 2, 2) == pytest.approx(5 / 6, rel=1e-15)
    # pass@1 is the share of right ones, whatever n.
    assert pass_at_k(128, 32, 1) == pytest.approx(0.25, rel=1e-15)
    # Two right among 5, draw 3: without a right one only the 3 wrong ones, 1 of C(5, 3) = 10.
    assert pass_at_k(5, 2, 3) == pytest.approx(0.9, rel=1e-15)


def test_certain_cases_are_exact():
    assert pass_at_k(10, 0, 10) == 0.0
    assert str(pass_at_k(10, 0, 3)) == "0.0"  # not -0.0
    assert pass_at_k(10, 10, 1) == 1.0
    assert pass_at_k(10, 4, 7) == 1.0  # only 6 wrong ones to draw
    assert pass_at_k(1, 1, 1) == 1.0


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_equals_exact_arithmetic(nck):
    assert_exact(*nck)


@pytest.mark.parametrize(
    ("c", "k"),
    [(1, 1), (1, 99_999), (99_999, 1), (50_000, 50_000), (3, 50_000), (5, 20), (300, 300), (1, 100_000)],
)
def test_equals_exact_arithmetic_for_100_000_samples(c, k):
    assert_exact(100_000, c, k)


def test_equals_exact_arithmetic_for_some_thousands():
    rng = random.Random(0)
    for _ in range(50):
        n = rng.randint(1, 3000)
        assert_exact(n, rng.randint(0, n), rng.randint(1, n))


def test_is_the_mean_over_all_draws():
    graded = np.array([True, False, False, True, False, False])
    rng = np.random.default_rng(0)
    draws = np.array([graded[rng.permutation(6)[:3]].any() for _ in range(20_000)])
    assert pass_at_k(6, 2, 3) == pytest.approx(draws.mean(), abs=0.02)  # 5 standard errors


def test_types_and_shapes():
    assert type(pass_at_k(4, 1, 2)) is float
    assert type(pass_at_k(np.int64(4), np.int32(1), 2)) is float
    table = pass_at_k(16, np.array([[0], [8], [16]]), [1, 16])
    assert isinstance(table, np.ndarray)
    assert table.dtype == np.float64
    np.testing.assert_allclose(table, [[0, 0], [0.5, 1], [1, 1]], rtol=1e-15)
    assert np.shape(pass_at_k([], [], 1)) == (0,)


@pytest.mark.parametrize(
    ("n", "c", "k", "error", "message"),
    [
        (4, 1, 5, ValueError, "k must be at most n, got n=4, c=1, k=5"),
        (4, 5, 1, ValueError, "c must be from 0 to n, got n=4, c=5, k=1"),
        (4, -1, 1, ValueError, "c must be from 0 to n"),
        (-4, 0, 1, ValueError, "k must be at most n"),
        (4, 1, 0, ValueError, "k must be 1 or more"),
        (4, 1, -2, ValueError, "k must be 1 or more"),
        (0, 0, 1, ValueError, "k must be at most n"),
        (4, [1, 2, 9], 1, ValueError, "got n=4, c=9, k=1"),
        (4.0, 1, 1, TypeError, "n must be an integer"),
        (4, True, 1, TypeError, "c must be an integer"),
        (np.uint64(2**63), 1, 1, ValueError, r"n must be below 2\*\*63"),
        ([4, 4], [1, 1, 1], 1, ValueError, "shape"),
    ],
)
def test_bad_input(n, c, k, error, message):
    with pytest.raises(error, match=message):
        pass_at_k(n, c, k)


@pytest.mark.parametrize("n", [1, 2, 7, 1_000])
def test_every_k_at_once_is_each_k_by_itself(n):
    for c in {0, 1, n // 2, n - 1, n}:
        expected = pass_at_k(n, c, np.arange(1, n + 1))
        np.testing.assert_allclose(pass_at_every_k(n, c), expected, rtol=1e-12, atol=0)
    assert str(pass_at_every_k(2, 0)[0]) == "0.0"
    with pytest.raises(ValueError, match="c from 0 to n"):
        pass_at_every_k(3, 4)


def test_the_published_estimators_values():
    """Chen et al. 2021, figure 3: 1 - prod_{i=n-c+1}^{n} (1 - k/i), which forms the same product in another order."""
    for n, c, k in [(200, 7, 10), (200, 13, 100), (100, 1, 10), (5, 2, 3)]:
        published = 1.0 if n - c < k else 1 - np.prod(1 - k / np.arange(n - c + 1, n + 1))
        assert pass_at_k(n, c, k) == pytest.approx(published, rel=1e-12)
