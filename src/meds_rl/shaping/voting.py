"""To which cluster in memory a new error belongs: the majority among its nearest neighbours."""

import numpy as np
from numpy.typing import NDArray

from meds_rl.shaping.labels import UNSEEN


def unit_vectors(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The rows of (n, D) at length 1, in float64. A row of zeros stays: it is at cosine 0 from everything."""
    from meds_rl.shaping.nearest import unit_rows  # compiled: slower to load than all of meds_rl

    return unit_rows(np.ascontiguousarray(vectors))


def canonical_order(vectors: NDArray[np.float32]) -> NDArray[np.intp]:
    """Positions (n,) that sort the rows of (n, D) by their bytes: an order that depends on the rows alone.

    Rows must be free of NaN and -0.0 (`check_features`). Equal rows keep their order; they are
    interchangeable.
    """
    return np.array(sorted(range(len(vectors)), key=lambda row: vectors[row].tobytes()), dtype=np.intp)


def vote(
    queries: NDArray[np.float32],
    members: NDArray[np.float32],
    labels: NDArray[np.int32],
    n_neighbors: int,
    max_distance: float | None = None,
) -> NDArray[np.int64]:
    """Majority label (m,) among the `n_neighbors` members nearest by cosine to each query.

    Noise votes like any label. With fewer members than `n_neighbors` all of them vote. A tied vote goes to
    the label of the nearest neighbour among the tied. Of equally near members the one remembered first is
    nearer; cosines count as equal when they agree to 12 decimals, since vectors of one direction and different lengths
    differ in their last bits.

    Args:
        queries: (m, D) fingerprints to assign.
        members: (n, D) remembered fingerprints, n >= 1, in the order in which they were remembered.
        labels: (n,) their labels.
        n_neighbors: How many vote.
        max_distance: Members further than this do not vote: Euclidean distance of unit vectors, 0 to 2, which is
            sqrt(2 - 2 cosine). Where nobody votes the label is UNSEEN: "none of these". None: however far.
    """
    from meds_rl.shaping.nearest import majority  # compiled: slower to load than all of meds_rl

    return majority(
        unit_vectors(queries),
        unit_vectors(members),
        np.ascontiguousarray(labels, dtype=np.int32),
        n_neighbors,
        -np.inf if max_distance is None else 1.0 - max_distance**2 / 2.0,
        UNSEEN,
    )
