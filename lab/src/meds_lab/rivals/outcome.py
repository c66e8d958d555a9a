"""Outcome-based exploration, historical (arXiv 2509.06941): a bonus for answers that were rarely given.

r + c min(1, N(x, a)^(-1/2)), N how often the answer a was given to the prompt x before this batch. As a penalty it is
the bonus less c, c = ``meds_alpha``, capped at ``meds_beta``: c (1 - min(1, N^(-1/2))). The two differ by one number in
each group, which its mean removes. Use it with ``fingerprint: answer_string``, ``meds_max_distance: 0``,
``meds_target: both`` and ``meds_all_wrong: center``.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl import ErrorMemory
from meds_rl.checks import check_non_negative
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.memory import equal_vectors


def inverse_sqrt_penalty(cluster_sizes: ArrayLike, alpha: float = 0.1, beta: float = 0.2) -> NDArray[np.float64]:
    """min(alpha (1 - min(1, 1 / sqrt(N))), beta).

    Args:
        cluster_sizes: (B,) N >= 0.
        alpha: c >= 0, the penalty of what was given infinitely often.
        beta: cap, >= 0.

    Returns:
        (B,) in [0, min(alpha, beta)].

    Example:
        >>> inverse_sqrt_penalty([0, 1, 4, 100]).round(4).tolist()
        [0.0, 0.0, 0.05, 0.09]
    """
    alpha, beta = check_non_negative("alpha", alpha), check_non_negative("beta", beta)
    seen = np.maximum(np.asarray(cluster_sizes, dtype=np.float64), 1.0)
    return np.minimum(alpha * (1.0 - 1.0 / np.sqrt(seen)), beta)


def trainer(model: Any, reward_funcs: Any, args: MEDSConfig, train_dataset: Any, **kwargs: Any) -> MEDSTrainer:
    """`MEDSTrainer` with this penalty on exact counts."""

    def penalty(cluster_sizes: ArrayLike, _group_sizes: ArrayLike) -> NDArray[np.float64]:
        return inverse_sqrt_penalty(cluster_sizes, args.meds_alpha, args.meds_beta or 0.0)

    memory = ErrorMemory(equal_vectors, capacity=args.meds_capacity, half_life=args.meds_half_life)
    return MEDSTrainer(model, reward_funcs, args, train_dataset, memory=memory, penalty=penalty, **kwargs)
