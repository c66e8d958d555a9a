"""Entropy, how a penalty changes it, and how strong a penalty may be before it can lower it."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_lab.theory.checks import check_numbers, check_probabilities
from meds_lab.theory.ordering import levels_of


def entropy(probabilities: ArrayLike) -> float:
    """Shannon's entropy -sum q ln q in nats; an outcome of probability 0 adds nothing.

    Raises:
        ValueError: The (N,) probabilities are negative or do not sum to 1.

    Example:
        >>> round(entropy([0.5, 0.25, 0.25]), 4)  # 3/2 ln 2
        1.0397
    """
    q = check_probabilities("probabilities", probabilities)
    q = q[q > 0]
    return float(-(q * np.log(q)).sum()) + 0.0  # no -0.0


def entropy_of_logs(logs: NDArray[np.float64]) -> float:
    """Entropy in nats of (N,) log probabilities, which may be too small for float64 as probabilities."""
    finite = logs[np.isfinite(logs)]
    return float(-(np.exp(finite) * finite).sum()) + 0.0


def entropy_slope(probabilities: ArrayLike, costs: ArrayLike) -> float:
    """Cov_q(c, ln q) in nats: the derivative of the entropy of q exp(-t c) / Z by t, at t = 0.

    Positive where what costs more is, on average, the more probable. With t = eta lambda it is what a small step
    against the cost does to the entropy.

    Args:
        probabilities: (N,) q.
        costs: (N,) c, finite.

    Raises:
        ValueError: They are no probabilities and finite numbers of the same outcomes.

    Example:
        c is 1 on the outcome of probability 3/4: the slope is 3/4 * 1/4 * ln 3 = 0.206.

        >>> round(entropy_slope([0.75, 0.25], [1, 0]), 4)
        0.206
    """
    q = check_probabilities("probabilities", probabilities)
    c = check_numbers("costs", costs, len(q))
    q, c = q[q > 0], c[q > 0]
    return float((q * (c - (q * c).sum()) * np.log(q)).sum())


def order_horizon(probabilities: ArrayLike, costs: ArrayLike) -> float:
    """The largest t up to which q exp(-t c) / Z keeps the order of c, so that its entropy cannot fall.

    T = min over c_i > c_j of (ln q_i - ln q_j) / (c_i - c_j), over outcomes that can happen. For
    0 <= t <= T the costlier outcome of each pair is still the more probable one, q majorises q exp(-t c) / Z, and the
    entropy has not fallen (lab/evidence/theorem.md).

    Args:
        probabilities: (N,) q, the distribution without the penalty.
        costs: (N,) c, finite.

    Returns:
        T in 1 / (units of c). Below 0 where already q is ordered otherwise; inf where all costs are equal.

    Raises:
        ValueError: They are no probabilities and finite numbers of the same outcomes.

    Example:
        Costs ln(|C| + 1) with |C| + 1 proportional to q: at t = 1 all outcomes become equally likely.

        >>> round(order_horizon([0.5, 0.3, 0.2], np.log([5, 3, 2])), 9)
        1.0
        >>> order_horizon([0.5, 0.5], [1, 0])  # equally likely: no penalty is weak enough
        0.0
    """
    q = check_probabilities("probabilities", probabilities)
    c = check_numbers("costs", costs, len(q))
    return horizon_of_logs(np.log(q[q > 0]), c[q > 0])


def horizon_of_logs(logs: NDArray[np.float64], costs: NDArray[np.float64]) -> float:
    """`order_horizon` of finite log probabilities (N,)."""
    # A slope between distant levels is a weighted mean of those between neighbours, so neighbours decide.
    levels = levels_of(logs, costs)
    with np.errstate(over="ignore"):  # costs all but equal
        slopes = (levels.least[1:] - levels.most[:-1]) / np.diff(levels.at)
    return float(slopes.min(initial=np.inf))
