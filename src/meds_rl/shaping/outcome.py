"""Other penalties than the paper's: what outcome-based exploration does with counts (arXiv 2509.06941).

There a count is a bonus; here it is a penalty, the bonus less its largest value. Where all completions of a group are
scored (`target="both"`) that is the same: what all have alike leaves the group's advantages.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.checks import check_non_negative


def inverse_sqrt_penalty(
    cluster_sizes: ArrayLike, alpha: float = 0.1, beta: float = 0.2
) -> NDArray[np.float64]:
    """min(alpha (1 - min(1, 1 / sqrt(N))), beta): historical exploration's bonus, less alpha.

    Args:
        cluster_sizes: (B,) N >= 0, how often it was seen before this batch.
        alpha: Strength, >= 0, in units of reward: what was seen for ever costs alpha.
        beta: Cap, >= 0.

    Returns:
        (B,) float64 in [0, min(alpha, beta)].

    Raises:
        TypeError, ValueError: alpha or beta is not a finite number >= 0.

    Example:
        >>> inverse_sqrt_penalty([0, 1, 4, 100]).round(4).tolist()
        [0.0, 0.0, 0.05, 0.09]
    """
    alpha, beta = check_non_negative("alpha", alpha), check_non_negative("beta", beta)
    seen = np.maximum(np.asarray(cluster_sizes, dtype=np.float64), 1.0)
    return np.minimum(alpha * (1.0 - 1.0 / np.sqrt(seen)), beta)


def share_penalty(
    cluster_sizes: ArrayLike, group_sizes: ArrayLike, alpha: float = 0.1, beta: float = 0.2
) -> NDArray[np.float64]:
    """min(alpha N / G, beta): batch exploration's repetition within the group.

    Args:
        cluster_sizes: (B,) N >= 0; with `scope="batch"` the group's other completions of this kind.
        group_sizes: (B,) G >= 1, completions of the group.
        alpha: Strength, >= 0, in units of reward.
        beta: Cap, >= 0.

    Returns:
        (B,) float64 in [0, beta].

    Raises:
        TypeError, ValueError: alpha or beta is not a finite number >= 0.

    Example:
        >>> share_penalty([0, 1, 3], [8, 8, 4], beta=1.0).round(4).tolist()
        [0.0, 0.0125, 0.075]
    """
    alpha, beta = check_non_negative("alpha", alpha), check_non_negative("beta", beta)
    sizes, groups = np.asarray(cluster_sizes, dtype=np.float64), np.asarray(group_sizes, dtype=np.float64)
    return np.minimum(alpha * sizes / groups, beta)
