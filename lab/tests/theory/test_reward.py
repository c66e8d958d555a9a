"""The covariance identity, and the sign that the assumption gives it."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from meds_lab.theory import compare, oppositely_ordered, similarly_ordered

from .spaces import ordered_spaces, spaces


def run(space):
    return compare(space.reference, space.rewards, space.costs, eta=space.eta, lam=space.lam)


def rounding(space) -> float:
    """What float64 may lose: values times eta are exponents, so their rounding is relative to eta."""
    exponents = 1 + space.eta * (np.ptp(space.rewards) + space.lam * np.abs(space.costs).max())
    return 1e-15 * 20 * exponents * (1 + np.abs(space.rewards).max())


def test_hand_worked_numbers():
    # q1 = (1, 1, 2) / 4, r = (1, 0, 0), c = (0, 1, 2), eta lambda = ln 2: w = (1, 1/2, 1/4).
    # q2 = (1, 1/2, 1/2) / 2 = (1/2, 1/4, 1/4). E_q1[r] = 1/4, E_q2[r] = 1/2.
    # E_q1[w] = (1 + 1/2 + 1/2) / 4 = 1/2, E_q1[r w] = 1/4, Cov = 1/4 - 1/4 * 1/2 = 1/8; over 1/2: 1/4.
    eta = math.log(2)
    p = np.array([0.5, 1, 2]) / 3.5  # times e^(eta r) = (2, 1, 1): (1, 1, 2)
    result = compare(p, [1, 0, 0], [0, 1, 2], eta=eta)
    np.testing.assert_allclose(result.plain, [0.25, 0.25, 0.5], rtol=1e-14)
    np.testing.assert_allclose(result.penalised, [0.5, 0.25, 0.25], rtol=1e-14)
    assert result.reward_change == pytest.approx(0.25, abs=1e-15)
    assert result.covariance_term == pytest.approx(0.25, abs=1e-15)
    assert result.assumption_holds


@given(
    st.lists(st.tuples(st.integers(0, 20), st.fractions(-5, 5), st.fractions(0, 5)), min_size=1, max_size=8).filter(
        lambda rows: any(q * w for q, _, w in rows)
    )
)
def test_the_identity_in_exact_fractions(rows):
    # Any q1 and any weights w >= 0 that are not 0 everywhere: no exponential is needed.
    total = sum(q for q, _, _ in rows)
    q1, r, w = (
        [row[0] / Fraction(total) for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
    )
    mean_w = sum(q * x for q, x in zip(q1, w, strict=True))
    before = sum(q * x for q, x in zip(q1, r, strict=True))
    after = sum(q * x * y for q, x, y in zip(q1, w, r, strict=True)) / mean_w
    covariance = sum(q * x * y for q, x, y in zip(q1, w, r, strict=True)) - before * mean_w
    assert after - before == covariance / mean_w


@settings(max_examples=400)
@given(spaces())
def test_the_identity_holds_to_rounding(space):
    result = run(space)
    assert abs(result.reward_change - result.covariance_term) <= rounding(space)
    if space.eta * space.lam == 0:
        assert abs(result.reward_change) <= rounding(space)


@given(spaces())
def test_the_change_is_paid_for_in_distance_from_the_reference(space):
    # eta (E_q2[r] - E_q1[r]) = KL(q2 || p) - KL(q1 || p) - KL(q2 || q1), as q1 is the best for r alone.
    result, some = run(space), space.possible
    assume(space.eta * (6 + 6 * space.lam) < 500)  # beyond, log q2 is no float's logarithm
    q1, q2, p = result.plain[some], result.penalised[some], space.reference[some]

    def kl(a: np.ndarray, b: np.ndarray) -> float:
        return float((a * (np.log(a) - np.log(b))).sum())

    bought = kl(q2, p) - kl(q1, p) - kl(q2, q1)
    assert bought == pytest.approx(space.eta * result.reward_change, abs=1e-9 * (1 + space.eta))


@settings(max_examples=400)
@given(ordered_spaces())
def test_under_the_assumption_no_reward_is_lost(space):
    result = run(space)
    assert result.assumption_holds
    assert result.reward_change >= -rounding(space)
    assert result.covariance_term >= -rounding(space)


@settings(max_examples=200)
@given(spaces())
def test_a_mean_reward_that_falls_with_the_cost_is_enough(space):
    # The weaker condition: E_q1[r | c] does not rise with c. Give every outcome its level's mean.
    result = run(space)
    rewards, levels = space.rewards.copy(), np.unique(space.costs)
    means = []
    for level in levels:
        rows = space.costs == level
        mass = result.plain[rows].sum()
        means.append(result.plain[rows] @ rewards[rows] / mass if mass > 0 else None)
    reached = [mean for mean in means if mean is not None]
    assume(all(a >= b for a, b in itertools.pairwise(reached)))
    assert result.reward_change >= -rounding(space)


@given(spaces())
def test_right_and_wrong_with_only_wrong_ones_penalised_always_satisfies_it(space):
    # r is 1 or 0 and c is 0 where r is 1: the paper's setting without overlong shaping.
    right = space.rewards > 0
    costs = np.where(right, 0, np.abs(space.costs))
    result = compare(space.reference, right.astype(float), costs, eta=space.eta, lam=space.lam)
    assert result.assumption_holds
    assert result.reward_change >= -1e-12


def test_reward_is_lost_where_a_larger_cluster_carries_the_larger_reward():
    # Two equally likely outcomes; the one that is right costs more: 1/2 -> 1/3 at w = (1/2, 1).
    result = compare([0.5, 0.5], [1, 0], [1, 0], eta=math.log(2))
    # q1 = (2/3, 1/3), q2 = (1/2, 1/2)
    assert not result.assumption_holds
    assert result.reward_change == pytest.approx(1 / 2 - 2 / 3, abs=1e-15)
    assert "may fall" in result.explain()


def test_the_assumption_is_sufficient_and_not_necessary():
    # Rewards 1, 0 and 0.1 at costs 0, 1, 2: the last pair violates it. w = (1, 1/2, 1/4), p_ref uniform, eta tiny in r:
    result = compare([1 / 3] * 3, [1, 0, 0.1], [0, 1, 2], eta=1e-9, lam=math.log(2) * 1e9)
    # q1 is uniform up to 1e-9, mean 1.1 / 3 = 0.3667; q2 = (4, 2, 1) / 7, mean 4.1 / 7 = 0.5857.
    assert not result.assumption_holds
    assert result.reward_change == pytest.approx(4.1 / 7 - 1.1 / 3, abs=1e-8)


@pytest.mark.parametrize("eta", [1e4, 1e12, 1e300])
def test_huge_eta_overflows_nothing(eta):
    # q1 is certain of the first; costs 2 against 0 put the second (1 - 0) before the first (2 - 2).
    result = compare([0.4, 0.4, 0.2], [2, 1, -9], [2, 0, 0], eta=eta)
    assert (result.plain.tolist(), result.penalised.tolist()) == ([1, 0, 0], [0, 1, 0])
    assert result.reward_change == result.covariance_term == -1


def test_one_outcome():
    result = compare([1.0], [3.0], [5.0], eta=1e6, lam=7)
    assert (result.reward_change, result.covariance_term, result.entropy_change) == (0, 0, 0)
    assert result.assumption_holds
    assert result.order_kept


def test_what_cannot_happen_cannot_violate_the_assumption():
    assert compare([0.5, 0.5, 0.0], [1, 0, 9], [0, 1, 9]).assumption_holds
    assert not compare([0.5, 0.4, 0.1], [1, 0, 9], [0, 1, 9]).assumption_holds


@pytest.mark.parametrize("arguments", [{"eta": 1.0, "lam": 1e308}, {"eta": 1e200, "lam": 1e200}])
def test_refuses_a_penalty_beyond_float64(arguments):
    with pytest.raises(ValueError, match="finite"):
        compare([1.0], [0], [100], **arguments)


@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), min_size=1, max_size=7))
def test_orderings_are_the_pairwise_definitions(rows):
    a, b = np.array(rows).T
    products = np.subtract.outer(a, a) * np.subtract.outer(b, b)
    assert oppositely_ordered(a, b) == bool((products <= 0).all())
    assert similarly_ordered(a, b) == bool((products >= 0).all())
