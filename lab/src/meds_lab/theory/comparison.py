"""The theorem in one object: the update with the penalty beside the update without it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_lab.theory.diversity import entropy_of_logs, horizon_of_logs, oppositely_ordered
from meds_lab.theory.update import check_numbers, check_probabilities, check_strength, log_kl_update, log_sum_exp


@dataclass(frozen=True, eq=False)
class Comparison:
    """q1 (mu = r) and q2 (mu = r - lambda c) on the same N outcomes.

    Attributes:
        plain: (N,) q1.
        penalised: (N,) q2.
        reward_plain, reward_penalised: E_q1[r] and E_q2[r].
        covariance_term: Cov_q1(r, w) / E_q1[w], w = exp(-eta lambda c), from q1 alone. Equals the change of reward.
        assumption_holds: whether larger c never goes with larger r on the support of p_ref. Then no reward is lost.
        entropy_plain, entropy_penalised: H(q1) and H(q2), nats.
        strength: eta lambda, by which costs act.
        order_horizon: up to which `strength` the costlier outcome of each pair stays the more probable one, and the
            entropy cannot fall (`meds_lab.theory.order_horizon`).
    """

    plain: NDArray[np.float64]
    penalised: NDArray[np.float64]
    reward_plain: float
    reward_penalised: float
    covariance_term: float
    assumption_holds: bool
    entropy_plain: float
    entropy_penalised: float
    strength: float
    order_horizon: float

    @property
    def reward_change(self) -> float:
        """E_q2[r] - E_q1[r]."""
        return self.reward_penalised - self.reward_plain

    @property
    def entropy_change(self) -> float:
        """H(q2) - H(q1), nats."""
        return self.entropy_penalised - self.entropy_plain

    @property
    def order_kept(self) -> bool:
        """Whether c and q2 are ordered alike: sufficient for an entropy that does not fall, not necessary."""
        return self.strength == 0 or self.strength <= self.order_horizon

    def explain(self) -> str:
        """What changes, and which of it the theorem promises."""
        reward = (
            "no larger cost goes with a larger reward, so it cannot fall"
            if self.assumption_holds
            else "some larger cost goes with a larger reward, so it may fall"
        )
        diversity = (
            "the costlier outcomes stay the more probable ones, so it cannot fall"
            if self.order_kept
            else "some costlier outcome is or becomes the less probable one, so it may fall"
        )
        return (
            f"Expected reward {self.reward_plain:.4f} -> {self.reward_penalised:.4f}: {reward}.\n"
            f"Entropy {self.entropy_plain:.4f} -> {self.entropy_penalised:.4f} nats: {diversity}.\n"
            f"The costlier stay the more probable up to eta lambda = {self.order_horizon:.4g}; it is {self.strength:g}."
        )


def compare(
    reference: ArrayLike, rewards: ArrayLike, costs: ArrayLike, *, eta: float = 1.0, lam: float = 1.0
) -> Comparison:
    """The KL-regularised update with and without the penalty (the paper's theorem, arXiv 2604.11297).

    q1 is proportional to p_ref exp(eta r), q2 to p_ref exp(eta (r - lambda c)) = p_ref exp(eta r) w. MEDS's penalty
    min(alpha ln(|C| + 1), beta) is lambda c: give it as `costs` and leave `lam` at 1.

    Args:
        reference: (N,) p_ref, probabilities that sum to 1.
        rewards: (N,) r, finite.
        costs: (N,) c, finite.
        eta: Inverse strength of the regularisation, >= 0: 1 over the KL coefficient.
        lam: lambda >= 0, the weight of the cost in units of reward.

    Raises:
        TypeError, ValueError: An argument has a wrong type, shape or value, or lambda c overflows.

    Example:
        One right outcome and three errors, the commonest remembered most often.

        >>> result = compare([0.1, 0.5, 0.25, 0.15], [1, 0, 0, 0], [0, 0.2, 0.11, 0.07])
        >>> print(result.explain())
        Expected reward 0.2320 -> 0.2601: no larger cost goes with a larger reward, so it cannot fall.
        Entropy 1.2951 -> 1.3167 nats: some costlier outcome is or becomes the less probable one, so it may fall.
        The costlier stay the more probable up to eta lambda = -8.493; it is 1.
    """
    p = check_probabilities("reference", reference)
    r, c = check_numbers("rewards", rewards, len(p)), check_numbers("costs", costs, len(p))
    eta, lam = check_strength("eta", eta), check_strength("lam", lam)
    strength = check_strength("eta * lam", eta * lam)
    with np.errstate(over="ignore"):
        penalised_values = check_numbers("rewards - lam * costs", r - lam * c)
    log_q1, log_q2 = log_kl_update(p, r, eta), log_kl_update(p, penalised_values, eta)
    plain, penalised = np.exp(log_q1), np.exp(log_q2)
    possible = p > 0
    reachable = np.isfinite(log_q1)
    return Comparison(
        plain=plain,
        penalised=penalised,
        reward_plain=float(plain @ r),
        reward_penalised=float(penalised @ r),
        covariance_term=_covariance_term(log_q1, r, c, strength),
        assumption_holds=oppositely_ordered(r[possible], c[possible]),
        entropy_plain=entropy_of_logs(log_q1),
        entropy_penalised=entropy_of_logs(log_q2),
        strength=strength,
        order_horizon=horizon_of_logs(log_q1[reachable], c[reachable]),
    )


def _covariance_term(
    log_q1: NDArray[np.float64], r: NDArray[np.float64], c: NDArray[np.float64], strength: float
) -> float:
    """Cov_q1(r, w) / E_q1[w] = sum q1 (w / E_q1[w] - 1) (r - E_q1[r]), in logarithms: w alone may underflow."""
    q1 = np.exp(log_q1)
    with np.errstate(over="ignore"):
        log_w = -strength * (c - c[np.isfinite(log_q1)].min()) if strength > 0 else np.zeros_like(c)
        log_qw = log_q1 + np.where(np.isfinite(log_q1), log_w, 0.0)
    reweighted = np.exp(log_qw - log_sum_exp(log_qw))
    return float(((reweighted - q1) * (r - q1 @ r)).sum())
