"""Outcome-based exploration, batch (arXiv 2509.06941): a penalty for answers that repeat within the group.

r - c (others of the group with this answer) / G, c = ``meds_alpha``, capped at ``meds_beta``. No memory across batches.
Use it with ``fingerprint: answer_string``, ``meds_target: both`` and ``meds_all_wrong: center``.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_lab.rivals.batch_memory import BatchMemory, BatchTrainer
from meds_rl.checks import check_non_negative
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.memory import equal_vectors


def share_penalty(
    cluster_sizes: ArrayLike, group_sizes: ArrayLike, alpha: float = 0.1, beta: float = 0.2
) -> NDArray[np.float64]:
    """min(alpha N / G, beta).

    Args:
        cluster_sizes: (B,) N >= 0, the group's other completions with this answer.
        group_sizes: (B,) G >= 1, completions of the group.
        alpha: c >= 0.
        beta: cap, >= 0.

    Returns:
        (B,) in [0, beta].

    Example:
        >>> share_penalty([0, 1, 3], [8, 8, 4], beta=1.0).round(4).tolist()
        [0.0, 0.0125, 0.075]
    """
    alpha, beta = check_non_negative("alpha", alpha), check_non_negative("beta", beta)
    sizes, groups = np.asarray(cluster_sizes, dtype=np.float64), np.asarray(group_sizes, dtype=np.float64)
    return np.minimum(alpha * sizes / groups, beta)


def trainer(model: Any, reward_funcs: Any, args: MEDSConfig, train_dataset: Any, **kwargs: Any) -> MEDSTrainer:
    """`MEDSTrainer` with this penalty on counts within the batch."""

    def penalty(cluster_sizes: ArrayLike, group_sizes: ArrayLike) -> NDArray[np.float64]:
        return share_penalty(cluster_sizes, group_sizes, args.meds_alpha, args.meds_beta or 0.0)

    memory = BatchMemory(equal_vectors)
    return BatchTrainer(model, reward_funcs, args, train_dataset, memory=memory, penalty=penalty, **kwargs)
