"""From shaped rewards to advantages: GRPO's normalisation by the group, and the entropy advantage."""

from __future__ import annotations

from collections.abc import Iterable
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
