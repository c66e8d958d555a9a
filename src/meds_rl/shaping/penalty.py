"""The penalty of the paper: the more often an error was seen, the more reward it costs."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.shaping.checks import check_non_negative


def penalty(cluster_sizes: ArrayLike, alpha: float = 0.1, beta: float = 0.2) -> NDArray[np.float64]:
    """Penalty of completions whose clusters have `cluster_sizes` members in memory.

    penalty = min(alpha * ln(|C| + 1), beta), the term taken from the reward of a wrong completion in
    r_s(x, y) = r(x, y) - min(alpha * ln(|C| + 1), beta) (arXiv 2604.11297, the shaped reward).

    Args:
        cluster_sizes: (B,) numbers >= 0, |C| before the batch: counts, or with a half-life sums of what each member
            counts. Any shape is allowed and kept.
        alpha: Strength, >= 0, in units of reward.
        beta: Cap, >= 0, in units of reward.

    Returns:
        (B,) float64 in [0, beta].

    Raises:
        TypeError: A size, alpha or beta is not a number.
        ValueError: A size is negative or not finite, or alpha or beta is negative or not finite.

    Example:
        >>> penalty([0, 1, 2, 6, 7]).round(4).tolist()
        [0.0, 0.0693, 0.1099, 0.1946, 0.2]
    """
    alpha = check_non_negative("alpha", alpha)
    beta = check_non_negative("beta", beta)
    sizes = np.asarray(cluster_sizes)
    if sizes.dtype.kind not in "iuf":
        raise TypeError(f"cluster_sizes must be numbers, got dtype {sizes.dtype}")
    if np.any(sizes < 0) or not np.isfinite(sizes).all():
        raise ValueError(f"cluster_sizes must be finite and 0 or more, got {sizes.min()}")
    return np.minimum(alpha * np.log1p(sizes.astype(np.float64)), beta)
