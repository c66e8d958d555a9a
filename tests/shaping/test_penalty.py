import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meds_rl import penalty


def test_hand_worked_numbers():
    # 0.1 ln(2) = 0.0693, 0.1 ln(3) = 0.1099, 0.1 ln(4) = 0.1386, 0.1 ln(5) = 0.1609, 0.1 ln(6) = 0.1792,
    # 0.1 ln(7) = 0.1946; 0.1 ln(8) = 0.2079 is above the cap of 0.2, as is everything after it.
    expected = [0.0, 0.0693, 0.1099, 0.1386, 0.1609, 0.1792, 0.1946, 0.2, 0.2, 0.2]
    assert penalty([0, 1, 2, 3, 4, 5, 6, 7, 8, 1000]).round(4).tolist() == expected


def test_hand_worked_numbers_of_the_papers_qwen3_8b():
    # 0.02 ln(3) = 0.0220, 0.02 ln(8) = 0.0416 > 0.04
    assert penalty([2, 7], alpha=0.02, beta=0.04).round(4).tolist() == [0.022, 0.04]


@given(
    st.lists(st.integers(0, 10**12), max_size=20),
    st.floats(0, 10),
    st.floats(0, 10),
)
def test_is_the_formula_and_stays_within_the_cap(sizes, alpha, beta):
    penalties = penalty(sizes, alpha, beta)
    assert penalties.dtype == np.float64
    assert penalties.shape == (len(sizes),)
    assert ((penalties >= 0) & (penalties <= beta)).all()
    expected = [min(alpha * math.log(size + 1), beta) for size in sizes]
    np.testing.assert_allclose(penalties, expected, rtol=1e-12)


def test_never_falls_as_the_cluster_grows():
    assert (np.diff(penalty(np.arange(100), beta=100.0)) > 0).all()


def test_sizes_need_not_be_whole():
    # With a half-life an old member counts less than 1: 0.1 ln(1.5) = 0.0405, 0.1 ln(2.75) = 0.1012.
    assert penalty([0.5, 1.75]).round(4).tolist() == [0.0405, 0.1012]


@pytest.mark.parametrize("sizes", [["1"], [True]])
def test_refuses_sizes_that_are_not_numbers(sizes):
    with pytest.raises(TypeError, match="cluster_sizes must be numbers"):
        penalty(sizes)


@pytest.mark.parametrize("size", [-2, -0.5, math.inf, math.nan])
def test_refuses_a_size_that_no_cluster_has(size):
    with pytest.raises(ValueError, match=f"finite and 0 or more, got {size}"):
        penalty([1, size] if size < 0 else [size])


@pytest.mark.parametrize("name", ["alpha", "beta"])
@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan])
def test_refuses_strengths_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"{name} must be finite and 0 or more"):
        penalty([1], **{name: value})
