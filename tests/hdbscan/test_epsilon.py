"""Clusters that are closer than epsilon are one, as in hdbscan and scikit-learn."""

import numpy as np
import pytest
from sklearn.cluster import HDBSCAN
from sklearn.metrics import adjusted_rand_score

import hdbscan
from meds_rl import IncrementalHDBSCAN
from meds_rl.memory import HDBSCANClustering
from meds_rl.memory.clustering import NO_TREE

PAIRS = np.array([[0.0], [0.1], [1.0], [1.11], [20.0], [20.3]])


@pytest.mark.parametrize(
    ("epsilon", "labels"),
    [
        (0.0, [0, 0, 1, 1, 2, 2]),
        (0.5, [0, 0, 1, 1, 2, 2]),  # the first two pairs are .9 apart
        (1.0, [0, 0, 0, 0, 1, 1]),
        (100.0, [0, 0, 0, 0, 1, 1]),  # all within 100: but the root is no cluster
    ],
)
def test_by_hand(epsilon, labels):
    assert IncrementalHDBSCAN(cluster_selection_epsilon=epsilon).fit_predict(PAIRS).tolist() == labels
    clustering = HDBSCANClustering(cluster_selection_epsilon=epsilon)
    assert clustering.refit(PAIRS, NO_TREE, np.full(6, -1)).labels.tolist() == labels


def test_the_root_where_it_may_be_a_cluster():
    model = IncrementalHDBSCAN(cluster_selection_epsilon=100.0, allow_single_cluster=True)
    assert model.fit_predict(PAIRS).tolist() == [0] * 6


# scikit-learn 1.7, where a cluster goes up; 1.9 fails there.
@pytest.mark.filterwarnings("ignore:Conversion of an array with ndim:DeprecationWarning")
@pytest.mark.parametrize("seed", range(8))
def test_partitions_equal_both_packages(seed):
    rng = np.random.default_rng(seed)
    compared = 0
    for _ in range(40):
        n, n_features = int(rng.integers(6, 120)), int(rng.integers(1, 6))
        centres = rng.normal(size=(5, n_features))
        points = centres[rng.integers(5, size=n)] + rng.choice([0.05, 0.3, 1]) * rng.normal(size=(n, n_features))
        options = {
            "min_cluster_size": int(rng.integers(2, 6)),
            "cluster_selection_epsilon": float(rng.choice([0.05, 0.2, 0.5, 1.0, 3.0])),
            "cluster_selection_method": str(rng.choice(["eom", "leaf"])),
            "allow_single_cluster": bool(rng.integers(2)),
        }
        model = IncrementalHDBSCAN(**options)
        for part in np.array_split(points, 3):
            model.partial_fit(part)
        theirs = hdbscan.HDBSCAN(min_samples=1, algorithm="prims_kdtree", **options).fit_predict(points)
        assert (model.labels_ == -1).tolist() == (theirs == -1).tolist()
        assert adjusted_rand_score(model.labels_, theirs) == 1.0
        try:
            sklearns = HDBSCAN(min_samples=2, algorithm="kd_tree", copy=True, **options).fit_predict(points)
        except TypeError:  # scikit-learn 1.9 fails where a cluster goes up ("only 0-dimensional arrays ...")
            sklearns = theirs
        assert adjusted_rand_score(model.labels_, sklearns) == 1.0
        compared += len(set(theirs.tolist())) > 2
    assert compared > 15


@pytest.mark.parametrize("epsilon", [-0.1, np.nan, np.inf, "1", True])
def test_a_bad_epsilon_is_refused(epsilon):
    with pytest.raises(ValueError, match="cluster_selection_epsilon must be a finite number of at least 0, got"):
        IncrementalHDBSCAN(cluster_selection_epsilon=epsilon).fit(PAIRS)
    with pytest.raises((TypeError, ValueError), match="cluster_selection_epsilon must be"):
        HDBSCANClustering(cluster_selection_epsilon=epsilon)
