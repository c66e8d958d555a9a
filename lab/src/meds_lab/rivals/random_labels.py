"""Control: cluster labels drawn at random, with the sizes of HDBSCAN's clusters and noise, or of equal fingerprints.

So the vote does not depend on the errors. With ``meds_max_distance: 2`` every completion gets one of the labels.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from meds_lab.rivals.batch_memory import clustering_of
from meds_rl import ErrorMemory
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.memory import HDBSCANClustering, IncrementalClustering, Refit
from meds_rl.memory.clustering import incremental


@dataclass(frozen=True)
class RandomLabels(IncrementalClustering):
    """As many clusters of the same sizes as another clustering finds, with members drawn at random.

    The remembered points seed the draw, so it is the same in every process and thread and after a resume. Each visit
    draws again.

    Args:
        sizes_of: the clustering whose sizes (noise included) are kept.
    """

    sizes_of: IncrementalClustering = field(default_factory=HDBSCANClustering)

    def refit(self, points: NDArray[np.float64], tree: NDArray[np.int32], sources: NDArray[np.int64]) -> Refit:
        """See `IncrementalClustering.refit`."""
        labels, tree = self.sizes_of.refit(points, tree, sources)
        seed = int.from_bytes(sha256(np.ascontiguousarray(points).tobytes()).digest()[:8], "little")
        return Refit(np.random.default_rng(seed).permutation(labels), tree)


def trainer(
    model: Any,
    reward_funcs: Any,
    args: MEDSConfig,
    train_dataset: Any,
    *,
    clustering: Literal["hdbscan", "count"] = "hdbscan",
    **kwargs: Any,
) -> MEDSTrainer:
    """`MEDSTrainer` with random labels.

    Args:
        model, reward_funcs, args, train_dataset, kwargs: as in `MEDSTrainer`.
        clustering: whose sizes: "hdbscan" with the settings of ``args``, or "count", as `meds_lab.rivals.count`.
    """
    sizes_of = incremental(clustering_of(clustering, args))
    memory = ErrorMemory(RandomLabels(sizes_of), capacity=args.meds_capacity, half_life=args.meds_half_life)
    return MEDSTrainer(model, reward_funcs, args, train_dataset, memory=memory, **kwargs)
