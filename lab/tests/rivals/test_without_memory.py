"""Rivals that need no memory: surprisal and EDAS, by numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meds_lab.rivals.edas import error_diversity
from meds_lab.rivals.no_all_wrong_entropy import all_wrong
from meds_lab.rivals.surprisal import surprisal_penalties


def test_surprisal_is_alpha_times_the_entropy_gradient_of_a_group():
    # Group 0: ln pi = -1, -2, -6, mean -3. Advantages .1 (3 - 1, 3 - 2, 3 - 6) with the other sign: -.2, -.1, .3.
    penalties = surprisal_penalties([-1, -2, -6, -1, -4], [0, 0, 0, 1, 1], [False] * 4 + [True], alpha=0.1)
    np.testing.assert_allclose(penalties, [0.5, 0.4, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(penalties[:3].mean() - penalties[:3], [-0.2, -0.1, 0.3])


def test_edas_of_a_dominant_and_two_rare_errors():
    # Shares 1/2, 1/4, 1/4: -ln p = ln 2 and ln 4, H = 1.5 ln 2, ln N = 2 ln 2: D = .4 (-.25, -.25, .25, .25).
    np.testing.assert_allclose(error_diversity([-1.0] * 4, [5, 5, 6, 7]), [-1.1, -1.1, -0.9, -0.9])
    # S = 2 for |A| = 1, 1, 3, 3: D = -.2, -.2, .2, .2.
    np.testing.assert_allclose(error_diversity([-1, -1, -3, -3], [5, 5, 6, 7]), [-1.2, -1.2, -2.8, -2.8])
    # All alike: -.2 S. One alone: as it was. No advantage, as where all are wrong: none.
    np.testing.assert_allclose(error_diversity([-0.5] * 3, [1, 1, 1]), [-0.6] * 3)
    assert error_diversity([-1.0], [1]).tolist() == [-1.0]
    assert error_diversity([0.0] * 3, [1, 1, 2]).tolist() == [0.0] * 3


@given(st.lists(st.integers(0, 3), min_size=2, max_size=8), st.floats(0, 20), st.floats(0, 20), st.floats(1.01, 4))
def test_edas_keeps_signs_and_within_its_bound_the_mean(errors, alpha, beta, kappa):
    shaped = error_diversity([-1.0] * len(errors), errors, alpha, beta, kappa)
    assert (shaped < 0).all()
    assert (np.abs(shaped + 1) <= 1 / kappa + 1e-12).all()
    if len(set(errors)) > 1 and alpha < 1 / kappa:
        assert shaped.mean() == pytest.approx(-1)


def test_groups_without_a_right_answer():
    right = np.array([False, True, False, False])
    assert all_wrong(np.array([3, 3, 5, 5]), right).tolist() == [False, False, True, True]
