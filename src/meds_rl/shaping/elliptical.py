"""Representation-based exploration (rep_exp, arXiv 2510.11686): a bonus for states unlike the group's."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.checks import check_non_negative, check_positive_int


def elliptical_bonus(features: ArrayLike, ridge: float = 0.01) -> NDArray[np.float64]:
    """Leverage of each completion within its group: b_i = h_i^T (ridge I + sum_j h_j h_j^T)^-1 h_i, h centred.

    Args:
        features: (G, k) finite features of one group's completions.
        ridge: above 0; the released recipe's is 0.01.

    Returns:
        (G,) float64 in [0, 1): near 0 for what many are alike to, near 1 for what points where no other does.

    Raises:
        ValueError: `features` is not (G, k) or `ridge` is 0.
        TypeError, ValueError: `ridge` is no finite number >= 0.

    Example:
        Two alike and one on the other side: the mean is 0, h = -1, -1, 2, and 1 + 1 + 4 + .01 = 6.01.

        >>> elliptical_bonus([[0.0], [0.0], [3.0]]).round(4).tolist()
        [0.1664, 0.1664, 0.6656]
    """
    if check_non_negative("ridge", ridge) == 0:
        raise ValueError(f"ridge must be above 0, got {ridge!r}")
    states = np.asarray(features, dtype=np.float64)
    if states.ndim != 2:
        raise ValueError(f"features must have shape (G, k), got {states.shape}")
    centred = states - states.mean(axis=0) if len(states) else states
    covariance = ridge * np.eye(states.shape[1]) + centred.T @ centred
    bonus: NDArray[np.float64] = np.einsum("gk,kg->g", centred, np.linalg.solve(covariance, centred.T))
    return bonus


def sparse_projection(num_features: int, dim: int, seed: int) -> NDArray[np.float64]:
    """A sparse random projection (d, k) that keeps distances in the mean (Li, Hastie and Church 2006).

    Entries are +-sqrt(1 / (p k)) with probability p / 2 each and 0 else, p = 1 / sqrt(d).

    Args:
        num_features: d.
        dim: k.
        seed: fixes it.

    Raises:
        TypeError, ValueError: d or k is not a whole number of at least 1.
    """
    d, k = check_positive_int("num_features", num_features), check_positive_int("dim", dim)
    density = 1.0 / np.sqrt(d)
    drawn = np.random.default_rng(seed).random((d, k))
    signs = (drawn < density / 2).astype(np.float64) - (drawn >= 1 - density / 2)
    projection: NDArray[np.float64] = signs / np.sqrt(density * k)
    return projection
