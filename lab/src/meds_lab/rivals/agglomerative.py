"""Agglomerative clustering in place of HDBSCAN: average linkage, cut at a distance, no noise."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meds_rl import ErrorMemory
from meds_rl.checks import check_non_negative
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer


@dataclass(frozen=True)
class Agglomerative:
    """Clusters further apart than `distance` on average (Euclidean on unit vectors, above 0) are not joined."""

    distance: float = 0.3

    def __post_init__(self) -> None:
        if check_non_negative("distance", self.distance) == 0:
            raise ValueError(f"distance must be above 0, got {self.distance!r}")

    def __call__(self, unit_vectors: NDArray[np.float64]) -> NDArray[np.int64]:
        """Labels (n,)."""
        from sklearn.cluster import AgglomerativeClustering

        if len(unit_vectors) == 1:  # scikit-learn needs two
            return np.zeros(1, dtype=np.int64)
        model = AgglomerativeClustering(n_clusters=None, distance_threshold=self.distance, linkage="average")
        return np.asarray(model.fit_predict(unit_vectors), dtype=np.int64)


def trainer(
    model: Any,
    reward_funcs: Any,
    args: MEDSConfig,
    train_dataset: Any,
    *,
    distance: float = 0.3,
    **kwargs: Any,
) -> MEDSTrainer:
    """`MEDSTrainer` with agglomerative clustering."""
    clustering = Agglomerative(distance)
    memory = ErrorMemory(clustering, capacity=args.meds_capacity, half_life=args.meds_half_life)
    return MEDSTrainer(model, reward_funcs, args, train_dataset, memory=memory, **kwargs)
