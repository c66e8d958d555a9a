"""Clusters of a tree against the slow reference, above all where distances tie."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meds_rl.hdbscan.hierarchy import _select, extract, tree_labels
from meds_rl.hdbscan.incremental import IncrementalHDBSCAN
from meds_rl.hdbscan.spanning_tree import build, delete, edge_lengths

from .reference import by_first_point, hdbscan
from .test_spanning_tree import grids


def test_a_condensed_tree_by_hand():
    # On a line: 0 1 3 | 11 12.5 | 30. Edges 1, 2, 8, 1.5, 17.5; min_cluster_size 2.
    # 17.5: 30 falls out of the root. 8: the root splits into A = {0, 1, 3} and B = {11, 12.5}, born at 1/8.
    # A: 3 falls at 1/2, the rest at 1: stability 3/8 + 2 * 7/8 = 2.125. B ends at 1/1.5. No further splits: A and B.
    # Probabilities in A: 1, 1, (1/2) / 1. In B: 1, 1.
    points = np.array([[0.0], [1.0], [3.0], [11.0], [12.5], [30.0]])
    parent = build(points)
    labels, probabilities = extract(parent, edge_lengths(points, parent))
    assert labels.tolist() == [0, 0, 0, 1, 1, -1]
    assert probabilities.tolist() == [1.0, 1.0, 0.5, 1.0, 1.0, 0.0]
    # With min_cluster_size 3 nothing splits: B falls out of the root whole, and the root may not be selected,
    assert tree_labels(points, parent, 3).tolist() == [-1] * 6
    # or else it holds those that stay until its end, at distance 2: 0, 1 and 3.
    labels, _ = extract(parent, edge_lengths(points, parent), 3, allow_single_cluster=True)
    assert labels.tolist() == [0, 0, 0, -1, -1, -1]


def test_equal_distances_are_one_merge():
    # Three pairs (1 apart), 4 from each other: one split into three. Two by two, a pair of pairs could be a cluster.
    points = np.array([[0.0], [1.0], [5.0], [6.0], [10.0], [11.0]])
    assert tree_labels(points, build(points)).tolist() == [0, 0, 1, 1, 2, 2]
    # Evenly spaced points all part at once: noise.
    even = points[::2].copy()
    assert tree_labels(even, build(even)).tolist() == [-1, -1, -1]


def test_identical_points_part_at_infinite_density_together():
    points = np.array([[0.0]] * 4 + [[5.0]] * 3 + [[6.0]])
    # 5 and 6 merge at 1, with 0 at 5. {5, 5, 5, 6}: 6 falls at 1, the 5s never: infinitely stable, as the 0s.
    labels, probabilities = extract(build(points), edge_lengths(points, build(points)))
    assert labels.tolist() == [0] * 4 + [1] * 4
    assert probabilities.tolist() == [1.0] * 7 + [0.0]
    # All points identical: they part at once, no cluster.
    assert tree_labels(points[:4], build(points[:4])).tolist() == [-1] * 4


@given(grids, st.integers(2, 5), st.integers(1, 4), st.sampled_from(["eom", "leaf"]), st.booleans())
def test_equals_the_reference_where_distances_tie(points, min_cluster_size, min_samples, method, single):
    clusterer = IncrementalHDBSCAN(
        min_cluster_size, min_samples, cluster_selection_method=method, allow_single_cluster=single
    ).fit(points)
    labels, probabilities = hdbscan(points, min_cluster_size, min_samples, method, single)
    assert clusterer.labels_.tolist() == labels.tolist()
    assert clusterer.probabilities_.tolist() == probabilities.tolist()


@given(grids, st.integers(2, 4), st.sampled_from(["eom", "leaf"]), st.randoms(use_true_random=False))
def test_the_clusters_are_a_function_of_the_set_of_points(points, min_cluster_size, method, random):
    n = len(points)
    expected = tree_labels(points, build(points), min_cluster_size, method == "leaf")
    shuffled = np.array(random.sample(range(n), n))
    clusterer = IncrementalHDBSCAN(min_cluster_size, cluster_selection_method=method)
    done = 0
    while done < n:  # in any order and any batches
        size = random.randint(1, n)
        clusterer.partial_fit(points[shuffled[done : done + size]])
        done += size
    back = np.empty(n, dtype=np.int64)
    back[shuffled] = clusterer.labels_
    assert by_first_point(back).tolist() == expected.tolist()
    # Other points came and went.
    extra = np.array([[random.randint(0, 3) for _ in range(points.shape[1])] for _ in range(5)], dtype=np.float64)
    both = np.concatenate([extra, points])
    kept = np.arange(len(both)) >= 5
    assert tree_labels(points, delete(points, build(both), kept), min_cluster_size, method == "leaf").tolist() == (
        expected.tolist()
    )


@pytest.mark.parametrize("scale", [1e-200, 1e-310, 1e-308, 1e200])
def test_nothing_becomes_nan_at_the_ends_of_the_range(scale):
    points = np.random.default_rng(0).integers(0, 5, size=(30, 1)) * scale
    labels, probabilities = extract(build(points), edge_lengths(points, build(points)), allow_single_cluster=True)
    assert np.isfinite(probabilities).all()
    assert labels.min() >= -1


def test_densities_beyond_the_largest_float_are_as_good_as_equal():
    # 1 / 1e-310 overflows: two pairs are born at infinite density and end there. They gain 0, not inf - inf = nan.
    parent, lengths = np.array([-1, 0, 1, 2], np.int32), np.array([np.nan, 5e-324, 1e-310, 5e-324])
    labels, probabilities = extract(parent, lengths)
    assert labels.tolist() == [0, 0, 1, 1]
    assert probabilities.tolist() == [1.0] * 4


@pytest.mark.parametrize("below", list(permutations([2.0**53, 1.0, 1.0])))
def test_stabilities_are_added_up_in_one_order(below):
    # Root 0, cluster 1, its parts 2, 3, 4. In floats 1 + 1 + 2^53 = 2^53 + 2, but 2^53 + 1 + 1 = 2^53. Smallest first,
    # the parts win against 2^53; against 2^53 + 2 they tie, and then the whole is kept.
    above = np.array([-1, 0, 1, 1, 1], np.int32)
    assert _select(above, np.array([0.0, 2.0**53, *below]), False, False).tolist() == [-1, -1, 2, 3, 4]
    assert _select(above, np.array([0.0, 2.0**53 + 2, *below]), False, False).tolist() == [-1, 1, 1, 1, 1]


def test_few_points_are_noise():
    for n in range(3):
        assert tree_labels(np.zeros((n, 2)), build(np.zeros((n, 2))), 3).tolist() == [-1] * n
