"""Minimum spanning trees of points: built, extended and reduced exactly.

A tree of n points is an array of n parents, -1 for the one root. Points are (n, D), float64, C-contiguous and finite.
The distance of two points is the root of the sum of their squared differences, added up over the dimensions in order:
to the last bit it depends only on the two. Where distances tie there are several minimum spanning trees, and
any of them may be returned: the groups of points that edges up to some length connect are the same in all of them.
"""

import math

import numpy as np
from numpy.typing import NDArray

from meds_rl.hdbscan.compiled import INDICES, INT, POINTS, VALUES, Floats, Indices, ascending, compiled, part

BLOCK = 32  # new points that go through the tree together: all their distances are in memory at once


def build(points: Floats, core: Floats | None = None) -> Indices:
    """The tree of (n, D) points: O(n^2 D) time, O(n D) memory.

    With core distances (n,) it is the tree of mutual reachability: the largest of the distance and both core distances.

    >>> build(np.array([[0.0], [1.0], [3.0]]))
    array([-1,  0,  1], dtype=int32)
    """
    no_edges = np.full(len(points), -1, np.int32)
    return _connect(points, np.zeros(len(points)) if core is None else core, no_edges)


def insert(points: Floats, parent: Indices) -> Indices:
    """The tree of all n + m points, given that of the first n: O(n m D).

    Three sets of edges contain it: the old tree's, those of a tree of the new points, and for each new point the edges
    that it needs when added alone (`star_edges`). Any other edge closes a cycle whose edges are in these sets and are
    no longer than it, so that up to any length the same points are connected.

    >>> insert(np.array([[0.0], [3.0], [1.0]]), np.array([-1, 0], np.int32))  # 0 - 3 becomes 0 - 1 - 3
    array([-1,  2,  0], dtype=int32)
    """
    if len(parent) == 0:
        return build(points)
    for start in range(len(parent), len(points), BLOCK):
        parent = _insert_block(points[: start + BLOCK], parent)
    return parent


def _insert_block(points: Floats, parent: Indices) -> Indices:
    n = len(parent)
    old_lengths = edge_lengths(points[:n], parent)
    new_parent = build(points[n:])
    new_lengths = edge_lengths(points[n:], new_parent)
    old, new, distances = star_edges(points, parent, old_lengths)
    left = np.concatenate([np.arange(n, dtype=np.int32), np.arange(n, len(points), dtype=np.int32), old])
    right = np.concatenate([parent, new_parent + np.int32(n), new])
    order = ascending(np.concatenate([old_lengths, new_lengths, distances]))
    return _join(len(points), left, right, order[:-2])  # without the two roots, whose length is nan


def delete(points: Floats, parent: Indices, kept: NDArray[np.bool_]) -> Indices:
    """The tree of the (n, D) kept points, given the old tree and which of its points are kept.

    An old edge with both ends kept stays in the tree: it is the shortest between the two parts that the tree falls
    into without it (of equally long edges take the old tree's first), and still is when points are removed. The pieces
    that remain are joined by measuring pairs of points in different pieces: r n pairs if all but r points are in one
    piece, n^2 / 2 at most.

    >>> delete(np.array([[0.0], [3.0]]), np.array([-1, 2, 0], np.int32), np.array([True, True, False]))
    array([-1,  0], dtype=int32)
    """
    index = np.cumsum(kept, dtype=np.int32) - np.int32(1)  # the new numbers of the kept points
    stays = kept & (parent >= 0) & kept[parent]
    forest = np.where(stays, index[parent], np.int32(-1))[kept]
    return _connect(points, np.zeros(len(points)), forest)


def edge_lengths(points: Floats, parent: Indices, core: Floats | None = None) -> Floats:
    """(n,) the distance (with `core` the mutual reachability) from each point to its parent; nan for the root.

    >>> edge_lengths(np.array([[0.0], [3.0]]), np.array([-1, 0], np.int32))
    array([nan,  3.])
    """
    return _lengths(points, np.zeros(len(points)) if core is None else core, parent)


# ---- Kernels: join the trees of a forest into one minimum spanning tree; lengths of edges.


@part
def _find(leader: Indices, i: int) -> int:
    """The point that represents the set of i (union-find); shortens the path to it on the way."""
    while leader[i] != i:
        leader[i] = leader[leader[i]]
        i = leader[i]
    return i


@part
def _roots(forest: Indices) -> Indices:
    """The root of each point's tree."""
    root = forest.copy()
    for i in range(root.size):
        if root[i] < 0:
            root[i] = i
    for i in range(root.size):
        root[i] = _find(root, i)
    return root


@part
def _hang(parent: Indices, below: int, above: int) -> None:
    """Hang a whole tree by its point `below` under `above`: the path up from `below` is reversed."""
    previous, v = above, below
    while v >= 0:
        following = parent[v]
        parent[v] = previous
        previous, v = v, following


@part
def _measure(x: Floats, reach: float, columns: Floats, core: Floats, sums: Floats) -> None:
    """Mutual reachability from x, of core distance `reach`, to the first columns, as many as `sums` has.

    Each pair's sum runs over the dimensions in order. The inner loop runs over the columns, so that it compiles to
    vector instructions.
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
def _connect(points: Floats, core: Floats, forest: Indices) -> Indices:
    """The minimum spanning tree that contains a given forest: Prim's algorithm, with each tree of the forest a vertex.

    It begins with the largest tree, so that joining a few small ones to a large one measures few pairs. Without edges
    it is plain Prim: O(n^2 D) time, O(n D) memory.
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

    # Joined points are in `queue` (measured up to `head`); for each point outside, the nearest joined one is known.
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
def _lengths(points: Floats, core: Floats, parent: Indices) -> Floats:
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


@compiled(POINTS, INT)
def core_distances(points: Floats, min_samples: int) -> Floats:
    """Distance from each of n >= min_samples points to its min_samples-th nearest, itself the first."""
    n = points.shape[0]
    result, columns, row = np.empty(n), points.T.copy(), np.empty(n)
    none = np.zeros(n)
    for i in range(n):
        _measure(points[i], 0.0, columns, none, row)
        result[i] = np.partition(row, min_samples - 1)[min_samples - 1]
    return result


# ---- Kernels: add new points to a minimum spanning tree.


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
    """From each of the first n points (row) to each of the others (column)."""
    m = points.shape[0] - n
    columns, result = points[n:].T.copy(), np.zeros((n, m))
    for i in range(n):
        row = result[i]
        # Not `_measure`: comparing with core distances makes this a third slower.
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

    For every new z, with s(v) = |v - z|: one pass from the leaves to the root of the old tree finds below(v), the
    smallest possible longest edge on a path from v through its descendants to z; one pass back finds beside(v), the
    same for paths that begin with the edge from v to its parent. The edge s(v) is not needed if another path to z has
    no longer edge. Two edges of one length must not each be left out because of the other: a tie with a descendant
    leaves v's edge out, a tie with any other point keeps it. O(n) for each z (Spira & Pan 1975, Chin & Houck 1978, who
    make a choice at each tie). All z go through the tree together, which compiles to vector instructions.

    Example: the old tree is the path 0 - 2 - 6 on a line (root 0; edges 2 and 4), and z = 3. s = 3, 1, 3.
    below: nothing for 6; max(3, 4) = 4 for 2; for 0 max(min(1, 4), 2) = 2. beside: nothing for 0; for 2 max(2, 2)
    = 2; for 6 max(1, 4) = 4. So 0's edge goes (2 < 3); 2's stays (1 < 4, 1 <= 2); 6's stays (3 <= 4).
    """
    n, m = parent.size, points.shape[0] - parent.size
    order = _bottom_up(parent)
    star = _distances(points, n)
    # below(v), and after the pass back the best of all paths from v. nan: no path; comparing with it is false.
    path = np.full((n, m), np.nan)
    for head in range(n - 1):
        v = order[head]
        own, below, above, length = star[v], path[v], path[parent[v]], lengths[v]
        for z in range(m):
            best = below[z] if below[z] < own[z] else own[z]
            longest = best if best > length else length
            above[z] = above[z] if above[z] <= longest else longest

    old, new, count = np.empty(n * m, np.int32), np.empty(n * m, np.int32), 0
    beside = np.full(m, np.inf)
    for head in range(n - 1, -1, -1):
        v = order[head]
        own, below = star[v], path[v]
        if parent[v] >= 0:
            above, length = path[parent[v]], lengths[v]
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


@compiled(INT, INDICES, INDICES, INDICES)
def _join(n: int, left: Indices, right: Indices, order: Indices) -> Indices:
    """Kruskal's algorithm: the tree of the edges (left, right) in that order; smaller trees hang on larger ones."""
    parent = np.full(n, -1, np.int32)
    leader = np.arange(n).astype(np.int32)
    size = np.ones(n, np.int32)
    missing = n - 1
    for edge in order:
        if missing == 0:
            break
        above, below = left[edge], right[edge]
        a, b = _find(leader, above), _find(leader, below)
        if a == b:
            continue
        if size[a] < size[b]:
            a, b, above, below = b, a, below, above
        leader[b] = a
        size[a] += size[b]
        missing -= 1
        _hang(parent, below, above)
    return parent
