"""From shaped rewards to advantages: GRPO's normalisation by the group, others by name, and the entropy advantage.

A named advantage is a function (rewards, group_ids, is_correct) -> (B,). It gets the rewards r_s after shaping. In a
group without a right answer it is r_s - mean: 0 for equal rewards, as in its paper, and with penalties what
all_wrong="center" gives. So rivals can be compared with and without a memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import comb
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.checks import (
    PromptId,
    check_bools,
    check_non_negative,
    check_positive_int,
    check_prompt_ids,
    check_rewards,
)

if TYPE_CHECKING:
    import torch

AdvantageFunction = Callable[[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]], ArrayLike]
"""(rewards (B,) after shaping, group_ids (B,), is_correct (B,)) -> advantages (B,)."""


def group_advantages(
    rewards: ArrayLike,
    *,
    group_size: int | None = None,
    prompt_ids: Iterable[PromptId] | None = None,
    normalize_by_std: ArrayLike = True,
    eps: float = 1e-4,
) -> NDArray[np.float64]:
    """Advantages (B,) over the group: (r - mean) / (std + eps), as TRL computes them.

    std is the sample standard deviation (divisor G - 1), 0 for a group of one. Where `normalize_by_std` is False the
    advantage is r - mean: `ShapedBatch.normalize_by_std` says so for all-wrong groups under all_wrong="center".

    Args:
        rewards: (B,) finite rewards.
        group_size: G, if the rows of a group follow each other; B is a multiple of it. Either this or `prompt_ids`.
        prompt_ids: (B,) prompts; rows with the same id are a group, in any order.
        normalize_by_std: One bool, or (B,) bool.
        eps: Added to the deviation, >= 0. Units of reward.

    Raises:
        TypeError, ValueError: An argument has a wrong type, shape or value.

    Example:
        Seven wrong answers at -0.2 and one at 0: the one gets what a lone right answer would get.

        >>> group_advantages([0.0] + [-0.2] * 7, group_size=8).round(2).tolist()[:2]
        [2.47, -0.35]
        >>> group_advantages([1.0] + [0.0] * 7, group_size=8).round(2).tolist()[:2]
        [2.47, -0.35]
        >>> group_advantages([0.0] + [-0.2] * 7, group_size=8, normalize_by_std=False).round(3).tolist()[:2]
        [0.175, -0.025]
    """
    values = check_rewards(rewards)
    n_rows = len(values)
    eps = check_non_negative("eps", eps)
    group = _group_numbers(n_rows, group_size, prompt_ids)
    if isinstance(normalize_by_std, (bool, np.bool_)):
        normalize_by_std = np.full(n_rows, normalize_by_std)
    divide = check_bools("normalize_by_std", normalize_by_std, n_rows)

    counts = np.bincount(group)
    # Subtract the group's lowest reward first: equal rewards then give 0 exactly, not the rounding of their mean.
    lowest = np.full(len(counts), np.inf)
    np.minimum.at(lowest, group, values)
    above = values - lowest[group]
    centred = above - (np.bincount(group, above) / counts)[group]
    variance = np.bincount(group, centred**2) / np.maximum(counts - 1, 1)
    scale = np.where(divide, np.sqrt(variance)[group] + eps, 1.0)
    scale[scale == 0] = 1.0  # eps is 0 and the rewards are equal
    return np.asarray(centred / scale)


def _group_numbers(n_rows: int, group_size: int | None, prompt_ids: Iterable[PromptId] | None) -> NDArray[np.intp]:
    """(B,) which group each row is in: 0, 1, 2, ..."""
    if (group_size is None) == (prompt_ids is None):
        raise TypeError("give either group_size or prompt_ids")
    if prompt_ids is not None:
        numbers: dict[PromptId, int] = {}
        ids = check_prompt_ids(prompt_ids, n_rows)
        return np.array([numbers.setdefault(prompt_id, len(numbers)) for prompt_id in ids], dtype=np.intp)
    size = check_positive_int("group_size", group_size or 0)
    if n_rows % size:
        raise ValueError(f"{n_rows} rewards do not divide into groups of group_size {size}")
    return np.arange(n_rows, dtype=np.intp) // size


# ---- By name. All sum to 0 over a group.


def undivided_advantages(rewards: ArrayLike, group_ids: ArrayLike, _is_correct: ArrayLike) -> NDArray[np.float64]:
    """Advantages (B,) that are not divided: r_s - mean.

    Source: "Understanding R1-Zero-Like Training" (arXiv 2503.20783), without its change of the loss.
    Range: for rewards of 0 and 1, between -1 and 1.

    Args:
        rewards: (B,) finite rewards, after shaping.
        group_ids: (B,) whole numbers; rows with the same one are a group, in any order.
        is_correct: (B,) bool; the others use it.

    Example:
        >>> undivided_advantages([1, 0, 0, 0], [0] * 4, [True, False, False, False]).tolist()
        [0.75, -0.25, -0.25, -0.25]
    """
    return group_advantages(rewards, prompt_ids=np.asarray(group_ids).tolist(), normalize_by_std=False)


def maxrl_advantages(rewards: ArrayLike, group_ids: ArrayLike, is_correct: ArrayLike) -> NDArray[np.float64]:
    """MaxRL's advantages (B,): (r_s - mean) / p, where p is the group's share of right answers.

    Source: "Maximum Likelihood Reinforcement Learning" (arXiv 2602.02710). p is the mean of its rewards, 0 and 1. The
    mean of shaped rewards may be 0 or below, so it is not used; penalties are divided by p like everything else.
    Range: for rewards of 0 and 1, 1 / p - 1 (at most G - 1) for a right answer and -1 for a wrong one. A group without
    a right answer is not divided.

    Args: as in :func:`undivided_advantages`.

    Example:
        >>> maxrl_advantages([1, 0, 0, 0], [0] * 4, [True, False, False, False]).tolist()
        [3.0, -1.0, -1.0, -1.0]
    """
    centred = undivided_advantages(rewards, group_ids, is_correct)
    shares = _shares_right(group_ids, is_correct)
    return np.asarray(centred / np.where(shares > 0, shares, 1.0))


def pass_at_k_advantages(
    rewards: ArrayLike, group_ids: ArrayLike, is_correct: ArrayLike, k: int = 4
) -> NDArray[np.float64]:
    """Advantages (B,) of pass@k: the mean of what a completion's subsets of k get, each 1 if one of its k is right.

    Of n completions of a group w are wrong. A subset is all wrong with f = C(w, k) / C(n, k), so s = sqrt(f (1 - f)) is
    the deviation of its reward. A right answer gets f / s, a wrong one (f - C(w - 1, k - 1) / C(n - 1, k - 1)) / s, and
    all get 0 where s is 0. The formula has no rewards. So that penalties still tell errors apart, a wrong answer also
    gets r_s less the mean r_s of the group's wrong ones, and a right answer less that of the right ones.

    Source: "Pass@k Training" (arXiv 2508.10751), its closed form. verl's grpo_passk is another one (arXiv 2503.19595).
    Range: for rewards of 0 and 1, 0 to sqrt(n / k - 1) for a right answer, 0 or below for a wrong one; 0 for all if
    w < k. With k = 1 it is (r - mean) / std, with the divisor n in std.

    Args: as in :func:`undivided_advantages`.
        k: at least 1. A group of fewer than k counts with its size.

    Example:
        f = C(3, 2) / C(4, 2) = 1/2 = s; a wrong one gets (1/2 - C(2, 1) / C(3, 1)) / s = -1/3.

        >>> pass_at_k_advantages([1, 0, 0, 0], [0] * 4, [True, False, False, False], k=2).round(3).tolist()
        [1.0, -0.333, -0.333, -0.333]
    """
    k = check_positive_int("k", k)
    values = check_rewards(rewards)
    groups, counts = _groups(group_ids, len(values))
    right = check_bools("is_correct", is_correct, len(values))
    numbers_right = np.bincount(groups, right, len(counts)).astype(int)
    by_group = [_pass_at_k(n, n - c, min(k, n)) for n, c in zip(counts.tolist(), numbers_right.tolist(), strict=True)]
    closed = np.array(by_group, dtype=np.float64).reshape(-1, 2)[groups, right.astype(int)]
    return np.asarray(closed + undivided_advantages(values, 2 * groups + right, right))


def _pass_at_k(n: int, n_wrong: int, k: int) -> tuple[float, float]:
    """The closed form of a wrong and of a right answer, of n completions."""
    fails = comb(n_wrong, k) / comb(n, k)
    deviation = (fails * (1 - fails)) ** 0.5
    if deviation == 0:
        return 0.0, 0.0
    fails_with_it = comb(n_wrong - 1, k - 1) / comb(n - 1, k - 1)
    return (fails - fails_with_it) / deviation, fails / deviation


def f_grpo_advantages(
    rewards: ArrayLike, group_ids: ArrayLike, is_correct: ArrayLike, gamma: float = 1.0
) -> NDArray[np.float64]:
    """F-GRPO's advantages (B,): (1 - p) ** gamma * (r_s - mean) / (std + 1e-4), p the group's share of right answers.

    Source: "F-GRPO: Don't Let Your Policy Learn the Obvious and Forget the Rare" (arXiv 2602.06717). The default of
    gamma is ours. Deviation and 1e-4 as in :func:`group_advantages`.
    Range: 0 for a group that is all right; GRPO's at most. A group without a right answer has weight 1 and is not
    divided.

    Args: as in :func:`undivided_advantages`.
        gamma: at least 0; 0 is GRPO.

    Example:
        (1 - 1/4) * 0.75 / 0.5001 = 1.125.

        >>> f_grpo_advantages([1, 0, 0, 0], [0] * 4, [True, False, False, False]).round(3).tolist()
        [1.125, -0.375, -0.375, -0.375]
    """
    gamma = check_non_negative("gamma", gamma)
    shares = _shares_right(group_ids, is_correct)
    ids = np.asarray(group_ids).tolist()
    return np.asarray((1 - shares) ** gamma * group_advantages(rewards, prompt_ids=ids, normalize_by_std=shares > 0))


def _shares_right(group_ids: ArrayLike, is_correct: ArrayLike) -> NDArray[np.float64]:
    """(B,) the share of right answers in the group of each row."""
    groups, counts = _groups(group_ids, np.size(group_ids))
    right = check_bools("is_correct", is_correct, len(groups))
    return np.asarray((np.bincount(groups, right, len(counts)) / counts)[groups])


def _groups(group_ids: ArrayLike, n_rows: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(B,) which group each row is in, and the size of each group."""
    groups = _group_numbers(n_rows, None, np.asarray(group_ids).tolist())
    return groups, np.bincount(groups)


def advantages_by(
    function: AdvantageFunction,
    rewards: NDArray[np.float64],
    group_ids: NDArray[np.int64],
    is_correct: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """What a function gives for rows (B,), checked.

    Raises:
        ValueError: it does not return one finite number for each row.
    """
    values = np.asarray(function(rewards, group_ids, is_correct), dtype=np.float64)
    if values.shape != rewards.shape or not np.isfinite(values).all():
        got = "some that are not finite" if values.shape == rewards.shape else f"shape {values.shape}"
        raise ValueError(f"advantage must return {len(rewards)} finite numbers, one for each reward; got {got}.")
    return values


def entropy_advantage(
    advantages: torch.Tensor, entropies: torch.Tensor, coef: float = 0.4, cap: float = 2.0
) -> torch.Tensor:
    """Token-level advantages (B, T): A + min(coef * H, |A| / cap), H detached.

    The added term never changes the sign of A as long as `cap` is above 1.
    Source: "Reasoning with Exploration: An Entropy Perspective" (arXiv 2506.14758), with its defaults.

    Args:
        advantages: (B,) or (B, T).
        entropies: (B, T), in nats.
        coef: Weight of the entropy.
        cap: The added term is at most |A| / cap.

    Example:
        >>> import torch
        >>> entropy_advantage(torch.tensor([1.0, -1.0]), torch.tensor([[0.5, 2.0], [0.5, 2.0]]))
        tensor([[ 1.2000,  1.5000],
                [-0.8000, -0.5000]])
    """
    if advantages.dim() == 1:
        advantages = advantages.unsqueeze(1)
    return advantages + (coef * entropies.detach()).minimum(advantages.abs() / cap)
