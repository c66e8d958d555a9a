"""The penalty of the paper, its strength over the course of training, and the shaped reward."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.checks import LARGEST, check_non_negative, is_number, shown


def penalty(cluster_sizes: ArrayLike, alpha: float = 0.1, beta: float = 0.2) -> NDArray[np.float64]:
    """Penalty of completions whose clusters have `cluster_sizes` members in memory.

    The second term of the shaped reward r_s(x, y) = r(x, y) - min(alpha * ln(|C| + 1), beta) of a wrong completion
    (arXiv 2604.11297).

    Args:
        cluster_sizes: (B,) numbers >= 0, |C| before the batch: counts, or with a half-life sums of weights. Any shape
            is allowed and kept.
        alpha: Strength, >= 0, in units of reward.
        beta: Cap, >= 0, in units of reward.

    Returns:
        (B,) float64 in [0, beta].

    Raises:
        TypeError, ValueError: A size, alpha or beta is not a number, is negative or not finite.

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


def shaped_rewards(
    rewards: NDArray[np.float64], penalties: NDArray[np.float64], keeps_sign: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Shaped rewards (B,): r - penalty. Where `keeps_sign` (B,): r / (1 + penalty), or r (1 + penalty) for r <= 0.

    So a penalised right completion keeps the sign of its reward, and no reward rises.
    """
    scaled = np.where(rewards > 0, rewards / (1 + penalties), rewards * (1 + penalties))
    return np.where(keeps_sign, scaled, rewards - penalties)


def check_penalties(values: ArrayLike, n_rows: int) -> NDArray[np.float64]:
    """(B,) numbers from 0 to `LARGEST`, of a penalty function or a subclass."""
    penalties = np.asarray(values)
    if penalties.dtype.kind not in "bfiu":
        raise TypeError(f"penalty must return numbers, got dtype {penalties.dtype}")
    if penalties.shape != (n_rows,):
        raise ValueError(f"penalty must return ({n_rows},) penalties, got shape {penalties.shape}")
    if not np.isfinite(penalties).all() or (penalties < 0).any():
        raise ValueError(f"penalty must return finite numbers of 0 or more, got {penalties.min()}")
    if (penalties > LARGEST).any():
        raise ValueError(f"penalty must return numbers of at most {LARGEST:g}, got {penalties.max()}")
    return penalties.astype(np.float64)


# ---- The penalty's strength over the course of training: full, falling, 0.

Anneal: TypeAlias = Sequence[float]
"""Two fractions of training: where the strength begins to fall, and where it reaches 0."""


def check_anneal(name: str, value: Anneal | None) -> tuple[float, float] | None:
    """Two fractions of training, 0 <= from <= until <= 1; None for None and for from = 1, full strength throughout."""
    if value is None:
        return None
    numbers = tuple(value) if isinstance(value, Sequence) else ()
    if len(numbers) != 2 or not all(is_number(number) for number in numbers):
        raise ValueError(f"{name} must be None or two shares of training, such as [0.333, 0.666]; got {value!r}.")
    if not 0 <= numbers[0] <= numbers[1] <= 1:
        raise ValueError(f"{name} must be two shares of training in order, 0 <= from <= until <= 1; got {value!r}.")
    return None if numbers[0] == 1 else (float(numbers[0]), float(numbers[1]))


def check_progress(value: float | None, anneal: tuple[float, float] | None) -> float | None:
    """The fraction of training that is done, 0 to 1; None only if the penalty is not annealed."""
    if value is None and anneal is None:
        return None
    if value is None:
        raise ValueError(
            f"anneal={list(anneal or ())} lets alpha fall during training: shape needs progress, the share of training "
            "that is done, 0 to 1; got None"
        )
    if not is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"progress must be the share of training that is done, 0 to 1; got {shown(value)}")
    return float(value)


def strength(anneal: tuple[float, float] | None, progress: float | None) -> float:
    """Factor of the penalty: 1 up to `anneal`'s first fraction of training, 0 after its second, linear between.

    Example:
        >>> [strength((0.25, 0.75), done) for done in (0.0, 0.25, 0.5, 0.75, 1.0)]
        [1.0, 1.0, 0.5, 0.0, 0.0]
        >>> strength((1.0, 1.0), 1.0), strength(None, None)
        (1.0, 1.0)
    """
    if anneal is None or progress is None or progress <= anneal[0]:
        return 1.0
    return max(0.0, (anneal[1] - progress) / (anneal[1] - anneal[0])) if anneal[1] > anneal[0] else 0.0
