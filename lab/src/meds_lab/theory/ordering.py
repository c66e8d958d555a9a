"""When two quantities of the same outcomes are ordered alike, or oppositely."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_lab.theory.checks import check_numbers


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

    def __init__(
        self, at: NDArray[np.float64], least: NDArray[np.float64], most: NDArray[np.float64]
    ) -> None:
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
