"""Entropy over clusters and within them: the penalty acts on the first and moves the second along."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from meds_lab.theory.checks import check_numbers, check_probabilities
from meds_lab.theory.diversity import entropy


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
