"""The KL-regularised update: the distribution that trades expected value for distance from a reference."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_lab.theory.checks import check_numbers, check_probabilities, check_strength


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
