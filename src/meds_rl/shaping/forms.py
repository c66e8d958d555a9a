"""What a count costs, and how it is taken from the reward: the paper's form, and those of its rivals."""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meds_rl.memory.entry import ClusterSizes
from meds_rl.shaping.groups import Group
from meds_rl.shaping.outcome import inverse_sqrt_penalty, share_penalty
from meds_rl.shaping.penalty import penalty

PenaltyForm: TypeAlias = Literal["log", "inverse_sqrt", "share"]


def penalties_of(
    form: PenaltyForm, sizes: ClusterSizes, groups: list[Group], alpha: float, beta: float
) -> NDArray[np.float64]:
    """Penalties (B,) of sizes (B,): `penalty`, `inverse_sqrt_penalty` or `share_penalty`."""
    if form == "log":
        return penalty(sizes, alpha, beta)
    if form == "inverse_sqrt":
        return inverse_sqrt_penalty(sizes, alpha, beta)
    group_sizes = np.ones(len(sizes), dtype=np.int64)
    for group in groups:
        group_sizes[group.rows] = len(group.rows)
    return share_penalty(sizes, group_sizes, alpha, beta)


def shaped_rewards(
    form: PenaltyForm,
    rewards: NDArray[np.float64],
    penalties: NDArray[np.float64],
    is_correct: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Shaped rewards (B,): r - penalty, but with "log" a right completion keeps the sign of its reward.

    That is r / (1 + penalty), and r (1 + penalty) below 0, so that it never gains. The other forms stand for a bonus
    that right and wrong completions get alike.
    """
    if form != "log":
        return rewards - penalties
    right = np.where(rewards > 0, rewards / (1 + penalties), rewards * (1 + penalties))
    return np.where(is_correct, right, rewards - penalties)
