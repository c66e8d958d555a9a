"""Penalties only where nothing is right: groups with right and wrong completions are remembered and not penalised.

In such a group a right answer is rewarded already.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meds_rl.engines.trl import MEDSTrainer
from meds_rl.engines.trl.batch import Batch, Features
from meds_rl.shaping import ShapedBatch


def without_mixed(shaped: ShapedBatch) -> ShapedBatch:
    """A shaped batch whose penalties in groups with right and wrong completions are 0."""
    mixed = _is_mixed(shaped)
    return replace(
        shaped,
        rewards=np.where(mixed, shaped.raw_rewards, shaped.rewards),
        penalties=np.where(mixed, 0.0, shaped.penalties),
    )


def _is_mixed(shaped: ShapedBatch) -> NDArray[np.bool_]:
    graded: dict[str | int, set[bool]] = {}
    for group_id, is_correct in zip(shaped.group_ids, shaped.is_correct.tolist(), strict=True):
        graded.setdefault(group_id, set()).add(is_correct)
    return np.array([len(graded[group_id]) == 2 for group_id in shaped.group_ids], dtype=np.bool_)


class RememberTrainer(MEDSTrainer):
    """`MEDSTrainer` that penalises groups without a right completion only."""

    def shape(self, batch: Batch, features: Features) -> None:
        """Shape as MEDS does, then take the penalties of mixed groups back."""
        super().shape(batch, features)
        if batch.shaped is not None:
            batch.shaped = without_mixed(batch.shaped)
            batch.shaped_rewards[batch.is_graded] = batch.shaped.rewards


def trainer(*args: Any, **kwargs: Any) -> MEDSTrainer:
    """A `RememberTrainer`."""
    return RememberTrainer(*args, **kwargs)
