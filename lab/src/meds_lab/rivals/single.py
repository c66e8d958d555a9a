"""The paper's ablation "single cluster": all remembered errors of a prompt are one cluster."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meds_rl import ErrorMemory
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer


def one_cluster(unit_vectors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Labels (n,), all 0.

    >>> one_cluster(np.eye(3)).tolist()
    [0, 0, 0]
    """
    return np.zeros(len(unit_vectors), dtype=np.int64)


def trainer(model: Any, reward_funcs: Any, args: MEDSConfig, train_dataset: Any, **kwargs: Any) -> MEDSTrainer:
    """`MEDSTrainer` with a memory of one cluster a prompt."""
    memory = ErrorMemory(one_cluster, capacity=args.meds_capacity, half_life=args.meds_half_life)
    return MEDSTrainer(model, reward_funcs, args, train_dataset, memory=memory, **kwargs)
