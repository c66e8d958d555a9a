"""The kernels of `meds_rl.memory.vote`. Import this file inside functions: loading compiled code takes long."""

import numpy as np
from numba import types
from numpy.typing import NDArray

from meds_rl.hdbscan.compiled import INDICES, INT, POINTS, REAL, compiled

_FLOAT32 = types.Array(types.float32, 2, "C", readonly=True)


@compiled(_FLOAT32)
def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The rows of (n, D) at length 1, in float64; a row of zeros stays."""
    n, D = vectors.shape
    units = np.empty((n, D), np.float64)
    for i in range(n):
        total = 0.0
        for d in range(D):
            x = np.float64(vectors[i, d])
            units[i, d] = x
            total += x * x
        # The square of any float32 is well inside float64's range, so this is 0 for a row of zeros only.
        norm = np.sqrt(total)
        if norm > 0.0:
            for d in range(D):
                units[i, d] /= norm
    return units


@compiled(POINTS, POINTS, INDICES, INT, REAL, INT)
def majority(
    queries: NDArray[np.float64],
    members: NDArray[np.float64],
    clusters: NDArray[np.int32],
    n_neighbors: int,
    lowest_cosine: float,
    no_vote: int,
) -> NDArray[np.int64]:
    """(m,) the majority cluster among the members nearest to each query, `no_vote` where no member is near enough."""
    lowest = np.rint(lowest_cosine * 1e12)
    m, D = queries.shape
    n = members.shape[0]
    k = min(n_neighbors, n)
    columns = np.ascontiguousarray(members.T)
    winners = np.empty(m, np.int64)
    cosines = np.empty(n, np.float64)
    best, nearest = np.empty(k, np.float64), np.empty(k, np.int64)
    for q in range(m):
        cosines[:] = 0.0
        # The inner loop runs over members, so that it is vectorised while each sum keeps its order.
        for d in range(D):
            x = queries[q, d]
            for i in range(n):
                cosines[i] += x * columns[d, i]
        found = 0
        for i in range(n):
            cosine = np.rint(cosines[i] * 1e12)
            if cosine < lowest or (found == k and cosine <= best[k - 1]):
                continue
            place = found if found < k else k - 1
            while place > 0 and best[place - 1] < cosine:
                best[place], nearest[place] = best[place - 1], nearest[place - 1]
                place -= 1
            best[place], nearest[place] = cosine, i
            found = min(found + 1, k)
        most, winners[q] = 0, no_vote
        for a in range(found):
            support = 0
            for b in range(found):
                support += clusters[nearest[a]] == clusters[nearest[b]]
            if support > most:  # of equal ones the first, which is the nearest
                most = support
                winners[q] = clusters[nearest[a]]
    return winners
