"""The method, in numpy: score a batch against the memory, take the penalty from its rewards, then remember it."""

from meds_rl.shaping.advantage import (
    entropy_advantage,
    f_grpo_advantages,
    group_advantages,
    maxrl_advantages,
    pass_at_k_advantages,
    undivided_advantages,
)
from meds_rl.shaping.penalty import penalty
from meds_rl.shaping.result import Reason, ShapedBatch
from meds_rl.shaping.shaper import Group, GroupKind, RewardShaper

__all__ = [
    "Group",
    "GroupKind",
    "Reason",
    "RewardShaper",
    "ShapedBatch",
    "entropy_advantage",
    "f_grpo_advantages",
    "group_advantages",
    "maxrl_advantages",
    "pass_at_k_advantages",
    "penalty",
    "undivided_advantages",
]
