"""To which cluster in memory a new error belongs: the majority among its nearest neighbours."""

import numpy as np
from numpy.typing import NDArray

_DECIMALS = 12


def unit_vectors(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The rows of (n, D) at length 1, in float64. A row of zeros stays: it is at cosine 0 from everything."""
    wide = vectors.astype(np.float64)
    norms = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    # The square of any float32 is well inside float64's range, so a norm is 0 for zero vectors only.
    return wide / np.where(norms == 0, 1.0, norms)


def canonical_order(vectors: NDArray[np.float32]) -> NDArray[np.intp]:
    """Positions (n,) that sort the rows of (n, D) by their bytes: an order that depends on the rows alone.

    Rows must be free of NaN and -0.0 (`check_features`). Equal rows keep their order; they are
    interchangeable.
    """
    return np.array(sorted(range(len(vectors)), key=lambda row: vectors[row].tobytes()), dtype=np.intp)


def vote(
    queries: NDArray[np.float32],
    members: NDArray[np.float32],
    labels: NDArray[np.int64],
    n_neighbors: int,
) -> NDArray[np.int64]:
    """Majority label (m,) among the `n_neighbors` members nearest by cosine to each query.

    Noise votes like any label. With fewer members than `n_neighbors` all of them vote. A tied vote goes to
    the label of the nearest neighbour among the tied. Of equally near members the one remembered first is
    nearer; cosines count as equal when they agree to 12 decimals, since a matrix product may give the same
    pair other last bits at another place.

    Args:
        queries: (m, D) fingerprints to assign.
        members: (n, D) remembered fingerprints, n >= 1, in the order in which they were remembered.
        labels: (n,) their labels.
        n_neighbors: How many vote.
    """
    if not len(queries):
        return np.zeros(0, dtype=np.int64)
    # Equal queries are looked up once, in an order of their own: neither the order of a batch's rows nor
    # rounding can set two equal completions apart.
    order = canonical_order(queries)
    ordered = queries[order]
    is_new = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])
    votes = np.empty(len(queries), dtype=np.int64)
    votes[order] = _vote_distinct(ordered[is_new], members, labels, n_neighbors)[np.cumsum(is_new) - 1]
    return votes


def _vote_distinct(
    queries: NDArray[np.float32],
    members: NDArray[np.float32],
    labels: NDArray[np.int64],
    n_neighbors: int,
) -> NDArray[np.int64]:
    cosines = np.round(unit_vectors(queries) @ unit_vectors(members).T, _DECIMALS)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :n_neighbors]
    voters = labels[nearest]
    support = (voters[:, :, None] == voters[:, None, :]).sum(axis=2)
    # argmax takes the first of equal counts: the nearest.
    winners: NDArray[np.int64] = voters[np.arange(len(queries)), support.argmax(axis=1)]
    return winners
