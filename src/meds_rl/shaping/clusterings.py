"""Rivals of HDBSCAN: which remembered errors are the same error, told otherwise.

Each is called on a prompt's unit vectors (n, D), n >= 1, in the order of remembering, and gives labels (n,), -1 for
noise. All are deterministic: several processes and a resumed run find the same. They start anew at every visit.
"""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from meds_rl.checks import check_non_negative, check_positive_int
from meds_rl.memory.clustering import PAPER_CLUSTERING, IncrementalClustering, Refit


@dataclass(frozen=True)
class ExactClustering:
    """Equal vectors are one cluster, and a vector of its own is a cluster of one: exact counting.

    Example:
        >>> ExactClustering()(np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])).tolist()
        [0, 1, 0]
    """

    def __call__(self, unit_vectors: NDArray[np.float64]) -> NDArray[np.int64]:
        """Labels (n,), numbered as they first come."""
        numbers: dict[bytes, int] = {}
        labels = [numbers.setdefault(row.tobytes(), len(numbers)) for row in unit_vectors]
        return np.array(labels, dtype=np.int64)


@dataclass(frozen=True)
class SingleCluster:
    """All of a prompt's errors are one cluster: the paper's ablation "single cluster"."""

    def __call__(self, unit_vectors: NDArray[np.float64]) -> NDArray[np.int64]:
        """Labels (n,), all 0."""
        return np.zeros(len(unit_vectors), dtype=np.int64)


@dataclass(frozen=True)
class KMeansClustering:
    """k-means with k-means++ and a fixed seed; as many clusters as there are different vectors, if those are fewer.

    Args:
        num_clusters: k >= 1.
    """

    num_clusters: int = 8

    def __post_init__(self) -> None:
        check_positive_int("num_clusters", self.num_clusters)

    def __call__(self, unit_vectors: NDArray[np.float64]) -> NDArray[np.int64]:
        """Labels (n,), no noise."""
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits

        k = min(self.num_clusters, len(np.unique(unit_vectors, axis=0)))
        # With several threads the order of sums, and so a close decision, would be an accident.
        with threadpool_limits(limits=1):
            labels = KMeans(k, n_init=1, random_state=0).fit_predict(unit_vectors)
        return np.asarray(labels, dtype=np.int64)


@dataclass(frozen=True)
class DBSCANClustering:
    """DBSCAN: dense neighbourhoods are clusters, what is in none is noise.

    Args:
        distance: reach of a neighbourhood (scikit-learn's eps), Euclidean on unit vectors, above 0.
        min_samples: members of a dense neighbourhood, the point itself included, >= 1.
    """

    distance: float = 0.3
    min_samples: int = 2

    def __post_init__(self) -> None:
        _check_distance(self.distance)
        check_positive_int("min_samples", self.min_samples)

    def __call__(self, unit_vectors: NDArray[np.float64]) -> NDArray[np.int64]:
        """Labels (n,), -1 for noise."""
        from sklearn.cluster import DBSCAN

        labels = DBSCAN(eps=self.distance, min_samples=self.min_samples).fit_predict(unit_vectors)
        return np.asarray(labels, dtype=np.int64)


@dataclass(frozen=True)
class AgglomerativeClusters:
    """Average linkage, cut at a distance; no noise.

    Args:
        distance: clusters further apart on average (Euclidean on unit vectors) stay apart, above 0.
    """

    distance: float = 0.3

    def __post_init__(self) -> None:
        _check_distance(self.distance)

    def __call__(self, unit_vectors: NDArray[np.float64]) -> NDArray[np.int64]:
        """Labels (n,), no noise."""
        from sklearn.cluster import AgglomerativeClustering

        if len(unit_vectors) == 1:  # scikit-learn wants two
            return np.zeros(1, dtype=np.int64)
        model = AgglomerativeClustering(n_clusters=None, distance_threshold=self.distance, linkage="average")
        return np.asarray(model.fit_predict(unit_vectors), dtype=np.int64)


@dataclass(frozen=True)
class RandomLabels(IncrementalClustering):
    """A control: as many clusters of the same sizes as another clustering finds, their members drawn at random.

    The draw is seeded by the points themselves, so by prompt and by what is remembered of it: it does not depend on
    process, thread or resume. It is drawn anew at every visit.

    Args:
        sizes_of: the clustering whose sizes (noise included) are kept.
    """

    sizes_of: IncrementalClustering = PAPER_CLUSTERING

    def refit(
        self, points: NDArray[np.float64], tree: NDArray[np.int32], sources: NDArray[np.int64]
    ) -> Refit:
        """See `IncrementalClustering.refit`."""
        labels, tree = self.sizes_of.refit(points, tree, sources)
        seed = int.from_bytes(sha256(np.ascontiguousarray(points).tobytes()).digest()[:8], "little")
        return Refit(np.random.default_rng(seed).permutation(labels), tree)


def _check_distance(distance: float) -> None:
    if check_non_negative("distance", distance) == 0:
        raise ValueError(f"distance must be above 0, got {distance!r}")
