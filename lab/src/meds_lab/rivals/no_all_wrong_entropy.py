"""MEDS without the entropy advantage in groups that have no right answer.

The entropy term adds up to |A| / 2 and never takes away. In a group of wrong answers, where the advantages of the
penalties sum to 0, it therefore rewards errors on balance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from meds_rl.engines.trl import MEDSTrainer
from meds_rl.engines.trl.batch import Batch


def all_wrong(group_ids: np.ndarray, is_correct: np.ndarray) -> np.ndarray:
    """(B,) bool: whether the group of a row has no right answer.

    Example:
        >>> all_wrong(np.array([0, 0, 1, 1]), np.array([True, False, False, False])).tolist()
        [False, False, True, True]
    """
    right = np.unique(group_ids[is_correct])
    return ~np.isin(group_ids, right)


class NoAllWrongEntropyTrainer(MEDSTrainer):
    """`MEDSTrainer` that adds entropies only in groups with a right answer. One process."""

    def _replace_advantages(self, batch: Batch, output: dict[str, Any]) -> None:
        super()._replace_advantages(batch, output)
        # TRL shuffles and splits every tensor of the output with the rows.
        output["all_wrong"] = torch.as_tensor(all_wrong(batch.group_ids, batch.is_correct))

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        inputs = self._loss_inputs if torch.is_grad_enabled() else None
        plain = None if inputs is None else inputs["advantages"].unsqueeze(1)
        found = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if inputs is not None and plain is not None:
            without = inputs["all_wrong"].to(plain.device).unsqueeze(1)
            inputs["advantages"] = torch.where(without, plain, inputs["advantages"])
        return found


def trainer(*args: Any, **kwargs: Any) -> MEDSTrainer:
    """A `NoAllWrongEntropyTrainer`."""
    return NoAllWrongEntropyTrainer(*args, **kwargs)
