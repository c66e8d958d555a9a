import numpy as np
import pytest

from meds_rl import ErrorMemory, RewardShaper
from meds_rl.memory import IncrementalClustering, Refit, Visit, hdbscan_labels
from meds_rl.memory.clustering import check_tree, incremental
from meds_rl.memory.vote import unit_vectors


def on_circle(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_up_to_three_points_are_all_noise(n):
    # A cluster must split off the root with another beside it, each of two points or more: four at least.
    assert hdbscan_labels(on_circle(0, 1, 90)[:n]).tolist() == [-1] * n


def test_two_tight_pairs_are_two_clusters():
    labels = hdbscan_labels(on_circle(0, 1, 90, 91))
    assert labels[0] == labels[1] != labels[2] == labels[3]
    assert (labels >= 0).all()


def test_a_single_tight_group_is_all_noise():
    # Nothing splits off the root, and the root itself is no cluster. (Random scatter can still split into pairs.)
    assert hdbscan_labels(np.repeat(on_circle(30), 12, axis=0)).tolist() == [-1] * 12


def test_equal_vectors_share_a_label():
    labels = hdbscan_labels(on_circle(*[0] * 4, *[120] * 5, *[240] * 6))
    assert [len(set(part)) for part in (labels[:4], labels[4:9], labels[9:])] == [1, 1, 1]
    assert set(labels) == {0, 1, 2}


def test_one_feature_is_plus_or_minus_one_after_normalisation():
    # FINDINGS: with a fingerprint of one layer nothing but the sign is left, so errors are one single group,
    # which HDBSCAN returns as noise.
    features = np.array([[0.3], [5.0], [1e-30], [2.0]], dtype=np.float32)
    assert unit_vectors(features).tolist() == [[1.0]] * 4
    assert unit_vectors(-features).tolist() == [[-1.0]] * 4
    assert hdbscan_labels(unit_vectors(features)).tolist() == [-1] * 4
    labels = hdbscan_labels(unit_vectors(np.concatenate([features, -features])))
    assert len(set(labels[:4])) == len(set(labels[4:])) == 1


def test_vectors_of_zeros_stay_and_do_not_divide():
    zeros = np.zeros((3, 2), dtype=np.float32)
    assert unit_vectors(zeros).tolist() == [[0.0, 0.0]] * 3
    assert hdbscan_labels(unit_vectors(zeros)).tolist() == [-1] * 3


def test_the_largest_and_smallest_float32_normalise():
    extremes = np.array([[3e38, 3e38], [1e-45, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(unit_vectors(extremes), [[0.5**0.5, 0.5**0.5], [1.0, 0.0]])


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0], ValueError, "must return 2 labels, got shape"),
        ([[0, 1]], ValueError, "must return 2 labels, got shape"),
        ([0.0, 1.0], TypeError, "must return integer labels"),
        ([0, -2], ValueError, "-1 .noise. or more, got -2"),
        ([2**64 - 1] * 2, ValueError, "labels below 2.63, got 18446744073709551615"),  # -1 as int64
    ],
)
def test_labels_of_a_users_function_are_checked(labels, error, message):
    with pytest.raises(error, match=message):
        incremental(lambda _: np.array(labels)).refit(np.eye(2), np.zeros(0, np.int32), np.full(2, -1))


def test_a_users_function_gets_unit_vectors():
    seen = []

    def single_cluster(vectors):
        seen.append(vectors)
        return np.zeros(len(vectors), dtype=np.int32)

    memory = ErrorMemory(clustering=single_cluster)
    memory.remember("x", [[3.0, 4.0]])
    np.testing.assert_allclose(seen[0], [[0.6, 0.8]])
    assert seen[0].dtype == np.float64
    clusters, sizes = memory.assign("x", [[1.0, 0.0]])
    assert (clusters.tolist(), sizes.tolist()) == ([0], [1])


@pytest.mark.parametrize(
    ("tree", "message"),
    [([0, 0], "one root"), ([-1, 2, 1], "got a cycle"), ([-1, 1], "got a cycle"), ([-1, 0, 1, 4, 3], "got a cycle")],
)
def test_a_tree_must_lead_to_its_root(tree, message):
    with pytest.raises(ValueError, match=message):
        check_tree(np.array(tree, dtype=np.int32), len(tree))


def test_a_long_tree_is_a_tree():
    check_tree(np.arange(-1, 10_000, dtype=np.int32), 10_001)


@pytest.mark.parametrize("change", ["remember", "assign and remember", "shape", "restore", "rewind", "hold the lock"])
@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_clustering_may_look_up_in_its_memory_and_not_change_it(tmp_path, change, num_threads):
    # On one thread the change would be lost, and on several it would wait for ever for the thread that waits for it.
    def clustering(vectors):
        if len(vectors) > 150:
            memory.assign("x", vectors[:1])
            other.remember("x", vectors[:1])
            calls[change]()
        return np.zeros(len(vectors), dtype=np.int64)

    memory, other, shaper = ErrorMemory(clustering, num_threads=num_threads), ErrorMemory(), RewardShaper()
    shaper.memory = memory
    calls = {
        "remember": lambda: memory.remember("y", [[1.0, 0.0]]),
        "assign and remember": lambda: (memory.assign("y", [[1.0, 0.0]]), memory.remember("y", [[1.0, 0.0]])),
        "shape": lambda: shaper.shape([0], prompt_ids=["y"], features=[[1.0, 0.0]], is_correct=[False]),
        "restore": lambda: memory.restore(tmp_path / "before"),
        "rewind": lambda: memory.rewind(0),
        "hold the lock": lambda: memory.lock.__enter__(),
    }
    features = np.random.default_rng(0).normal(size=(300, 2))
    memory.remember_batch([Visit("x", features[:150]), Visit("y", features[150:])])
    memory.save(tmp_path / "before")
    with pytest.raises(RuntimeError, match="a clustering may not change the memory that has called it"):
        memory.remember_batch([Visit("x", features[:150]), Visit("y", features[150:])])
    memory.save(tmp_path / "after")
    assert (tmp_path / "before").read_bytes() == (tmp_path / "after").read_bytes()
    assert other.step > 0
    memory.remember("z", [[1.0, 0.0]])  # it works as before


def test_clustering_must_be_callable():
    with pytest.raises(TypeError, match="clustering must be a function"):
        ErrorMemory(clustering="hdbscan")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (np.zeros(2, np.int64), "must be int32"),
        (np.zeros(5, np.int32), r"of shape \(2,\) or \(0,\)"),
        (np.zeros(2, np.int32), "one root"),
        (np.array([-1, 2], np.int32), "parents from 0 to 1"),
    ],
)
def test_a_tree_of_ones_own_is_checked_before_it_is_kept(tree, message):
    class Own(IncrementalClustering):
        def refit(self, points, tree_before, sources):
            return Refit(np.zeros(len(points), np.int64), tree)

    memory = ErrorMemory(Own())
    with pytest.raises(ValueError, match=message):
        memory.remember("x", [[1.0, 0.0], [0.0, 1.0]])
    assert len(memory) == 0


def test_an_incremental_clustering_of_ones_own_is_told_where_points_were(tmp_path):
    seen = []

    class Own(IncrementalClustering):
        def refit(self, points, tree, sources):
            seen.append((len(points), tree.tolist(), sources.tolist()))
            return Refit(np.zeros(len(points), np.int64), np.arange(-1, len(points) - 1, dtype=np.int32))

    memory = ErrorMemory(Own(), capacity=3)
    memory.remember("x", [[1.0, 0.0], [0.0, 1.0]])
    memory.save(tmp_path / "memory")
    again = ErrorMemory.load(tmp_path / "memory", Own(), capacity=3)
    again.remember("x", [[1.0, 1.0], [2.0, 1.0]])
    assert seen == [(2, [], [-1, -1]), (3, [-1, 0], [1, -1, -1])]
