"""The KL-regularised update on a finite outcome space, and what every function here checks of its arguments."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

_ROUNDING = 1e-9
"""How far from 1 probabilities may sum: what a caller's own division may leave."""


def check_numbers(name: str, values: ArrayLike, n_outcomes: int | None = None) -> NDArray[np.float64]:
    """(N,) finite numbers, N >= 1, as float64."""
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "fiu":
        raise ValueError(f"{name} must be numbers of shape (N,), N >= 1, got shape {array.shape} of {array.dtype}")
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


def log_kl_update(reference: ArrayLike, values: ArrayLike, eta: float) -> NDArray[np.float64]:
    """log q_mu(y), where q_mu(y) is proportional to p_ref(y) exp(eta mu(y)).

    q_mu is the only maximiser of E_q[mu] - KL(q || p_ref) / eta (the setting of the paper's theorem, arXiv 2604.11297).
    The logarithm keeps what the probability cannot hold: outcomes rarer than 1e-308.

    Args:
        reference: (N,) p_ref, probabilities >= 0 that sum to 1. Where it is 0, q_mu is 0.
        values: (N,) mu, finite.
        eta: Inverse strength of the regularisation, >= 0. 0 gives p_ref, however large is allowed.

    Returns:
        (N,) float64, -inf where p_ref is 0, or where the logarithm itself is beyond float64.

    Raises:
        TypeError, ValueError: An argument has a wrong type, shape or value.

    Example:
        >>> log_kl_update([0.5, 0.5], [0.0, -1.0], eta=5000.0).tolist()
        [0.0, -5000.0]
    """
    probabilities = check_probabilities("reference", reference)
    mu = check_numbers("values", values, len(probabilities))
    eta = check_strength("eta", eta)
    support = probabilities > 0
    with np.errstate(divide="ignore", over="ignore"):
        logs: NDArray[np.float64] = np.log(probabilities)
        if eta > 0:  # 0 times an overflow would be NaN
            # Measured from the largest value that can happen, so that nothing overflows upwards.
            logs[support] += eta * (mu[support] - mu[support].max())
    return logs - log_sum_exp(logs)


def kl_update(reference: ArrayLike, values: ArrayLike, eta: float) -> NDArray[np.float64]:
    """q_mu(y), proportional to p_ref(y) exp(eta mu(y)): `log_kl_update` as probabilities (N,).

    Raises:
        TypeError, ValueError: An argument has a wrong type, shape or value.

    Example:
        exp(ln 3) = 3: the second of two equally likely outcomes becomes three times as likely as the first.

        >>> kl_update([0.5, 0.5, 0.0], [0.0, np.log(3), 100.0], eta=1.0).round(4).tolist()
        [0.25, 0.75, 0.0]
    """
    return np.exp(log_kl_update(reference, values, eta))


def log_sum_exp(logs: NDArray[np.float64]) -> float:
    """ln sum exp of (N,) logarithms, the largest of which is finite."""
    largest = logs.max()
    return float(largest + np.log(np.exp(logs - largest).sum()))
