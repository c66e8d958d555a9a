"""k-means in place of HDBSCAN: k-means++, one start, a fixed seed, no noise."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meds_rl import ErrorMemory
from meds_rl.checks import check_positive_int
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer


@dataclass(frozen=True)
class KMeans:
    """As many clusters as there are different vectors, if those are fewer than `num_clusters` (k >= 1)."""

    num_clusters: int = 8

    def __post_init__(self) -> None:
        check_positive_int("num_clusters", self.num_clusters)

    def __call__(self, unit_vectors: NDArray[np.float64]) -> NDArray[np.int64]:
        """Labels (n,)."""
        from sklearn import cluster
        from threadpoolctl import threadpool_limits

        k = min(self.num_clusters, len(np.unique(unit_vectors, axis=0)))
        # With several threads the order of sums, and with it a close decision, would be random.
        with threadpool_limits(limits=1):
            labels = cluster.KMeans(k, n_init=1, random_state=0).fit_predict(unit_vectors)
        return np.asarray(labels, dtype=np.int64)


def trainer(
    model: Any,
    reward_funcs: Any,
    args: MEDSConfig,
    train_dataset: Any,
    *,
    num_clusters: int = 8,
    **kwargs: Any,
) -> MEDSTrainer:
    """`MEDSTrainer` with k-means."""
    memory = ErrorMemory(KMeans(num_clusters), capacity=args.meds_capacity, half_life=args.meds_half_life)
    return MEDSTrainer(model, reward_funcs, args, train_dataset, memory=memory, **kwargs)
