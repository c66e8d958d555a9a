"""Advantages that are not TRL's: rewards less the group's mean, divided by its deviation."""

import numpy as np
from numpy.typing import NDArray

from meds_rl.engines.trl.batch import Batch
from meds_rl.shaping.reinforcement import reinforcement_advantages


def own_advantages(batch: Batch, positive_weight: float | None) -> tuple[NDArray[np.bool_], np.ndarray]:
    """Which rows (B,) have advantages of ours, and those (B,).

    Args:
        batch: shaped.
        positive_weight: of negative-sample reinforcement, which all graded rows get; None for the group's advantages,
            of which only those that are not divided by the deviation (`meds_all_wrong="center"`) are ours.
    """
    if positive_weight is not None:
        advantages = reinforcement_advantages(batch.is_correct, positive_weight)
        return np.ones(len(batch), dtype=np.bool_), np.where(np.isnan(batch.rewards), 0.0, advantages)
    ours = ~batch.normalize_by_std
    return ours, batch.advantages() if ours.any() else np.zeros(len(batch))
