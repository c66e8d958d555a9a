"""Negative-sample reinforcement, NSR (arXiv 2506.01347): A = -1 if wrong, 0 if right.

No baseline and no division by a deviation. All-wrong groups stay in the batch. Use it with ``method: dapo``.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.checks import check_bools, check_non_negative
from meds_rl.engines.trl import MEDSTrainer


def reinforcement_advantages(is_correct: ArrayLike, positive_weight: float = 0.0) -> NDArray[np.float64]:
    """-1 for wrong completions and lambda for right ones.

    lambda = 0 is NSR, 0.1 the paper's W-REINFORCE, 1 REINFORCE with rewards of 1 and -1.

    Args:
        is_correct: (B,) bool.
        positive_weight: lambda >= 0.

    Returns:
        (B,) float64.

    Example:
        >>> reinforcement_advantages([True, False], positive_weight=0.1).tolist()
        [0.1, -1.0]
    """
    weight = check_non_negative("positive_weight", positive_weight)
    correct = np.asarray(is_correct)
    return np.where(check_bools("is_correct", correct, correct.size), weight, -1.0)


def trainer(*args: Any, **kwargs: Any) -> MEDSTrainer:
    """`MEDSTrainer` with these advantages."""

    def advantage(_rewards: Any, _group_ids: Any, is_correct: NDArray[np.bool_]) -> NDArray[np.float64]:
        return reinforcement_advantages(is_correct)

    return MEDSTrainer(*args, advantage=advantage, **kwargs)
