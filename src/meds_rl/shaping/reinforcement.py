"""Negative-sample reinforcement (NSR, W-REINFORCE: arXiv 2506.01347): what is wrong is unlearned."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.checks import check_bools, check_non_negative


def reinforcement_advantages(is_correct: ArrayLike, positive_weight: float = 0.0) -> NDArray[np.float64]:
    """Advantages -1 of wrong completions and lambda of right ones: no baseline and no division by a deviation.

    lambda = 0 is NSR, 0.1 the paper's W-REINFORCE, 1 REINFORCE with rewards of 1 and -1.

    Args:
        is_correct: (B,) bool.
        positive_weight: lambda >= 0.

    Returns:
        (B,) float64.

    Raises:
        TypeError, ValueError: an argument has a wrong type, shape or value.

    Example:
        >>> reinforcement_advantages([True, False], positive_weight=0.1).tolist()
        [0.1, -1.0]
    """
    weight = check_non_negative("positive_weight", positive_weight)
    correct = np.asarray(is_correct)
    return np.where(check_bools("is_correct", correct, correct.size), weight, -1.0)
