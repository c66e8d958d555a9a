"""The entropy claim H(q2) >= H(q1): where it holds, and hand-worked counterexamples where it does not.

t = eta lambda; q_t is proportional to q1 exp(-t c). The statements are numbered as in lab/evidence/theorem.md.
"""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from meds_lab.theory import (
    Comparison,
    compare,
    entropy,
    entropy_slope,
    kl_update,
    order_horizon,
    similarly_ordered,
)
from meds_rl.shaping import penalty

from .spaces import spaces


def tilt(q1, costs, t: float) -> np.ndarray:
    """q_t."""
    return kl_update(q1, costs, 0.0) if t == 0 else kl_update(q1, -np.asarray(costs, dtype=float), t)


def weights(*numbers: float) -> np.ndarray:
    return np.array(numbers) / sum(numbers)


@st.composite
def tilts(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float]:
    """q1 (N,) without zeros, c (N,), t."""
    q1 = weights(*draw(st.lists(st.integers(1, 20), min_size=1, max_size=7)))
    costs = draw(st.lists(st.integers(0, 6), min_size=len(q1), max_size=len(q1)))
    return q1, np.array(costs, dtype=float), draw(st.floats(0, 5, allow_subnormal=False))


def horizon_by_all_pairs(q: np.ndarray, costs: np.ndarray) -> float:
    pairs = [(i, j) for i in range(len(q)) for j in range(len(q)) if costs[i] > costs[j]]
    return min((math.log(q[i] / q[j]) / (costs[i] - costs[j]) for i, j in pairs), default=math.inf)


def kl(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * np.log(a / b)).sum())


# ---- what holds ----


@given(tilts())
def test_the_slope_is_the_derivative(case):
    q1, costs, t = case
    h = 1e-5
    q = tilt(q1, costs, t)
    numeric = (entropy(tilt(q1, costs, t + h)) - entropy(tilt(q1, costs, max(t - h, 0)))) / (h + min(h, t))
    assert entropy_slope(q, costs) == pytest.approx(numeric, abs=2e-3)


@given(tilts())
def test_the_horizon_is_the_least_slope_over_all_pairs(case):
    q1, costs, _ = case
    assert order_horizon(q1, costs) == pytest.approx(horizon_by_all_pairs(q1, costs), rel=1e-12, abs=1e-12)


@given(tilts())
def test_statement_2_the_order_is_kept_exactly_up_to_the_horizon(case):
    q1, costs, t = case
    horizon = order_horizon(q1, costs)
    assume(abs(t - horizon) > 1e-9)
    assert similarly_ordered(np.log(tilt(q1, costs, t)), costs) == (t < horizon) or t == 0


@settings(max_examples=400)
@given(tilts(), st.floats(0, 1))
def test_statement_2_up_to_the_horizon_q1_majorises_q2(case, share):
    q1, costs, t = case
    horizon = order_horizon(q1, costs)
    assume(horizon > 0)
    before, after = np.sort(q1)[::-1], np.sort(tilt(q1, costs, share * min(horizon, 10 * t)))[::-1]
    assert (before.cumsum() >= after.cumsum() - 1e-12).all()
    assert entropy(after) >= entropy(before) - 1e-12
    # So does everything that is Schur-concave: how many different ones 16 draws are expected to show.
    assert (1 - (1 - after) ** 16).sum() >= (1 - (1 - before) ** 16).sum() - 1e-9


@given(tilts())
def test_statement_3_costs_in_the_opposite_order_only_lower_it(case):
    q1, costs, t = case
    q1 = np.sort(q1)
    costs = np.sort(costs)[::-1]
    assert entropy(tilt(q1, costs, t)) <= entropy(q1) + 1e-12


@given(tilts())
def test_statement_4_the_exact_change_from_both_ends(case):
    q1, costs, t = case
    q2 = tilt(q1, costs, t)
    w = np.exp(-t * costs)
    change = entropy(q2) - entropy(q1)
    mean, log_q1, log_q2 = q1 @ w, np.log(q1), np.log(q2)
    by_plain = -(q1 @ (w * log_q1) - mean * (q1 @ log_q1)) / mean - kl(q2, q1)
    by_penalised = kl(q1, q2) + (q1 - q2) @ log_q2
    assert by_plain == pytest.approx(change, abs=1e-9)
    assert by_penalised == pytest.approx(change, abs=1e-9)
    if (q1 - q2) @ log_q2 >= 0:
        assert change >= -1e-12
    if -(q1 @ (w * log_q1) - mean * (q1 @ log_q1)) < 0:
        assert change < 1e-12


@given(tilts())
def test_statement_5_what_a_penalty_on_the_likelier_on_average_can_lose(case):
    q1, costs, t = case
    q2 = tilt(q1, costs, t)
    assert kl(q2, q1) <= (t * np.ptp(costs)) ** 2 / 8 + 1e-12
    if q2 @ np.log(q1) <= q1 @ np.log(q1):
        assert entropy(q2) >= entropy(q1) - (t * np.ptp(costs)) ** 2 / 8 - 1e-12


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.01, 8))
def test_statement_6_two_outcomes_up_to_twice_the_horizon(a, b, t):
    q1 = weights(max(a, b), min(a, b))
    limit = 2 * order_horizon(q1, [1, 0])
    assume(abs(t - limit) > 1e-6)
    assert (entropy(tilt(q1, [1, 0], t)) > entropy(q1)) == (t < limit)


@given(st.lists(st.integers(1, 400), min_size=2, max_size=8), st.floats(0, 1), st.floats(0.01, 1))
def test_statement_7_counts_that_are_true_to_the_policy(sizes, eta_alpha, beta):
    # |C| + 1 proportional to q1, capped or not: as long as eta alpha <= 1.
    sizes = np.array(sizes)
    q1 = weights(*(sizes + 1))
    costs = penalty(sizes, alpha=0.1, beta=beta)
    eta = eta_alpha / 0.1
    assert eta <= order_horizon(q1, costs) * (1 + 1e-9)
    assert entropy(tilt(q1, costs, eta)) >= entropy(q1) - 1e-12


def test_statement_7_without_a_cap_the_end_is_uniform():
    # q2 is q1^(1 - eta alpha): flatter and flatter, and uniform at eta alpha = 1.
    q1, costs = weights(6, 3, 2, 1), penalty([5, 2, 1, 0], alpha=0.1, beta=9.0)
    np.testing.assert_allclose(tilt(q1, costs, 5.0), weights(*np.sqrt([6, 3, 2, 1])), rtol=1e-12)
    np.testing.assert_allclose(tilt(q1, costs, 10.0), 0.25, rtol=1e-12)


@given(spaces(strongest=5.0))
def test_compare_says_the_same(space):
    result = compare(space.reference, space.rewards, space.costs, eta=space.eta, lam=space.lam)
    some = space.possible
    q1 = result.plain[some]
    assume((q1 > 1e-200).all())
    assert result.order_horizon == pytest.approx(order_horizon(q1 / q1.sum(), space.costs[some]), rel=1e-6, abs=1e-6)
    assert result.entropy_plain == pytest.approx(entropy(q1 / q1.sum()), abs=1e-9)
    if result.order_kept:
        assert result.entropy_change >= -1e-9


# ---- what does not ----


def claim(q1: np.ndarray, costs: list[float], w: float) -> Comparison:
    """q1 as such (all rewards 0), and the penalty that multiplies an outcome of cost c by w^c."""
    return compare(q1, np.zeros(len(q1)), costs, eta=-math.log(w))


def test_counterexample_a_two_equally_likely_errors():
    # (1, 1) / 2 -> (1/2, 1) / 1.5 = (1, 2) / 3: ln 2 = 0.6931 -> ln 3 - 2/3 ln 2 = 0.6365, though c and q1 are
    # (trivially) ordered alike. The assumption of the reward claim holds.
    result = claim(weights(1, 1), [1, 0], 1 / 2)
    assert result.assumption_holds
    assert result.order_horizon == 0
    assert result.entropy_penalised == pytest.approx(math.log(3) - 2 / 3 * math.log(2))
    assert result.entropy_change < 0


def test_counterexample_b_an_error_given_up_but_remembered():
    # The rarer error is the one that memory holds more of: (3, 1) / 4 -> (3, 1/2) / 3.5 = (6, 1) / 7.
    result = claim(weights(3, 1), [0, 1], 1 / 2)
    assert result.entropy_plain == pytest.approx(0.5623, abs=1e-4)
    assert result.entropy_penalised == pytest.approx(0.4101, abs=1e-4)


def test_counterexample_c_right_most_of_the_time():
    # Right 8/10, two errors at 1/10 each, both remembered: 16 : 1 : 1 of 18 after a weight of 1/2. All outcomes
    # are less evenly spread; the errors among themselves are as they were.
    result = compare(weights(8, 1, 1), [1, 0, 0], [0, 1, 1], eta=math.log(2))
    # eta r doubles the right one first: q1 = (16, 1, 1) / 18, q2 = (16, 1/2, 1/2) / 17 = (32, 1, 1) / 34.
    assert result.assumption_holds
    assert result.entropy_plain == pytest.approx(entropy(weights(16, 1, 1)))
    assert result.entropy_penalised == pytest.approx(entropy(weights(32, 1, 1)))
    assert result.reward_change > 0 > result.entropy_change
    assert result.plain[1] / result.plain[2] == result.penalised[1] / result.penalised[2] == 1


def test_counterexample_d_ordered_alike_at_first_and_too_strong():
    # (2, 1) / 3 with w = 1/8: (1/4, 1) = (1, 4) / 5. 0.6365 -> 0.5004; at w = 1/2 it is even, 0.6931.
    assert claim(weights(2, 1), [1, 0], 1 / 8).entropy_change == pytest.approx(0.5004 - 0.6365, abs=1e-4)
    assert claim(weights(2, 1), [1, 0], 1 / 2).entropy_penalised == pytest.approx(math.log(2))


def test_counterexample_e_it_may_fall_and_rise_again():
    # q1 = (60, 30, 1) / 91, c = (10, 1, 0), in the same order; H(q1) = 0.6900.
    # w = 1/2: (60/1024, 15, 1) -> 0.2571. w = 1/30: (0, 1, 1) but for 1e-13 -> ln 2 = 0.6931.
    # On the way there it first rises (slope at 0 above 0): neither one peak, nor a limit that settles it.
    q1, costs = weights(60, 30, 1), [10.0, 1.0, 0.0]
    assert similarly_ordered(q1, costs)
    assert order_horizon(q1, costs) == pytest.approx(math.log(2) / 9)
    assert entropy_slope(q1, costs) > 0
    assert entropy(q1) == pytest.approx(0.6900, abs=1e-4)
    assert claim(q1, costs, 1 / 2).entropy_penalised == pytest.approx(0.2571, abs=1e-4)
    assert claim(q1, costs, 1 / 30).entropy_penalised == pytest.approx(math.log(2), abs=1e-9)


def test_counterexample_f_true_counts_and_too_strong():
    # q1 = (5, 4, 1) / 10, c = ln q1 + constant, eta alpha = 2: q2 is 1 / q1 = (4, 5, 20) / 29, 0.9433 -> 0.8326.
    q1 = weights(5, 4, 1)
    result = compare(q1, [0, 0, 0], penalty([4, 3, 0], alpha=0.1, beta=9.0), eta=20)
    np.testing.assert_allclose(result.penalised, weights(4, 5, 20), rtol=1e-12)
    assert result.entropy_penalised == pytest.approx(0.8326, abs=1e-4)
    assert result.entropy_plain == pytest.approx(0.9433, abs=1e-4)
