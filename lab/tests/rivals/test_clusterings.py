"""Rivals of HDBSCAN on points whose clusters are plain to see."""

import numpy as np
import pytest

from meds_lab.rivals.agglomerative import Agglomerative
from meds_lab.rivals.dbscan import DBSCAN
from meds_lab.rivals.kmeans import KMeans
from meds_lab.rivals.random_labels import RandomLabels
from meds_lab.rivals.single import one_cluster
from meds_rl import ErrorMemory
from meds_rl.memory import HDBSCANClustering, equal_vectors
from meds_rl.memory.clustering import NO_TREE, hdbscan_labels


def on_circle(*degrees: float) -> np.ndarray:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


# Three at 0 to 4 degrees, two at 90 and 92, one far off at 200.
POINTS = on_circle(0, 90, 2, 92, 4, 200)
ALL = (
    equal_vectors,
    one_cluster,
    KMeans(3),
    DBSCAN(),
    Agglomerative(),
    RandomLabels(),
)


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())}


def test_what_each_finds():
    triple, pair, far = frozenset({0, 2, 4}), frozenset({1, 3}), frozenset({5})
    assert partition(KMeans(3)(POINTS)) == {triple, pair, far}
    assert partition(Agglomerative(0.3)(POINTS)) == {triple, pair, far}
    # 90 degrees are 1.41 apart, 110 degrees 1.64: at 1.5 the pair joins the triple.
    assert partition(Agglomerative(1.5)(POINTS)) == {triple | pair, far}
    found = DBSCAN(0.3)(POINTS)
    assert partition(found) == {triple, pair, far}
    assert found[5] == -1
    assert DBSCAN(0.3, min_samples=3)(POINTS).tolist() == [0, -1, 0, -1, 0, -1]
    assert one_cluster(POINTS).tolist() == [0] * 6
    assert equal_vectors(POINTS[[0, 1, 0, 2]]).tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize("clustering", ALL, ids=lambda one: getattr(one, "__name__", type(one).__name__))
def test_few_and_equal_points(clustering):
    for n in (1, 2, 3):
        memory = ErrorMemory(clustering)
        for _ in range(2):
            memory.remember("x", np.repeat(POINTS[:1], n, axis=0))
        sizes = memory.assign("x", POINTS[:1]).sizes
        assert sizes.tolist() == [2 * n]  # as one cluster or as noise


@pytest.mark.parametrize("clustering", ALL, ids=lambda one: getattr(one, "__name__", type(one).__name__))
def test_the_same_again_after_a_resume(clustering, tmp_path):
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(7, 5)) for _ in range(4)]
    whole, part = ErrorMemory(clustering), ErrorMemory(clustering, num_threads=1)
    for i, batch in enumerate(batches):
        whole.remember("x", batch)
        part.remember("x", batch)
        part.save(tmp_path / "memory.safetensors")
        part = ErrorMemory.load(tmp_path / "memory.safetensors", clustering)
        assert part.entry("x").clusters.tolist() == whole.entry("x").clusters.tolist(), i


def test_random_labels_have_the_sizes_of_hdbscan():
    points = np.random.default_rng(1).normal(size=(60, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    own = hdbscan_labels(points)
    drawn = RandomLabels().refit(points, NO_TREE, np.full(60, -1)).labels
    assert np.bincount(drawn + 1).tolist() == np.bincount(own + 1).tolist()
    assert partition(drawn) != partition(own)
    # The tree that HDBSCAN goes on from is kept.
    first = RandomLabels().refit(points[:40], NO_TREE, np.full(40, -1))
    sources = np.append(np.arange(40), np.full(20, -1))
    assert RandomLabels().refit(points, first.tree, sources).labels.tolist() == drawn.tolist()
    assert RandomLabels(HDBSCANClustering(min_cluster_size=5)) != RandomLabels()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: KMeans(0), "num_clusters must be 1 or more, got 0"),
        (lambda: DBSCAN(0), "distance must be above 0"),
        (lambda: DBSCAN(min_samples=0), "min_samples must be 1 or more"),
        (lambda: Agglomerative(-1), "distance must be finite and 0 or more"),
    ],
)
def test_bad_settings_say_what_is_allowed(make, said):
    with pytest.raises(ValueError, match=said):
        make()
