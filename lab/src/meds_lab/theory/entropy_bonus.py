"""The penalty as an entropy bonus over errors: expected gradients on one group without a right answer.

The policy is a softmax over K errors with probabilities p. G completions are drawn; each gets the advantage A = (mean
penalty of the group) - (its own). The policy gradient of logit k is g_k = 1/G sum_i A_i (1{y_i = k} - p_k). Penalties
and gradients are in units of alpha. The gradient of the entropy is dH/dtheta_k = -p_k (ln p_k + H).

    python -m meds_lab.theory.entropy_bonus    # the numbers of lab/evidence/theorem.md, seconds
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

from meds_lab.rivals.batch_memory import BatchMemory
from meds_lab.theory.diversity import entropy
from meds_lab.theory.update import check_numbers, check_probabilities
from meds_rl import ErrorMemory, RewardShaper
from meds_rl.fingerprint.text import answer_vectors
from meds_rl.memory import equal_vectors
from meds_rl.shaping import group_advantages


def entropy_gradient(p: ArrayLike) -> NDArray[np.float64]:
    """dH/dtheta (K,) of the entropy of a softmax, p above 0.

    Example:
        H = .75 ln(4/3) + .25 ln 4 = .562; -.75 (ln .75 + .562) = -.206.

        >>> entropy_gradient([0.75, 0.25]).round(3).tolist()
        [-0.206, 0.206]
    """
    q = check_probabilities("p", p)
    return np.asarray(-q * (np.log(q) + entropy(q)))


def expected_gradient(p: ArrayLike, penalties: ArrayLike, group_size: int) -> NDArray[np.float64]:
    """E[g] (K,) if mode k always costs penalties[k]: -(1 - 1/G) p_k (pen_k - sum_j p_j pen_j).

    Penalties may be means of random ones that do not depend on the group, such as a memory's.

    Args:
        p: (K,) probabilities.
        penalties: (K,).
        group_size: G >= 1.

    Example:
        With penalties ln p it is (1 - 1/G) times the gradient of the entropy.

        >>> expected_gradient([0.75, 0.25], np.log([0.75, 0.25]), 8) / entropy_gradient([0.75, 0.25])
        array([0.875, 0.875])
    """
    q = check_probabilities("p", p)
    costs = check_numbers("penalties", penalties, len(q))
    return np.asarray(-(1 - 1 / group_size) * q * (costs - q @ costs))


def expected_log_count(p: ArrayLike, num_remembered: int) -> NDArray[np.float64]:
    """E[ln(C_k + 1)] (K,), C_k binomial (N, p_k): the memory's penalty after N errors of a fixed policy.

    Example:
        >>> expected_log_count([0.5, 0.5], 1)  # 0 or ln 2
        array([0.34657359, 0.34657359])
    """
    sizes = np.arange(num_remembered + 1)
    return np.asarray(_binomial(num_remembered, check_probabilities("p", p)) @ np.log(sizes + 1))


def expected_batch_gradient(p: ArrayLike, group_size: int) -> NDArray[np.float64]:
    """E[g] (K,), exact, if mode k costs ln n_k, with n_k the number of its completions in the group.

    E[g_k] = -1/G (E[n_k ln n_k] - 1/G sum_j E[n_k n_j ln n_j]), and given n_j, n_k is binomial
    (G - n_j, p_k / (1 - p_j)).

    Example:
        G = 2: equal completions cost ln 2 each, different ones 0. Either way both cost the same: no gradient.

        >>> expected_batch_gradient([0.75, 0.25], 2).tolist()
        [0.0, 0.0]
    """
    q = check_probabilities("p", p)
    sizes = np.arange(group_size + 1)
    logs = sizes * np.log(np.maximum(sizes, 1))
    chances = _binomial(group_size, q)
    own, squared, others = (chances @ values for values in (logs, sizes * logs, (group_size - sizes) * logs))
    share = others / np.maximum(1 - q, 1e-300)
    products = squared + q * (share.sum() - share)  # sum over j of E[n_k n_j ln n_j]
    gradient = -(own - products / group_size) / group_size
    return np.where(np.abs(gradient) < 1e-15, 0.0, gradient)


def _binomial(n: int, p: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(k of n), (K, n + 1)."""
    return np.asarray(binom.pmf(np.arange(n + 1), n, p[:, None]))


def sampled_gradients(
    p: ArrayLike, counts: ArrayLike, group_size: int, num_groups: int, *, batch_only: bool = False, seed: int = 0
) -> NDArray[np.float64]:
    """g (num_groups, K) by the library: names as fingerprints, `RewardShaper`, and the group's advantages.

    Args:
        p: (K,) probabilities.
        counts: (K,) remembered errors of each mode; not used with `batch_only`.
        group_size, num_groups: G, and how many groups are drawn.
        batch_only: count within the group, by `BatchMemory`.
        seed: of the draws.
    """
    q = check_probabilities("p", p)
    names = answer_vectors([f"mode {mode}" for mode in range(len(q))])
    modes = np.random.default_rng(seed).choice(len(q), size=(num_groups, group_size), p=q)
    groups = np.repeat(np.arange(num_groups), group_size).tolist()
    memory = BatchMemory(equal_vectors) if batch_only else ErrorMemory(equal_vectors)
    memory.remember("x", np.repeat(names, np.asarray(counts), axis=0))
    shaper = RewardShaper(alpha=1.0, beta=1e9, all_wrong="center", max_distance=0, memory=memory)
    shaped = shaper.shape(
        np.zeros(modes.size),
        prompt_ids=groups if batch_only else ["x"] * modes.size,
        group_ids=groups,
        features=names[modes.ravel()],
        is_correct=np.zeros(modes.size, dtype=np.bool_),
    )
    advantages = group_advantages(
        shaped.rewards, group_size=group_size, normalize_by_std=shaped.normalize_by_std
    ).reshape(modes.shape)
    drawn = modes[:, :, None] == np.arange(len(q))
    return np.asarray((advantages[:, :, None] * (drawn - q)).mean(axis=1))


# ---- The numbers of the page.

ERRORS = np.array([0.84, 0.08, 0.04, 0.02, 0.01, 0.007, 0.003])
GROUP_SIZE = 8


def felt_contrast(gradient: ArrayLike, p: ArrayLike, group_size: int) -> NDArray[np.float64]:
    """(K,) the fixed penalties that would give this gradient, relative to that of the last mode.

    Example:
        >>> felt_contrast(expected_gradient([0.75, 0.25], [2.0, 0.5], 8), [0.75, 0.25], 8).round(9).tolist()
        [1.5, 0.0]
    """
    costs = -np.asarray(gradient) / (np.asarray(p) * (1 - 1 / group_size))
    return np.asarray(costs - costs[-1])


def main() -> None:
    p, size = ERRORS, GROUP_SIZE
    print("Effective penalty of each mode minus that of the rarest one, in units of alpha\n")
    print("| | " + " | ".join(f"p {one:g}" for one in p) + " |\n|---" + "|---" * len(p) + "|")
    rows = {"alpha times the entropy (ln p)": entropy_gradient(p) * (1 - 1 / size)}
    for remembered in (8, 80, 152, 4000):
        rows[f"memory of {remembered} errors"] = expected_gradient(p, expected_log_count(p, remembered), size)
    capped = np.minimum(expected_log_count(p, 152), 2.0)
    rows["memory of 152, beta = 2 alpha as published"] = expected_gradient(p, capped, size)
    rows["batch counts"] = expected_batch_gradient(p, size)
    for name, gradient in rows.items():
        print(f"| {name} | " + " | ".join(f"{one:.2f}" for one in felt_contrast(gradient, p, size)) + " |")

    print("\nBy RewardShaper, 5,000 groups: mean gradient minus the exact one, largest |z| over modes")
    counts = np.random.default_rng(1).multinomial(4000, p)
    for batch_only, exact in ((False, expected_gradient(p, np.log1p(counts), size)), (True, rows["batch counts"])):
        drawn = sampled_gradients(p, counts, size, 5_000, batch_only=batch_only)
        z = (drawn.mean(axis=0) - exact) / (drawn.std(axis=0) / len(drawn) ** 0.5)
        print(f"{'batch counts' if batch_only else 'memory'}: {np.abs(z).max():.1f}")

    contrast, lone = np.log(0.84 / 0.04), (size - 1) / size
    print(
        f"\n7 of 8: ln 7 = {np.log(7):.2f}; .84 against .04: {contrast:.2f}, {contrast / np.log(7):.2f} times as much"
    )
    print(f"groups of 8 equal errors: {0.84**8:.0%} at .84, {0.95**8:.0%} at .95")
    print(f"new beside seven habitual errors: {0.1 * contrast * lone:+.2f}; a lone right answer: {lone:+.2f}, or")
    print(f"{lone * (1 + 0.1 * np.log(68)):+.2f} where the habit, 67 times remembered, costs .1 ln 68")


if __name__ == "__main__":
    main()
