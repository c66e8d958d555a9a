"""Which remembered cluster a completion belongs to: the majority among its nearest neighbours."""

import numpy as np
from numpy.typing import NDArray

from meds_rl.checks import has_answer
from meds_rl.labels import NO_ANSWER, UNSEEN
from meds_rl.memory.entry import Assigned, ClusterSizes, MemoryEntry


def unit_vectors(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The rows of (n, D) at length 1, in float64. A row of zeros stays: it is at cosine 0 from everything."""
    from meds_rl.memory.nearest import unit_rows  # compiled: slower to load than all of meds_rl

    return unit_rows(np.ascontiguousarray(vectors))


def canonical_order(vectors: NDArray[np.float32]) -> NDArray[np.intp]:
    """Positions (n,) that sort rows (n, D), free of NaN and -0.0, by their bytes: it depends on the rows alone."""
    return np.array(sorted(range(len(vectors)), key=lambda row: vectors[row].tobytes()), dtype=np.intp)


def vote(
    queries: NDArray[np.float32],
    members: NDArray[np.float32],
    clusters: NDArray[np.int32],
    n_neighbors: int,
    max_distance: float | None = None,
) -> NDArray[np.int64]:
    """Majority cluster (m,) among the `n_neighbors` members nearest by cosine to each query.

    Noise votes like any cluster. With fewer members than `n_neighbors` all of them vote. A tie goes to the cluster of
    the nearest neighbour among the tied. Of equally near members the one remembered first counts as nearer. Cosines are
    equal when they agree to 12 decimals, as vectors of one direction and different lengths differ in their last bits.

    Args:
        queries: (m, D) fingerprints to assign.
        members: (n, D) remembered fingerprints, n >= 1, in the order in which they were remembered.
        clusters: (n,) the cluster of each member, NOISE for none.
        n_neighbors: How many vote.
        max_distance: Members further away do not vote: Euclidean distance of unit vectors, 0 to 2, which is
            sqrt(2 - 2 cosine). Without any vote the result is UNSEEN. None: no bound.
    """
    from meds_rl.memory.nearest import majority  # compiled: slower to load than all of meds_rl

    return majority(
        unit_vectors(queries),
        unit_vectors(members),
        np.ascontiguousarray(clusters, dtype=np.int32),
        min(n_neighbors, len(members)),
        -np.inf if max_distance is None else 1.0 - max_distance**2 / 2.0,
        UNSEEN,
    )


def assign(
    entry: MemoryEntry | None,
    rows: NDArray[np.float32],
    n_neighbors: int,
    max_distance: float | None,
    now: int,
    half_life: float | None,
) -> Assigned:
    """Clusters and sizes |C| of checked features (m, D) in the entry of their prompt, at the memory's step `now`."""
    answered = has_answer(rows)
    clusters, sizes = np.where(answered, UNSEEN, NO_ANSWER), no_sizes(len(rows), half_life)
    if entry is None:
        return Assigned(clusters, sizes)
    sizes[~answered] = weights(entry.no_answer_steps, now, half_life).sum()
    if len(entry.vectors):
        clusters[answered] = vote(rows[answered], entry.vectors, entry.clusters, n_neighbors, max_distance)
        found = answered & (clusters != UNSEEN)
        # Noise points count together as one cluster. No bin for each number: they grow for as long as a run lasts.
        numbers, places = np.unique(entry.clusters, return_inverse=True)
        totals = np.bincount(places, weights=weights(entry.steps, now, half_life))
        sizes[found] = totals[np.searchsorted(numbers, clusters[found])]
    return Assigned(clusters, sizes)


def weights(steps: NDArray[np.int64], now: int, half_life: float | None) -> NDArray[np.float64]:
    """(n,) what each remembered completion counts: 2^(-(now - step) / half_life), or 1 without a half-life.

    Example:
        >>> weights(np.array([0, 5, 10]), now=10, half_life=5).tolist()
        [0.25, 0.5, 1.0]
    """
    if half_life is None:
        return np.ones(len(steps), dtype=np.float64)
    with np.errstate(over="ignore"):  # infinitely many half-lives: a weight of 0
        return np.asarray(np.exp2((steps - now) / half_life), dtype=np.float64)


def no_sizes(n: int, half_life: float | None) -> ClusterSizes:
    """(n,) sizes of 0."""
    return np.zeros(n, dtype=np.int64) if half_life is None else np.zeros(n, dtype=np.float64)
