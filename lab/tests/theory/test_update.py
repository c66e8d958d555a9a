import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meds_lab.theory import kl_update, log_kl_update

from .spaces import spaces


def test_hand_worked_numbers():
    # 1/2 e^0 : 1/4 e^(ln 2) : 1/4 e^(2 ln 2) = 2/4 : 2/4 : 4/4
    q = kl_update([0.5, 0.25, 0.25], [0, 1, 2], eta=math.log(2))
    np.testing.assert_allclose(q, [0.25, 0.25, 0.5], rtol=1e-15)


@given(spaces(), st.integers(0, 2**32 - 1))
def test_no_distribution_reaches_more_of_what_it_maximises(space, seed):
    # E_q[mu] - KL(q || p) / eta, which is -KL(q || q_mu) / eta + constant.
    if space.eta == 0:
        return
    logs = log_kl_update(space.reference, space.rewards, space.eta)
    some = space.possible

    def objective(q: np.ndarray, log_q: np.ndarray) -> float:
        return float(q @ (space.eta * space.rewards[some] - log_q + np.log(space.reference[some])))

    other = np.random.default_rng(seed).dirichlet(np.ones(some.sum())) + 1e-12
    other /= other.sum()
    best = objective(np.exp(logs[some]), logs[some])
    assert best >= objective(other, np.log(other)) - 1e-9 * (1 + abs(best))


@given(spaces())
def test_is_a_distribution_on_the_references_support(space):
    q = kl_update(space.reference, space.rewards, space.eta)
    assert q.sum() == pytest.approx(1, abs=1e-12)
    assert not q[~space.possible].any()
    if space.eta == 0:
        np.testing.assert_allclose(q, space.reference, rtol=1e-14)


@pytest.mark.parametrize("eta", [1e3, 1e12, 1e300, 1.7e308])
def test_huge_eta_takes_the_best_that_can_happen(eta):
    # The best of all cannot happen; the two next share by p_ref.
    q = kl_update([0.0, 0.2, 0.6, 0.2], [9, 5, 5, -5], eta)
    np.testing.assert_allclose(q, [0, 0.25, 0.75, 0], rtol=1e-12)


def test_one_outcome_stays_certain():
    assert log_kl_update([1.0], [-1e308], 1e308).tolist() == [0.0]


def test_eta_0_is_the_reference_even_where_values_differ_by_more_than_a_float_holds():
    assert kl_update([0.5, 0.5], [1.7e308, -1.7e308], 0.0).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("reference", "values", "eta", "message"),
    [
        ([0.5, 0.4], [0, 0], 1, "sum to 1"),
        ([1.5, -0.5], [0, 0], 1, "0 or more"),
        ([0.5, 0.5], [0], 1, "one value for each of 2"),
        ([], [], 1, "shape"),
        ([[1.0]], [0], 1, "shape"),
        (["1"], [0], 1, "numbers"),
        ([1.0], [math.nan], 1, "finite"),
        ([1.0], [0], -1, "eta must be finite and 0 or more"),
        ([1.0], [0], math.inf, "eta must be finite"),
    ],
)
def test_refuses(reference, values, eta, message):
    with pytest.raises(ValueError, match=message):
        kl_update(reference, values, eta)


def test_refuses_an_eta_that_is_no_number():
    with pytest.raises(TypeError, match="eta must be a number"):
        kl_update([1.0], [0], True)
