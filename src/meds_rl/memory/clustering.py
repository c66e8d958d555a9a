"""Which remembered errors are the same error: HDBSCAN on unit vectors, as in the paper."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meds_rl.checks import check_choice, check_non_negative, check_positive_int
from meds_rl.labels import NOISE

ClusteringFunction: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.integer]]
"""From unit vectors (n, D), n >= 1, to one label each (n,): clusters 0, 1, 2, ... and NOISE (-1)."""


class Refit(NamedTuple):
    """The result of clustering a prompt's points again.

    Attributes:
        labels: (n,) clusters 0, 1, 2, ... and NOISE (-1).
        tree: (n,) int32, from which the next refit continues: a tree of the points as the parent of each, -1 for the
            root. Empty if the clustering stores nothing.
    """

    labels: NDArray[np.int64]
    tree: NDArray[np.int32]


NO_TREE: NDArray[np.int32] = np.zeros(0, dtype=np.int32)
NO_TREE.setflags(write=False)


class IncrementalClustering(ABC):
    """A clustering that continues from what it computed of a prompt's points at the last visit.

    It has no state of its own, as the memory stores each prompt's tree: several threads may call it.
    """

    @abstractmethod
    def refit(self, points: NDArray[np.float64], tree: NDArray[np.int32], sources: NDArray[np.int64]) -> Refit:
        """Cluster points: first those that remain from the last refit, in their order then, and then new ones.

        Args:
            points: (n, D) unit vectors.
            tree: what the last refit returned; empty if there was none.
            sources: (n,) the index of each point among those of the last refit, ascending; then -1 for new points.
        """


Clustering: TypeAlias = ClusteringFunction | IncrementalClustering


@dataclass(frozen=True)
class HDBSCANClustering(IncrementalClustering):
    """HDBSCAN with the paper's settings, exact and incremental: O(n m D) for m new points among n.

    Euclidean distance and `min_samples` 1 in hdbscan's count (2 in scikit-learn's), so that the hierarchy is the
    Euclidean minimum spanning tree. See `meds_rl.IncrementalHDBSCAN`.

    Args:
        min_cluster_size: members that make a cluster, >= 2; the paper's is 2.
        cluster_selection_method: "eom" (excess of mass, the paper's) or "leaf".
        cluster_selection_epsilon: clusters that split off at less than this distance (of unit vectors: 0 to 2) are
            joined again, so that one error in many wordings is one cluster; the paper's is 0.

    Example:
        >>> angles = np.array([0.0, 0.01, 0.02, 1.5, 1.51])
        >>> points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        >>> labels, tree = HDBSCANClustering().refit(points[:3], NO_TREE, np.full(3, -1))
        >>> labels.tolist()
        [-1, -1, -1]
        >>> HDBSCANClustering().refit(points, tree, np.array([0, 1, 2, -1, -1])).labels.tolist()
        [0, 0, 0, 1, 1]
    """

    min_cluster_size: int = 2
    cluster_selection_method: Literal["eom", "leaf"] = "eom"
    cluster_selection_epsilon: float = 0.0

    def __post_init__(self) -> None:
        if not 2 <= check_positive_int("min_cluster_size", self.min_cluster_size) < 2**31:
            raise ValueError(f"min_cluster_size must be 2 to {2**31 - 1}, got {self.min_cluster_size}")
        check_choice("cluster_selection_method", self.cluster_selection_method, ("eom", "leaf"))
        check_non_negative("cluster_selection_epsilon", self.cluster_selection_epsilon)

    def refit(self, points: NDArray[np.float64], tree: NDArray[np.int32], sources: NDArray[np.int64]) -> Refit:
        """See `IncrementalClustering.refit`."""
        from meds_rl.hdbscan.hierarchy import tree_labels  # compiled: slower to load than all of meds_rl

        tree = _next_tree(points, tree, sources)
        leaf, epsilon = self.cluster_selection_method == "leaf", float(self.cluster_selection_epsilon)
        return Refit(tree_labels(points, tree, self.min_cluster_size, leaf, epsilon), tree)


def _next_tree(points: NDArray[np.float64], tree: NDArray[np.int32], sources: NDArray[np.int64]) -> NDArray[np.int32]:
    """The spanning tree of the points, from the last refit's."""
    from meds_rl.hdbscan import spanning_tree

    n_kept = int((sources >= 0).sum())
    # After many deletions, reconnecting the pieces costs as much as building.
    if not len(tree) or 2 * n_kept < len(tree):
        return spanning_tree.build(points)
    if n_kept < len(tree):
        kept = np.zeros(len(tree), dtype=np.bool_)
        kept[sources[:n_kept]] = True
        tree = spanning_tree.delete(points[:n_kept], tree, kept)
    return spanning_tree.insert(points, tree) if n_kept < len(points) else tree


PAPER_CLUSTERING = HDBSCANClustering()
"""The clustering of the paper and of the authors' release."""


def hdbscan_labels(unit_vectors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Cluster labels (n,) of one prompt's unit vectors (n, D), all at once: HDBSCAN with the paper's settings.

    A single tight group comes back as all noise, as nothing splits off the root. So in the shaper noise="cluster"
    counts noise as one cluster, or else the most repeated error would have no penalty.

    Example:
        >>> angles = np.array([0.0, 0.01, 0.02, 1.5, 1.51])
        >>> hdbscan_labels(np.stack([np.cos(angles), np.sin(angles)], axis=1)).tolist()
        [0, 0, 0, 1, 1]
        >>> hdbscan_labels(np.ones((4, 1))).tolist()
        [-1, -1, -1, -1]
    """
    points = np.ascontiguousarray(unit_vectors, dtype=np.float64)
    return PAPER_CLUSTERING.refit(points, NO_TREE, np.full(len(points), -1)).labels


def equal_vectors(unit_vectors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count equal fingerprints: labels (n,) of unit vectors (n, D), in which equal vectors are one cluster.

    With `max_distance=0` in the shaper the penalty of a vector is min(alpha ln(N + 1), beta), where N is how often it
    was remembered of its prompt; a new one is unseen and costs nothing. A vector that is alone is a cluster of one.

    Example:
        >>> equal_vectors(np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])).tolist()
        [0, 1, 0]
    """
    numbers: dict[bytes, int] = {}
    labels = [numbers.setdefault(row.tobytes(), len(numbers)) for row in unit_vectors]
    return np.array(labels, dtype=np.int64)


# ---- Clusterings that a user passes, and checks of what they return.


def incremental(clustering: Clustering) -> IncrementalClustering:
    """The clustering as the memory calls it; TypeError if it is neither a function nor an `IncrementalClustering`."""
    if isinstance(clustering, IncrementalClustering):
        return clustering
    if not callable(clustering):
        raise TypeError(f"clustering must be a function from vectors to labels, got {clustering!r}")
    return FromScratch(clustering)


@dataclass(frozen=True)
class FromScratch(IncrementalClustering):
    """A plain clustering function, called on all points at every visit."""

    function: ClusteringFunction

    def refit(self, points: NDArray[np.float64], tree: NDArray[np.int32], sources: NDArray[np.int64]) -> Refit:
        """See `IncrementalClustering.refit`."""
        labels = np.asarray(self.function(points)) if len(points) else np.zeros(0, dtype=np.int64)
        return Refit(check_labels(labels, len(points)), NO_TREE)


def check_labels(labels: NDArray[np.integer], n: int) -> NDArray[np.int64]:
    """Labels (n,) of a clustering as int64; a TypeError or ValueError unless they are n integers >= -1."""
    if labels.shape != (n,):
        raise ValueError(f"clustering must return {n} labels, got shape {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"clustering must return integer labels, got dtype {labels.dtype}")
    if labels.min(initial=0) < NOISE:
        raise ValueError(f"clustering must return labels of {NOISE} (noise) or more, got {labels.min()}")
    if labels.max(initial=0) >= 2**63:
        raise ValueError(f"clustering must return labels below 2^63, got {labels.max()}")
    return labels.astype(np.int64)


def check_tree(tree: NDArray[np.int32], n: int) -> None:
    """Raise a ValueError unless the tree is empty or has the parents of n points, without a cycle."""
    if tree.dtype != np.int32 or tree.shape not in ((0,), (n,)):
        raise ValueError(f"a tree must be int32 of shape ({n},) or (0,), got {tree.dtype} of shape {tree.shape}")
    if len(tree) and not (tree.min() == -1 and tree.max() < n and np.count_nonzero(tree == -1) == 1):
        raise ValueError(f"a tree must have one root, -1, and parents from 0 to {n - 1}")
    # Twice as far up in every round: who is in a cycle never arrives at the root.
    above = np.where(tree < 0, np.arange(len(tree)), tree)
    for _ in range(len(tree).bit_length()):
        above = above[above]
    if len(tree) and not (tree[above] == -1).all():
        raise ValueError("a tree must lead from each point to its root, got a cycle")
