"""The elliptical bonus by hand and by its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meds_lab.rivals.rep_exp import elliptical_bonus, sparse_projection


def test_by_hand():
    # Mean (0, 0). First axis: 1, -1, 0, 0: 2 + .5 = 2.5; second: 0, 0, 2, -2: 8 + .5 = 8.5. 1 / 2.5 = .4, 4 / 8.5.
    states = [[1, 0], [-1, 0], [0, 2], [0, -2]]
    assert elliptical_bonus(states, ridge=0.5).tolist() == pytest.approx([0.4, 0.4, 4 / 8.5, 4 / 8.5])


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 20))
def test_rank_one_updates_give_the_same(seed, n, k):
    """Parity with the recipe's way: the inverse built up by Sherman and Morrison."""
    states = np.random.default_rng(seed).normal(size=(n, k))
    centred, inverse = states - states.mean(axis=0), np.eye(k) / 0.01
    for h in centred:
        inverse -= np.outer(inverse @ h, h @ inverse) / (1 + h @ inverse @ h)
    bonus = elliptical_bonus(states)
    np.testing.assert_allclose(bonus, [h @ inverse @ h for h in centred], atol=1e-8)
    assert (bonus < 1).all()
    assert bonus.sum() <= min(n - 1, k) + 1e-9  # leverages sum to the rank at most


def test_equal_states_have_none():
    assert elliptical_bonus(np.ones((4, 3))).tolist() == [0.0] * 4
    assert elliptical_bonus(np.zeros((0, 3))).tolist() == []


def test_the_projection_keeps_distances_in_the_mean():
    projection = sparse_projection(400, 100, seed=3)
    assert (projection == sparse_projection(400, 100, seed=3)).all()
    assert (projection != 0).mean() == pytest.approx(1 / 20, abs=0.005)
    rows = np.random.default_rng(0).normal(size=(200, 400))
    ratio = np.linalg.norm(rows @ projection, axis=1) ** 2 / np.linalg.norm(rows, axis=1) ** 2
    assert ratio.mean() == pytest.approx(1, abs=0.06)


def test_bad_arguments_say_what_is_allowed():
    with pytest.raises(ValueError, match="ridge must be above 0"):
        elliptical_bonus([[1.0]], ridge=0)
    with pytest.raises(ValueError, match=r"shape \(G, k\), got \(2,\)"):
        elliptical_bonus([1.0, 2.0])
    with pytest.raises(ValueError, match="dim must be 1 or more"):
        sparse_projection(3, 0, seed=0)
