"""Columns of the rewards that are filled over all processes, after the reward functions have run."""

from collections.abc import Sequence
from typing import Any


class MEDSPenalty:
    """Stands among TRL's reward functions to give the penalty a column, hence a metric, of its own.

    A reward function runs per process and never sees the model, so it cannot know the penalty: it returns zeros, and
    ``MEDSTrainer._calculate_rewards`` fills the column over all processes. In evaluation it stays zero.
    """

    __name__ = "meds_penalty"

    def __call__(self, completions: Sequence[Any], **_: Any) -> list[float]:
        return [0.0] * len(completions)


class ExplorationBonus:
    """The same for the bonus of representation-based exploration."""

    __name__ = "exploration_bonus"

    def __call__(self, completions: Sequence[Any], **_: Any) -> list[float]:
        return [0.0] * len(completions)
