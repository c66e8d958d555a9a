"""Equal partitions with scikit-learn and the hdbscan package on thousands of random data sets.

Both merge two by two. Where two different merges have one distance they choose among several right hierarchies, so
that then only the distances of the merges are compared. Identical points merge at 0; they leave the partition unique
unless so many of them are in one place that merging two by two makes a split into two clusters at distance 0. Such a
split gains nothing (it is born and ends at infinite density): excess of mass passes over it unless it is at the root.
"""

import numpy as np
import pytest
from sklearn.cluster import HDBSCAN

import hdbscan
from meds_rl.hdbscan.incremental import IncrementalHDBSCAN

from .datasets import KINDS, batches, data_set
from .reference import by_first_point

pytestmark = pytest.mark.long

SMALL = tuple(range(2, 41))
SIZES = (2, 3, 5, 8, 13, 40, 100, 250, 500)


def is_unique(points, distances, min_cluster_size, n_clusters, options):
    if (np.diff(distances[distances > 0]) == 0).any() or len(points) < min_cluster_size:
        return False
    identical = np.unique(points, axis=0, return_counts=True)[1].max()
    is_plain = options["cluster_selection_method"] == "eom" and not options["allow_single_cluster"]
    return bool(identical < 2 * min_cluster_size or (is_plain and n_clusters > 0))


def compare(rng, kind, n, n_features, dtype, min_samples=2, with_hdbscan=True):
    """Grow in batches and compare; says whether the partition was unique."""
    points = data_set(rng, kind, n, n_features).astype(dtype)
    size = int(rng.choice([2, 2, 2, 3, 5, 12]))
    options = {
        "cluster_selection_method": str(rng.choice(["eom", "eom", "leaf"])),
        "allow_single_cluster": bool(rng.random() < 0.25),
    }
    ours, done = IncrementalHDBSCAN(size, min_samples, **options), 0
    for batch in batches(rng, n):
        ours.partial_fit(points[done : done + batch])
        done += batch
    distances = ours.single_linkage_distances_
    unique = is_unique(points, distances, size, ours.labels_.max() + 1, options)

    # Both measure pair by pair with these algorithms; "brute" would expand the square and round differently.
    theirs = HDBSCAN(size, min_samples=min_samples, algorithm="kd_tree", copy=True, **options).fit(points)
    np.testing.assert_allclose(distances, theirs._single_linkage_tree_["value"], rtol=1e-14)
    if unique:
        assert ours.labels_.tolist() == by_first_point(theirs.labels_).tolist()
        np.testing.assert_allclose(ours.probabilities_, theirs.probabilities_, rtol=1e-12)
    if with_hdbscan and min_samples > 1:
        theirs = hdbscan.HDBSCAN(size, min_samples - 1, algorithm="prims_kdtree", **options)
        theirs.fit(points.astype(np.float64))
        np.testing.assert_allclose(distances, theirs.single_linkage_tree_.to_numpy()[:, 2], rtol=1e-14)
        if unique:
            assert ours.labels_.tolist() == by_first_point(theirs.labels_).tolist()
            np.testing.assert_allclose(ours.probabilities_, theirs.probabilities_, rtol=1e-12)
    return unique


@pytest.mark.filterwarnings("ignore::FutureWarning:hdbscan")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_equal_partitions(kind, dtype):
    rng = np.random.default_rng([KINDS.index(kind), np.dtype(dtype).itemsize])
    unique = 0
    for run in range(200):
        n = int(rng.choice(SMALL if run % 20 else SIZES))
        unique += compare(rng, kind, n, int(rng.choice([1, 2, 3, 7, 14, 64])), dtype, int(rng.choice([1, 2, 2, 2])))
    if kind not in ("grid", "constant"):
        assert unique > 100


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning:hdbscan")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("n_features", [1, 2, 3, 7, 14, 64])
def test_equal_partitions_everywhere(kind, n, n_features):
    for dtype in (np.float64, np.float32):
        for seed in range(4 if n > 100 else 20):
            rng = np.random.default_rng([seed, n, n_features, KINDS.index(kind), np.dtype(dtype).itemsize])
            compare(rng, kind, n, n_features, dtype, 1 + seed % 2)


@pytest.mark.filterwarnings("ignore::FutureWarning:hdbscan")
@pytest.mark.parametrize("min_samples", [3, 5, 10])
def test_larger_min_samples_give_the_same_merges(min_samples):
    # One core distance is the length of several edges, so ties are the rule: the distances of the merges are compared
    # here, and the partition with the slow reference in test_hierarchy.py.
    rng = np.random.default_rng(min_samples)
    for run in range(100):
        kind = KINDS[run % len(KINDS)]
        compare(rng, kind, int(rng.integers(min_samples + 1, 60)), 3, np.float64, min_samples)
