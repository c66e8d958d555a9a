"""From a minimum spanning tree to clusters: single linkage, condensed tree, selection, labels.

The result is the same whichever minimum spanning tree was found: all merges at exactly one distance are ONE merge of as
many parts as there are, never a chain of merges of two, whose order would be arbitrary, and sums run in an order that
depends on the values alone. So the clusters are a function of the set of points.
"""

import numpy as np
from numpy.typing import NDArray

from meds_rl.hdbscan.compiled import FLAG, INDICES, INT, REAL, VALUES, Floats, Indices, ascending, compiled, part
from meds_rl.hdbscan.spanning_tree import edge_lengths

Labels = NDArray[np.int64]


@part
def _single_linkage(parent: Indices, order: Indices) -> tuple[Indices, Indices]:
    """Merges of two: node n + k joins what the k-th shortest edge connects. Each node's upper node, and its size."""
    n = parent.size
    upper, size = np.full(2 * n - 1, -1, np.int32), np.ones(2 * n - 1, np.int32)
    leader = np.arange(2 * n - 1).astype(np.int32)
    for k in range(n - 1):
        node = n + k
        size[node] = 0
        for end in (order[k], parent[order[k]]):
            a = end
            while leader[a] != a:
                leader[a] = leader[leader[a]]
                a = leader[a]
            leader[a] = upper[a] = node
            size[node] += size[a]
    return upper, size


@part
def _merge_ties(n: int, upper: Indices, lengths: Floats, order: Indices) -> Indices:
    """Each node's upper node once equal distances are one merge; a node that is part of its upper one gets -2."""
    merged = upper.copy()
    top = np.arange(upper.size).astype(np.int32)  # the node that represents the whole merge
    for node in range(2 * n - 3, -1, -1):
        above = top[upper[node]]
        merged[node] = above
        if node >= n and lengths[order[node - n]] == lengths[order[above - n]]:
            top[node] = above
            merged[node] = -2
    return merged


@part
def _density(length: float) -> float:
    """Lambda, the inverse of a distance."""
    return 1.0 / length if length > 0.0 else np.inf


@part
def _gain(density: float, birth: float, size: int) -> float:
    """What `size` points add to the stability of the cluster they leave; 0, not nan, where both are infinite."""
    return (density - birth) * size if density > birth else 0.0


@part
def _condense(
    upper: Indices, size: Indices, lengths: Floats, order: Indices, min_cluster_size: int
) -> tuple[Indices, Floats, Indices, Floats, Floats, Floats]:
    """For each point: the cluster it falls out of, and when. For each cluster: its parent, birth, stability, end.

    Clusters are numbered from the root (0) down, parents first. At a merge, walked top-down: parts of
    min_cluster_size points and more are big. Two big parts or more are new clusters; one goes on as the old cluster;
    all other points fall out.
    """
    n = lengths.size
    big = np.zeros(2 * n - 1, np.int32)
    for node in range(n, 2 * n - 2):
        if upper[node] >= 0 and size[node] >= min_cluster_size:
            big[upper[node]] += 1
    cluster, alive = np.zeros(2 * n - 1, np.int32), np.zeros(2 * n - 1, np.bool_)
    fell = np.empty(2 * n - 1)  # the density at which a node fell or, of one that is alive, its parts fall
    above_cluster, birth = np.full(n, -1, np.int32), np.zeros(n)
    stability, end = np.zeros(n), np.zeros(n)
    alive[2 * n - 2] = True
    clusters = 1
    for node in range(2 * n - 2, -1, -1):
        above = upper[node]
        if above >= 0:
            c = cluster[above]
            cluster[node], fell[node] = c, fell[above]
            if alive[above] and size[node] >= min_cluster_size:
                alive[node] = True
                if big[above] > 1:
                    cluster[node] = clusters
                    above_cluster[clusters], birth[clusters] = c, fell[above]
                    clusters += 1
                else:
                    stability[c] += _gain(fell[above], birth[c], size[above] - size[node])
        if node >= n and alive[node]:
            # What falls here falls at this node's density. The cluster ends, unless one part goes on in it.
            c = cluster[node]
            fell[node] = end[c] = _density(lengths[order[node - n]])
            if big[node] != 1:
                stability[c] += _gain(fell[node], birth[c], size[node])
    below = slice(clusters)
    return cluster[:n], fell[:n], above_cluster[below], birth[below], stability[below], end[below]


@part
def _select(above: Indices, stability: Floats, leaf: bool, allow_single_cluster: bool) -> Indices:
    """Each cluster's selected ancestor or self; -1 for none.

    Excess of mass keeps a cluster unless those below it are together more stable. They are added up in order of size:
    so the sum does not depend on which comes first.
    """
    clusters = above.size
    first, following = np.full(clusters, -1, np.int32), np.full(clusters, -1, np.int32)
    selected = np.zeros(clusters, np.bool_)
    below = np.empty(clusters)
    for c in range(clusters - 1, -1, -1):
        count, child = 0, first[c]
        while child >= 0:
            below[count] = stability[child]
            count += 1
            child = following[child]
        if leaf:
            selected[c] = count == 0 and c > 0
        else:
            total = 0.0
            if count > 2:
                below[:count].sort()
            for i in range(count):
                total += below[i]
            selected[c] = total <= stability[c] and (c > 0 or allow_single_cluster)
            if total > stability[c]:
                stability[c] = total
        if c > 0:
            following[c] = first[above[c]]
            first[above[c]] = c
    chosen = np.full(clusters, -1, np.int32)
    for c in range(clusters):
        chosen[c] = chosen[above[c]] if c > 0 else -1
        if chosen[c] < 0 and selected[c]:
            chosen[c] = c
    return chosen


@part
def _join_near(chosen: Indices, above: Indices, birth: Floats, epsilon: float, allow_single_cluster: bool) -> Indices:
    """`chosen`, with each cluster that split off at less than epsilon replaced by an ancestor.

    That is the lowest ancestor that split off at more than epsilon; failing that the root, if it may be a cluster, or
    else the highest ancestor below the root.
    """
    joined = np.zeros(chosen.size, np.bool_)
    for c in range(chosen.size):
        if chosen[c] != c:
            continue
        top = c
        if c > 0 and 1.0 / birth[c] < epsilon:
            while above[top] > 0:
                top = above[top]
                if 1.0 / birth[top] > epsilon:
                    break
            else:
                if allow_single_cluster:
                    top = 0
        joined[top] = True
    higher = np.full(chosen.size, -1, np.int32)
    for c in range(chosen.size):
        higher[c] = higher[above[c]] if c > 0 else -1
        if higher[c] < 0 and joined[c]:
            higher[c] = c
    return higher


@compiled(INDICES, VALUES, INDICES, INT, FLAG, FLAG, REAL)
def _extract(
    parent: Indices, lengths: Floats, order: Indices, min_cluster_size: int, leaf: bool, single: bool, epsilon: float
) -> tuple[Labels, Floats]:
    """Labels and probabilities from the tree and the order of its edges by length."""
    n = parent.size
    labels, probabilities = np.full(n, -1, np.int64), np.zeros(n)
    if n < max(min_cluster_size, 2):
        return labels, probabilities
    binary, size = _single_linkage(parent, order)
    upper = _merge_ties(n, binary, lengths, order)
    cluster, fell, above, birth, stability, end = _condense(upper, size, lengths, order, min_cluster_size)
    chosen = _select(above, stability, leaf, single)
    if epsilon > 0.0:
        chosen = _join_near(chosen, above, birth, epsilon, single)
    number, count = np.full(above.size, -1, np.int64), 0
    for i in range(n):
        c = chosen[cluster[i]]
        # A root that is the one cluster holds the points that stay until its end, or that are within epsilon of others;
        # those that fell before are noise.
        if c < 0 or (c == 0 and fell[i] < (1.0 / epsilon if epsilon > 0.0 else end[0])):
            continue
        if number[c] < 0:
            number[c] = count
            count += 1
        labels[i] = number[c]
        whole = end[c] == 0.0 or fell[i] == np.inf or fell[i] >= end[c]
        probabilities[i] = 1.0 if whole else fell[i] / end[c]
    return labels, probabilities


def extract(
    parent: Indices,
    lengths: Floats,
    min_cluster_size: int = 2,
    *,
    leaf: bool = False,
    allow_single_cluster: bool = False,
    epsilon: float = 0.0,
) -> tuple[Labels, Floats]:
    """Labels (n,), -1 for noise, and probabilities (n,) from a minimum spanning tree and the lengths of its edges.

    Clusters are numbered by their first point. `leaf` selects the smallest clusters, not those of most excess of mass;
    clusters less than `epsilon` apart are joined.

    >>> extract(np.array([-1, 0, 1, 2], np.int32), np.array([np.nan, 1.0, 5.0, 2.0]))
    (array([0, 0, 1, 1]), array([1., 1., 1., 1.]))
    """
    return _extract(parent, lengths, ascending(lengths), min_cluster_size, leaf, allow_single_cluster, epsilon)


def tree_labels(
    points: Floats, parent: Indices, min_cluster_size: int = 2, leaf: bool = False, epsilon: float = 0.0
) -> Labels:
    """The cluster of each of (n, D) points, -1 for noise, from their minimum spanning tree. See `extract`.

    >>> from meds_rl.hdbscan.spanning_tree import build
    >>> points = np.array([[0.0], [1.0], [6.0], [8.0]])
    >>> tree_labels(points, build(points))
    array([0, 0, 1, 1])
    """
    return extract(parent, edge_lengths(points, parent), min_cluster_size, leaf=leaf, epsilon=epsilon)[0]
