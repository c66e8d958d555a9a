"""DBSCAN in place of HDBSCAN: dense neighbourhoods are clusters, points in none are noise."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meds_rl import ErrorMemory
from meds_rl.checks import check_non_negative, check_positive_int
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer


@dataclass(frozen=True)
class DBSCAN:
    """scikit-learn's DBSCAN.

    Args:
        distance: radius of a neighbourhood (eps), Euclidean on unit vectors, above 0.
        min_samples: points in a dense neighbourhood, its centre included, >= 1.
    """

    distance: float = 0.3
    min_samples: int = 2

    def __post_init__(self) -> None:
        if check_non_negative("distance", self.distance) == 0:
            raise ValueError(f"distance must be above 0, got {self.distance!r}")
        check_positive_int("min_samples", self.min_samples)

    def __call__(self, unit_vectors: NDArray[np.float64]) -> NDArray[np.int64]:
        """Labels (n,), -1 for noise."""
        from sklearn import cluster

        labels = cluster.DBSCAN(eps=self.distance, min_samples=self.min_samples).fit_predict(unit_vectors)
        return np.asarray(labels, dtype=np.int64)


def trainer(
    model: Any,
    reward_funcs: Any,
    args: MEDSConfig,
    train_dataset: Any,
    *,
    distance: float = 0.3,
    min_samples: int = 2,
    **kwargs: Any,
) -> MEDSTrainer:
    """`MEDSTrainer` with DBSCAN."""
    clustering = DBSCAN(distance, min_samples)
    memory = ErrorMemory(clustering, capacity=args.meds_capacity, half_life=args.meds_half_life)
    return MEDSTrainer(model, reward_funcs, args, train_dataset, memory=memory, **kwargs)
