"""The kernel that joins the trees of a forest into one minimum spanning tree, and the lengths of a tree's edges."""

import math

import numpy as np
from numpy.typing import NDArray

from meds_rl.clustering.compiled import INDICES, INTEGER, POINTS, VALUES, compiled, part

Floats = NDArray[np.float64]
Indices = NDArray[np.int32]


@part
def _roots(forest: Indices) -> Indices:
    """The root of each point's tree."""
    root = forest.copy()
    for i in range(root.size):
        if root[i] < 0:
            root[i] = i
    for i in range(root.size):
        v = i
        while root[v] != v:
            root[v] = root[root[v]]
            v = root[v]
        root[i] = v
    return root


@part
def _hang(parent: Indices, below: int, above: int) -> None:
    """Hang a whole tree by its point `below` under `above`: the way up from `below` turns round."""
    previous, v = above, below
    while v >= 0:
        following = parent[v]
        parent[v] = previous
        previous, v = v, following


@part
def _measure(x: Floats, reach: float, columns: Floats, core: Floats, sums: Floats) -> None:
    """Distances from x to the first columns, as many as `sums` holds.

    Each pair's sum runs over the dimensions in the same order as everywhere; the inner loop runs over the columns, in
    whole rows without gaps, so that it compiles to vector instructions.
    """
    sums[:] = 0.0
    for d in range(x.size):
        x_d, row = x[d], columns[d]
        for j in range(sums.size):
            difference = row[j] - x_d
            sums[j] += difference * difference
    for j in range(sums.size):
        distance = math.sqrt(sums[j])
        farthest = core[j] if core[j] > reach else reach
        sums[j] = distance if distance > farthest else farthest


@compiled(POINTS, VALUES, INDICES)
def connect(points: Floats, core: Floats, forest: Indices) -> Indices:
    """The minimum spanning tree that holds a given forest: Prim's algorithm, with one tree of the forest as a vertex.

    It begins with the largest tree, so that joining a few small ones to a large one measures few pairs. Where the
    forest has no edge it is plain Prim: O(n^2 D) time. Memory is O(n D). Distance here is mutual reachability, the
    largest of the Euclidean distance and the two core distances (all 0 for the Euclidean tree).
    """
    n, dimensions = points.shape
    parent = forest.copy()
    if n == 0:
        return parent
    tree = _roots(forest)
    size = np.zeros(n, np.int32)
    for i in range(n):
        size[tree[i]] += 1
    start = np.argmax(size)

    # Points that are joined stand in `queue` (measured up to `head`); those outside keep the nearest joined point.
    queue, head, tail = np.empty(n, np.int32), 0, 0
    outside, k = np.empty(n, np.int32), 0
    for i in range(n):
        if tree[i] == start:
            queue[tail] = i
            tail += 1
        else:
            outside[k] = i
            k += 1
    columns = np.empty((dimensions, k))
    reach = np.empty(k)
    for j in range(k):
        reach[j] = core[outside[j]]
        for d in range(dimensions):
            columns[d, j] = points[outside[j], d]
    best, nearest = np.full(k, np.inf), np.full(k, queue[0], np.int32)
    sums = np.empty(k)

    while k > 0:
        while head < tail:
            v = queue[head]
            head += 1
            _measure(points[v], core[v], columns, reach, sums[:k])
            for j in range(k):
                closer = sums[j] < best[j]
                best[j] = sums[j] if closer else best[j]
                nearest[j] = v if closer else nearest[j]
        j = 0
        for other in range(1, k):
            if best[other] < best[j]:
                j = other
        _hang(parent, outside[j], nearest[j])
        joined = tree[outside[j]]
        left = size[joined]
        if left > 1:
            j = 0
        while left > 0:
            if tree[outside[j]] != joined:
                j += 1
                continue
            queue[tail] = outside[j]
            tail += 1
            left -= 1
            k -= 1
            outside[j], best[j], nearest[j], reach[j] = outside[k], best[k], nearest[k], reach[k]
            for d in range(dimensions):
                columns[d, j] = columns[d, k]
    return parent


@compiled(POINTS, VALUES, INDICES)
def lengths(points: Floats, core: Floats, parent: Indices) -> Floats:
    """Mutual reachability from each point to its parent; nan for the root, which sorts last."""
    result = np.empty(parent.size)
    for i in range(parent.size):
        p = parent[i]
        if p < 0:
            result[i] = np.nan
            continue
        total = 0.0
        for d in range(points.shape[1]):
            difference = points[i, d] - points[p, d]
            total += difference * difference
        result[i] = max(math.sqrt(total), core[i], core[p])
    return result


@compiled(POINTS, INTEGER)
def core_distances(points: Floats, min_samples: int) -> Floats:
    """Distance from each of n >= min_samples points to its min_samples-th nearest, itself the first."""
    n = points.shape[0]
    result, columns, row = np.empty(n), points.T.copy(), np.empty(n)
    none = np.zeros(n)
    for i in range(n):
        _measure(points[i], 0.0, columns, none, row)
        result[i] = np.partition(row, min_samples - 1)[min_samples - 1]
    return result
