"""Order of two vectors, entropy along the update, and its split by clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_lab.theory.update import check_numbers, check_probabilities


def oppositely_ordered(a: ArrayLike, b: ArrayLike) -> bool:
    """Whether (a_i - a_j)(b_i - b_j) <= 0 for all i, j: nowhere does a larger b go with a larger a.

    With rewards and cluster sizes, on the outcomes that can happen, this is the theorem's assumption "larger clusters
    never carry larger reward". Equal values on either side order nothing, so a constant is ordered oppositely to
    everything. O(N log N).

    Args:
        a, b: (N,) finite numbers of the same outcomes. Leave out those that cannot happen.

    Raises:
        ValueError: They are no finite numbers of the same outcomes.

    Example:
        >>> oppositely_ordered([1, 0, 0, -0.5], [0, 3, 8, 8])
        True
        >>> oppositely_ordered([1, 0, -0.5], [0, 8, 3])  # the larger cluster carries 0, the smaller -0.5
        False
    """
    first = check_numbers("a", a)
    return similarly_ordered(-first, check_numbers("b", b, len(first)))


def similarly_ordered(a: ArrayLike, b: ArrayLike) -> bool:
    """Whether (a_i - a_j)(b_i - b_j) >= 0 for all i, j.

    Raises:
        ValueError: They are no finite numbers of the same outcomes.

    Example:
        >>> similarly_ordered([0.1, 0.3, 0.6], [1, 4, 4])
        True
    """
    first = check_numbers("a", a)
    levels = levels_of(first, check_numbers("b", b, len(first)))
    return bool((levels.least[1:] >= levels.most[:-1]).all())


class Levels:
    """The values a (N,) at each of the different values of b, in rising order of b.

    Attributes:
        at: (K,) the different values of b, rising.
        least, most: (K,) the smallest and the largest a there.
    """

    def __init__(self, at: NDArray[np.float64], least: NDArray[np.float64], most: NDArray[np.float64]) -> None:
        self.at = at
        self.least = least
        self.most = most


def levels_of(a: NDArray[np.float64], b: NDArray[np.float64]) -> Levels:
    """Put (N,) values in order. What holds between neighbouring levels holds between all of them."""
    at, place = np.unique(b, return_inverse=True)
    least, most = np.full(len(at), np.inf), np.full(len(at), -np.inf)
    np.minimum.at(least, place, a)
    np.maximum.at(most, place, a)
    return Levels(at, least, most)


# ---- Entropy along the update.


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


# ---- The split of an entropy by clusters.


@dataclass(frozen=True)
class EntropySplit:
    """H(Y) = H(K) + H(Y | K), in nats.

    Attributes:
        between: H(K), entropy over clusters.
        within: H(Y | K), mean over clusters of the entropy of the outcomes within one.
    """

    between: float
    within: float

    @property
    def total(self) -> float:
        """H(Y), entropy over outcomes."""
        return self.between + self.within


def split_entropy(probabilities: ArrayLike, clusters: ArrayLike) -> EntropySplit:
    """Entropy over outcomes as entropy over clusters and entropy within clusters.

    Args:
        probabilities: (N,) q.
        clusters: (N,) the cluster of each outcome, any whole numbers.

    Raises:
        ValueError: They are no probabilities and numbers of the same outcomes.

    Example:
        Two clusters at 1/2; one holds a single outcome, the other two: ln 2 between, 1/2 ln 2 within.

        >>> split = split_entropy([0.5, 0.25, 0.25], [7, 8, 8])
        >>> round(split.between, 4), round(split.within, 4), round(split.total, 4)
        (0.6931, 0.3466, 1.0397)
    """
    q = check_probabilities("probabilities", probabilities)
    check_numbers("clusters", clusters, len(q))
    _, place = np.unique(np.asarray(clusters), return_inverse=True)  # not as float64, which has 53 bits
    between = entropy(np.bincount(place, weights=q))
    return EntropySplit(between=between, within=max(entropy(q) - between, 0.0))
