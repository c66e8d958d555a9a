"""Checks of what callers hand in."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

_ROUNDING = 1e-9
"""How far from 1 probabilities may sum: what a caller's own division may leave."""


def check_numbers(name: str, values: ArrayLike, n_outcomes: int | None = None) -> NDArray[np.float64]:
    """(N,) finite numbers, N >= 1, as float64."""
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "fiu":
        raise ValueError(
            f"{name} must be numbers of shape (N,), N >= 1, got shape {array.shape} of {array.dtype}"
        )
    if n_outcomes is not None and len(array) != n_outcomes:
        raise ValueError(f"{name} must have one value for each of {n_outcomes} outcomes, got {len(array)}")
    numbers = array.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} must be finite, got {numbers[~np.isfinite(numbers)][0]}")
    return numbers


def check_probabilities(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """(N,) numbers >= 0 that sum to 1 but for rounding; divided by their sum."""
    numbers = check_numbers(name, values)
    if (numbers < 0).any() or abs(numbers.sum() - 1) > _ROUNDING:
        raise ValueError(
            f"{name} must be 0 or more and sum to 1, got a least of {numbers.min()} and a sum of {numbers.sum()}"
        )
    probabilities: NDArray[np.float64] = numbers / numbers.sum()
    return probabilities


def check_strength(name: str, value: float) -> float:
    """A finite number >= 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} must be finite and 0 or more, got {value!r}")
    return float(value)
