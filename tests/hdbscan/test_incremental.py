"""The estimator: scikit-learn's conventions, and what it refuses."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from meds_rl.hdbscan.incremental import IncrementalHDBSCAN

from .reference import hdbscan, mutual_reachability

ESTIMATORS = [
    IncrementalHDBSCAN(),
    IncrementalHDBSCAN(5),
    IncrementalHDBSCAN(5, None, cluster_selection_method="leaf"),
    IncrementalHDBSCAN(allow_single_cluster=True),
]


def does_not_apply(estimator):
    """The check wants three blobs found in 50 points. With min_cluster_size 2 HDBSCAN, anyone's, finds pairs."""
    reason = "asks for large clusters, which min_cluster_size=2 is not meant for"
    checks = ("check_clustering", "check_clustering(readonly_memmap=True)")
    return dict.fromkeys(checks, reason) if estimator.min_cluster_size == 2 else {}


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=does_not_apply)
def test_estimator_checks(estimator, check):
    check(estimator)


def blobs(n=60, n_features=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, n_features)) + 8 * rng.integers(0, 3, size=(n, 1))


def test_fit_starts_anew_and_partial_fit_goes_on():
    points = blobs()
    clusterer = IncrementalHDBSCAN(3)
    expected = clone(clusterer).fit(points)
    clusterer.fit(blobs(seed=1)).fit(points[:20])
    assert clusterer.n_samples_seen_ == 20
    for n in range(20, 60, 8):
        clusterer.partial_fit(points[n : n + 8])
    assert clusterer.n_samples_seen_ == 60
    assert clusterer.n_features_in_ == 3
    np.testing.assert_array_equal(clusterer.labels_, expected.labels_)
    np.testing.assert_array_equal(clusterer.probabilities_, expected.probabilities_)
    np.testing.assert_array_equal(clusterer.single_linkage_distances_, expected.single_linkage_distances_)
    np.testing.assert_array_equal(clone(clusterer).fit_predict(points), expected.labels_)


@pytest.mark.parametrize("min_samples", [1, 2, 4])
def test_minimum_spanning_tree(min_samples):
    points = blobs()
    clusterer = IncrementalHDBSCAN(min_samples=min_samples).fit(points)
    tree = clusterer.minimum_spanning_tree_
    assert tree.shape == (59, 3)
    i, j = tree[:, :2].astype(int).T
    np.testing.assert_array_equal(tree[:, 2], mutual_reachability(points, min_samples)[i, j])
    np.testing.assert_array_equal(tree[:, 2], np.sort(tree[:, 2]))
    np.testing.assert_array_equal(tree[:, 2], clusterer.single_linkage_distances_)


def test_empty_batches_change_nothing_and_may_come_first():
    clusterer = IncrementalHDBSCAN().partial_fit(np.empty((0, 3)))
    assert clusterer.labels_.shape == clusterer.probabilities_.shape == (0,)
    assert clusterer.minimum_spanning_tree_.shape == (0, 3)
    assert clusterer.single_linkage_distances_.shape == (0,)
    labels = clusterer.partial_fit(blobs()).labels_
    assert clusterer.partial_fit(np.empty((0, 3))).labels_.tolist() == labels.tolist()
    with pytest.raises(ValueError, match="minimum of 1 is required"):
        clusterer.fit(np.empty((0, 3)))


@pytest.mark.parametrize("min_samples", [1, 2, 3, None])
def test_few_points_are_noise(min_samples):
    points = np.array([[0.0], [1.0], [50.0], [51.0]])
    clusterer = IncrementalHDBSCAN(5, min_samples, allow_single_cluster=True)
    for n in range(4):
        clusterer.partial_fit(points[n : n + 1])
        assert clusterer.labels_.tolist() == [-1] * (n + 1)
        assert clusterer.minimum_spanning_tree_.shape == (n, 3)
    assert IncrementalHDBSCAN(2, 9).fit(points).labels_.tolist() == [-1] * 4


def test_parameters_set_in_between_take_effect_at_the_next_call():
    points = blobs()
    clusterer = IncrementalHDBSCAN()
    for n, (size, min_samples) in enumerate([(2, 2), (4, 2), (4, 3), (3, None), (5, 1), (2, 5), (2, 2)], 1):
        clusterer.set_params(min_cluster_size=size, min_samples=min_samples)
        clusterer.partial_fit(points[8 * n - 8 : 8 * n])
        expected = hdbscan(points[: 8 * n], size, min_samples or size)[0]
        assert clusterer.labels_.tolist() == expected.tolist()


@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"min_cluster_size": 1}, "min_cluster_size must be an integer of at least 2, got 1"),
        ({"min_cluster_size": 2.5}, "min_cluster_size must be an integer of at least 2, got 2.5"),
        ({"min_cluster_size": None}, "min_cluster_size must be an integer of at least 2, got None"),
        ({"min_samples": 0}, "min_samples must be an integer of at least 1, got 0"),
        ({"min_samples": True}, "min_samples must be an integer of at least 1, got True"),
        ({"cluster_selection_method": "mass"}, "must be 'eom' or 'leaf', got 'mass'"),
        ({"allow_single_cluster": 1}, "allow_single_cluster must be a bool, got 1"),
    ],
)
def test_parameters_out_of_range(fit, parameters, message):
    clusterer = IncrementalHDBSCAN().partial_fit(blobs())
    labels = clusterer.labels_
    with pytest.raises(ValueError, match=message):
        getattr(clusterer.set_params(**parameters), fit)(blobs())
    assert clusterer.labels_ is labels
    assert clusterer.n_samples_seen_ == 60


def test_numpy_integers_are_integers():
    assert IncrementalHDBSCAN(np.int64(2), np.int32(2)).fit(blobs()).labels_.max() > 0


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[0.0, 1.0, np.nan]], "NaN"),
        ([[0.0, 1.0, np.inf]], "infinity"),
        ([[0.0, 1.0]], "2 features"),
        ([0.0, 1.0, 2.0], "2D array"),
        (np.empty((0, 2)), "2 features"),
    ],
)
def test_bad_points_are_refused_before_anything_changes(points, message):
    clusterer = IncrementalHDBSCAN().partial_fit(blobs()[:30])
    with pytest.raises(ValueError, match=message):
        clusterer.partial_fit(points)
    assert clusterer.n_samples_seen_ == 30
    clusterer.partial_fit(blobs()[30:])
    np.testing.assert_array_equal(clusterer.labels_, IncrementalHDBSCAN().fit(blobs()).labels_)


def test_distances_that_overflow_are_refused():
    # 4 * 6e153^2 is the largest of one dimension below 1.8e308; they used to be infinite, and all points noise.
    points = np.array([[0.0], [1.0], [5.0], [7.0]])
    model = IncrementalHDBSCAN().fit(points * 8e152)
    assert model.labels_.tolist() == [0, 0, 1, 1]
    with pytest.raises(ValueError, match=r"so that distances are finite; got 7e\+153"):
        model.partial_fit(points * 1e153)
    with pytest.raises(ValueError, match="X must be finite in float64"):
        model.partial_fit([[10**400]])
    assert model.n_samples_seen_ == 4


def test_bad_points_at_first_leave_it_unfitted():
    clusterer = IncrementalHDBSCAN()
    with pytest.raises(ValueError, match="NaN"):
        clusterer.partial_fit([[np.nan, 0.0]])
    with pytest.raises(NotFittedError):
        _ = clusterer.minimum_spanning_tree_
    assert clusterer.partial_fit(blobs()).n_features_in_ == 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("layout", ["C", "F", "strided", "read-only"])
def test_any_array_will_do_and_is_copied(dtype, layout):
    points = (blobs() * 10).astype(dtype)
    given = {
        "C": points.copy(),
        "F": np.asfortranarray(points),
        "strided": np.repeat(points, 2, axis=0)[::2],
    }.get(layout, points.copy())
    given.flags.writeable = layout != "read-only"
    expected = IncrementalHDBSCAN().fit(points.astype(np.float64)).labels_
    np.testing.assert_array_equal(IncrementalHDBSCAN().fit(given).labels_, expected)
    clusterer = IncrementalHDBSCAN().fit(given[:30])
    if layout != "read-only":
        given[:30] = 0  # the caller may use the array again
    np.testing.assert_array_equal(clusterer.partial_fit(points[30:]).labels_, expected)


def test_pickled_in_between_it_goes_on():
    clusterer = pickle.loads(pickle.dumps(IncrementalHDBSCAN(3).partial_fit(blobs()[:25])))
    np.testing.assert_array_equal(
        clusterer.partial_fit(blobs()[25:]).labels_, IncrementalHDBSCAN(3).fit(blobs()).labels_
    )


def test_labels_given_out_do_not_change_later():
    clusterer = IncrementalHDBSCAN().partial_fit(blobs()[:30])
    labels, before = clusterer.labels_, clusterer.labels_.tolist()
    clusterer.partial_fit(blobs()[30:])
    assert labels.tolist() == before
