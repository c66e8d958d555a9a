"""The method, in numpy: score a batch against the memory, take the penalty from its rewards, then remember it."""

from meds_rl.shaping.advantage import group_advantages
from meds_rl.shaping.penalty import penalty
from meds_rl.shaping.result import Reason, ShapedBatch
from meds_rl.shaping.shaper import RewardShaper

__all__ = ["Reason", "RewardShaper", "ShapedBatch", "group_advantages", "penalty"]
