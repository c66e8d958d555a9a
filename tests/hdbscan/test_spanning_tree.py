"""The tree that is built, grown and shrunk against scipy's single linkage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.cluster.hierarchy import linkage

from meds_rl.hdbscan.spanning_tree import build, delete, edge_lengths, insert, star_edges

from .datasets import KINDS, data_set
from .reference import mutual_reachability

grids = st.tuples(st.integers(1, 24), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(0, 3).map(float))
)


def distances(points, parent):
    """Edge lengths, ascending, of what must be a tree."""
    n = len(points)
    assert parent.shape == (n,)
    assert parent.dtype == np.int32
    assert (parent < 0).sum() == min(n, 1)
    reached = np.arange(n)
    for _ in range(n):
        reached = np.where(parent[reached] < 0, reached, parent[reached])
    assert np.unique(reached).size == min(n, 1)
    return np.sort(edge_lengths(points, parent))[: max(n - 1, 0)]


def single_linkage(points):
    if len(points) < 2:
        return np.zeros(0)
    upper = np.triu_indices(len(points), 1)
    return linkage(mutual_reachability(points, 1)[upper], method="single")[:, 2]


def test_a_tree_by_hand():
    # Corners of a 3 x 4 rectangle, 0 1 / 3 2, and the middle (1.5, 2) as point 4: half a diagonal, 2.5, to each corner.
    points = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0], [0.0, 4.0], [1.5, 2.0]])
    # Without the middle: the sides 3, 3 and one of the sides of 4.
    assert distances(points[:4], build(points[:4])).tolist() == [3.0, 3.0, 4.0]
    # With it: four halves of the diagonals, all sides go. Nothing but the star is needed.
    grown = insert(points, build(points[:4]))
    assert grown.tolist().count(4) + (grown[4] >= 0) == 4
    assert distances(points, grown).tolist() == [2.5, 2.5, 2.5, 2.5]
    # Without the middle again, and without corner 0: sides 3 and 4.
    kept = np.array([False, True, True, True, False])
    assert distances(points[kept], delete(points[kept], grown, kept)).tolist() == [3.0, 4.0]


def test_star_edges_of_the_example_in_the_docstring():
    points = np.array([[0.0], [2.0], [6.0], [3.0]])
    parent = np.array([-1, 0, 1], np.int32)
    old, new, distance = star_edges(points, parent, edge_lengths(points[:3], parent))
    assert sorted(zip(old.tolist(), new.tolist(), distance.tolist(), strict=True)) == [
        (1, 3, 1.0),
        (2, 3, 3.0),
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "n_features"), [(0, 2), (1, 1), (2, 3), (30, 1), (60, 14), (150, 5)])
def test_built_grown_and_shrunk_trees_have_the_distances_of_single_linkage(kind, n, n_features):
    rng = np.random.default_rng(n + n_features)
    points = data_set(rng, kind, n, n_features)
    expected = single_linkage(points)
    np.testing.assert_array_equal(distances(points, build(points)), expected)
    for old in {0, min(1, n), n // 3, n}:
        grown = insert(points, build(points[:old]))
        np.testing.assert_array_equal(distances(points, grown), expected)
    for share in (0.05, 0.5, 0.95, 1.0):
        kept = rng.random(n) < share
        left = delete(points[kept], grown, kept)
        np.testing.assert_array_equal(distances(points[kept], left), single_linkage(points[kept]))


@given(grids, st.data())
def test_ties(points, data):
    n = len(points)
    parent = build(points[: data.draw(st.integers(0, n))])
    while len(parent) < n:
        parent = insert(points[: data.draw(st.integers(len(parent) + 1, n))], parent)
    np.testing.assert_array_equal(distances(points, parent), single_linkage(points))
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    left = delete(points[kept], parent, kept)
    np.testing.assert_array_equal(distances(points[kept], left), single_linkage(points[kept]))


def test_arguments_are_not_changed_and_may_be_read_only():
    points = np.random.default_rng(0).normal(size=(20, 3))
    parent = build(points[:15])
    kept = np.arange(15) % 2 == 0
    before = points.copy(), parent.copy()
    for array in (points, parent, kept):
        array.flags.writeable = False
    assert insert(points, parent).flags.writeable
    delete(points[:15][kept], parent, kept)
    np.testing.assert_array_equal(points, before[0])
    np.testing.assert_array_equal(parent, before[1])


@pytest.mark.parametrize("scale", [1e-200, 1e-310, 1e200])
def test_squares_that_run_out_of_range_still_give_a_tree(scale):
    # All distances are 0, or infinite: not true, but a tree, and the same one distance for all.
    points = np.random.default_rng(0).normal(size=(12, 2)) * scale
    expected = np.full(11, 0.0 if scale < 1 else np.inf)
    np.testing.assert_array_equal(distances(points, build(points)), expected)
    np.testing.assert_array_equal(distances(points, insert(points, build(points[:5]))), expected)


def test_a_distance_depends_on_the_two_points_alone():
    # Same bits whether a pair is measured in a block (build, insert) or alone (edge_lengths), in either direction.
    points = np.random.default_rng(0).normal(size=(40, 37))
    exact = mutual_reachability(points, 1)
    for parent in (build(points), insert(points, build(points[:3])), insert(points, build(points[:39]))):
        child = np.flatnonzero(parent >= 0)
        np.testing.assert_array_equal(edge_lengths(points, parent)[child], exact[child, parent[child]])
        np.testing.assert_array_equal(np.sort(exact[child, parent[child]]), single_linkage(points))
