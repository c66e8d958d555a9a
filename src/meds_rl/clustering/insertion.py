"""The kernels that add new points to a minimum spanning tree."""

import math

import numpy as np
from numpy.typing import NDArray

from meds_rl.clustering.compiled import INDICES, INTEGER, POINTS, VALUES, compiled, part

Floats = NDArray[np.float64]
Indices = NDArray[np.int32]


@part
def _bottom_up(parent: Indices) -> Indices:
    """The points of a tree, every child before its parent: leaves are taken off until the root is left."""
    n = parent.size
    children = np.zeros(n, np.int32)
    for i in range(n):
        if parent[i] >= 0:
            children[parent[i]] += 1
    order, tail = np.empty(n, np.int32), 0
    for i in range(n):
        if children[i] == 0:
            order[tail] = i
            tail += 1
    for head in range(n):
        p = parent[order[head]]
        if p >= 0:
            children[p] -= 1
            if children[p] == 0:
                order[tail] = p
                tail += 1
    return order


@part
def _distances(points: Floats, n: int) -> Floats:
    """From each of the first n points (row) to each of the others (column), summed over D in the fixed order."""
    m = points.shape[0] - n
    columns = points[n:].T.copy()
    result = np.zeros((n, m))
    for i in range(n):
        row = result[i]
        for d in range(points.shape[1]):
            x_d, column = points[i, d], columns[d]
            for j in range(m):
                difference = column[j] - x_d
                row[j] += difference * difference
        for j in range(m):
            row[j] = math.sqrt(row[j])
    return result


@compiled(POINTS, INDICES, VALUES)
def star_edges(points: Floats, parent: Indices, lengths: Floats) -> tuple[Indices, Indices, Floats]:
    """The edges (old, new, distance) that some new point may need, if it were added alone to the old tree.

    For every new z at once, with s(v) = |v - z|: one pass from the leaves to the root of the old tree finds
    below(v), the smallest possible longest edge on a way from v through its descendants to z; one pass back finds
    beside(v), the same for ways that begin with the edge from v to its parent. s(v) is not needed if another way to z
    has no longer edge. Two edges of one length must not each be left out for the other's sake: a tie with a
    descendant leaves v's edge out, a tie with any other point keeps it. O(n) for each z (Spira & Pan 1975, Chin &
    Houck 1978, who make a choice at each tie; here all z go through the tree side by side, which compiles to vector
    instructions).

    Example: the old tree is the path 0 - 2 - 6 on a line (root 0; edges 2 and 4), and z = 3. s = 3, 1, 3.
    below: nothing for 6; max(3, 4) = 4 for 2; for 0 max(min(1, 4), 2) = 2. beside: nothing for 0; for 2 max(2, 2)
    = 2; for 6 max(1, 4) = 4. So 0's edge goes (2 < 3); 2's stays (1 < 4, 1 <= 2); 6's stays (3 <= 4).
    """
    n, m = parent.size, points.shape[0] - parent.size
    order = _bottom_up(parent)
    star = _distances(points, n)
    # below(v), and after the pass back the best of all ways from v. nan is no way at all: comparing with it is false.
    way = np.full((n, m), np.nan)
    for head in range(n - 1):
        v = order[head]
        own, below, above, length = star[v], way[v], way[parent[v]], lengths[v]
        for z in range(m):
            best = below[z] if below[z] < own[z] else own[z]
            longest = best if best > length else length
            above[z] = above[z] if above[z] <= longest else longest

    old, new, count = np.empty(n * m, np.int32), np.empty(n * m, np.int32), 0
    beside = np.full(m, np.inf)
    for head in range(n - 1, -1, -1):
        v = order[head]
        own, below = star[v], way[v]
        if parent[v] >= 0:
            above, length = way[parent[v]], lengths[v]
            for z in range(m):
                beside[z] = above[z] if above[z] > length else length
        kept = 0
        for z in range(m):
            kept += (not below[z] <= own[z]) & (own[z] <= beside[z])
        if kept > 0:
            for z in range(m):
                if not below[z] <= own[z] and own[z] <= beside[z]:
                    old[count], new[count] = v, z
                    count += 1
        for z in range(m):
            best = below[z] if below[z] < own[z] else own[z]
            below[z] = best if best < beside[z] else beside[z]

    distance = np.empty(count)
    for i in range(count):
        distance[i] = star[old[i], new[i]]
        new[i] += n
    return old[:count].copy(), new[:count].copy(), distance


@compiled(INTEGER, INDICES, INDICES, INDICES)
def join(n: int, left: Indices, right: Indices, order: Indices) -> Indices:
    """Kruskal's algorithm: the tree of the edges (left, right), taken in that order, as each point's parent.

    The smaller of two trees is turned to hang by its end of the edge: O(n log n) at most.
    """
    parent = np.full(n, -1, np.int32)
    leader = np.arange(n).astype(np.int32)
    size = np.ones(n, np.int32)
    missing = n - 1
    for edge in order:
        if missing == 0:
            break
        a = left[edge]
        while leader[a] != a:
            leader[a] = leader[leader[a]]
            a = leader[a]
        b = right[edge]
        while leader[b] != b:
            leader[b] = leader[leader[b]]
            b = leader[b]
        if a == b:
            continue
        above, v = left[edge], right[edge]
        if size[a] < size[b]:
            a, b, above, v = b, a, v, above
        leader[b] = a
        size[a] += size[b]
        missing -= 1
        while v >= 0:
            following = parent[v]
            parent[v] = above
            above, v = v, following
    return parent
