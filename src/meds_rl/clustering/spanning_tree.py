"""Minimum spanning trees of points, built, grown and shrunk exactly.

A tree of n points is an array of n parents, -1 for the one root. Points are (n, D), float64, C-contiguous and finite.
The distance of two points is the root of the sum of their squared differences, added up over the dimensions in order:
it depends, to the last bit, on nothing but the two. Where distances tie there are several minimum spanning trees, and
any of them may come back: the groups of points that edges up to some length connect are the same in all of them.
"""

import numpy as np
from numpy.typing import NDArray

from meds_rl.clustering import connection, insertion
from meds_rl.clustering.sorting import ascending

Floats = NDArray[np.float64]
Indices = NDArray[np.int32]

BLOCK = 32  # new points that go through the tree side by side: all their distances are in memory at once


def build(points: Floats) -> Indices:
    """The tree of (n, D) points from nothing: O(n^2 D) time, O(n D) memory.

    >>> build(np.array([[0.0], [1.0], [3.0]]))
    array([-1,  0,  1], dtype=int32)
    """
    return connection.connect(points, np.zeros(len(points)), np.full(len(points), -1, np.int32))


def insert(points: Floats, parent: Indices) -> Indices:
    """The tree of all n + m points, given that of the first n: O(n m D).

    The edges of the old tree, those of a tree of the new points, and from each new point z the edges that it needs
    when added alone hold a minimum spanning tree of all: an edge that is left out closes a cycle with edges that are
    there and no longer, so that up to any length the same points are connected.

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
    old, new, distances = insertion.star_edges(points, parent, old_lengths)
    left = np.concatenate([np.arange(n, dtype=np.int32), np.arange(n, len(points), dtype=np.int32), old])
    right = np.concatenate([parent, new_parent + np.int32(n), new])
    order = ascending(np.concatenate([old_lengths, new_lengths, distances]))
    return insertion.join(len(points), left, right, order[:-2])  # without the two roots, whose length is nan


def delete(points: Floats, parent: Indices, kept: NDArray[np.bool_]) -> Indices:
    """The tree of the (n, D) kept points, given the old tree and which of its points are kept.

    An old edge with both ends kept stays. Let edges of one length be ordered with those of the old tree first. Then
    every old edge is the very first of all edges between the two parts that the tree falls into without it. Taking
    points away takes edges away, so it is still the first between what is left of the two parts, and the first edge
    between two parts is in the minimum spanning tree. What the old edges leave apart is joined by measuring pairs of
    points in different pieces: r n of them if all but r points are in one piece, n^2 / 2 at most.

    >>> delete(np.array([[0.0], [3.0]]), np.array([-1, 2, 0], np.int32), np.array([True, True, False]))
    array([-1,  0], dtype=int32)
    """
    index = np.cumsum(kept, dtype=np.int32) - np.int32(1)  # the new numbers of the kept points
    stays = kept & (parent >= 0) & kept[parent]
    forest = np.where(stays, index[parent], np.int32(-1))[kept]
    return connection.connect(points, np.zeros(len(points)), forest)


def edge_lengths(points: Floats, parent: Indices) -> Floats:
    """The distance from each point to its parent, (n,); nan for the root.

    >>> edge_lengths(np.array([[0.0], [3.0]]), np.array([-1, 0], np.int32))
    array([nan,  3.])
    """
    return connection.lengths(points, np.zeros(len(points)), parent)
