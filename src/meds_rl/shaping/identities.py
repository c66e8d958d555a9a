"""Cluster numbers that last: after a refit a cluster goes by the number of the old one that it overlaps most.

HDBSCAN numbers its clusters anew at every fit. To follow one error through training, and to count it right in a report,
its cluster must keep its name.
"""

import numpy as np
from numpy.typing import NDArray

from meds_rl.shaping.labels import NOISE


def carry_over(
    before: NDArray[np.int32], labels: NDArray[np.int64], next_cluster: int
) -> tuple[NDArray[np.int32], int]:
    """Lasting numbers for the clusters of a refit.

    Pairs of an old and a new cluster are matched by the number of members that they share, the largest overlap first;
    of equal overlaps the older cluster first, then the new one whose first member was remembered first. Each old number
    goes to one new cluster at most. So where a cluster splits, its largest part keeps the number; where clusters merge,
    the number of the one that brings most members stays. New clusters that match none get new numbers. A number is
    never given twice: a cluster that dissolved and forms again is a new one. (A prompt that a bound has forgotten
    altogether starts anew.)

    Args:
        before: (n,) lasting number that each member had before, NOISE for none or for a new member.
        labels: (n,) its label in the refit, NOISE for none.
        next_cluster: the first number that was never given.

    Returns:
        numbers: (n,) int32.
        next_cluster: the first number that is still not given.

    Example:
        >>> before = np.array([0, 0, 1, 1, 1, -1, -1], dtype=np.int32)  # the last two are new
        >>> after = np.array([1, 1, 0, 2, 2, 0, -1])  # cluster 1 has split
        >>> numbers, next_cluster = carry_over(before, after, 2)
        >>> numbers.tolist(), next_cluster
        ([0, 0, 2, 1, 1, 2, -1], 3)
    """
    found, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    clusters = np.flatnonzero(found != NOISE)
    clusters = clusters[np.argsort(first[clusters], kind="stable")]
    # Position of each new cluster in the order of its first member, -1 for noise.
    position = np.full(len(found), -1, dtype=np.int64)
    position[clusters] = np.arange(len(clusters))
    positions = position[inverse.reshape(-1)]
    numbers = _matched(before, positions, len(clusters))
    is_new = numbers < 0
    numbers[is_new] = next_cluster + np.arange(int(is_new.sum()))
    table = np.append(numbers, NOISE)  # position -1 is noise
    return table[positions].astype(np.int32), next_cluster + int(is_new.sum())


def _matched(before: NDArray[np.int32], positions: NDArray[np.int64], n_clusters: int) -> NDArray[np.int64]:
    """(n_clusters,) the old number that each new cluster keeps, -1 for none."""
    numbers = np.full(n_clusters, -1, dtype=np.int64)
    both = (before != NOISE) & (positions >= 0)
    if not both.any():
        return numbers
    pairs, shared = np.unique(
        before[both].astype(np.int64) * n_clusters + positions[both], return_counts=True
    )
    order = np.lexsort((pairs, -shared))  # pairs ascend by the old number, then by the new position
    taken: set[int] = set()
    for old, new in zip(*(part.tolist() for part in np.divmod(pairs[order], n_clusters)), strict=True):
        if old not in taken and numbers[new] < 0:
            taken.add(old)
            numbers[new] = old
    return numbers
