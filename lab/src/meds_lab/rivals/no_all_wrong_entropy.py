"""`meds_lab.rivals.count` without the entropy advantage in groups that have no right answer.

The entropy term adds up to |A| / 2 to an advantage A and never lowers it. In an all-wrong group the advantages by
penalties sum to 0, so with the entropy term their sum is above 0: errors are rewarded on balance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from trl import GRPOTrainer

from meds_rl import ErrorMemory
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.engines.trl.batch import Batch, Features, slice_of
from meds_rl.memory import equal_vectors


def all_wrong(group_ids: NDArray[np.int64], is_correct: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(B,) bool: whether the group of a row has no right answer.

    Example:
        >>> all_wrong(np.array([0, 0, 1, 1]), np.array([True, False, False, False])).tolist()
        [False, False, True, True]
    """
    return ~np.isin(group_ids, group_ids[is_correct])


class NoEntropyWhereAllWrong(GRPOTrainer):
    """Sets entropies to 0 in the rows `no_entropy` (b,) of the current update. The logged entropy has these 0s, too."""

    no_entropy: torch.Tensor | None = None

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        logps, entropies, aux_loss = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if self.no_entropy is not None and torch.is_grad_enabled():
            entropies = entropies.masked_fill(self.no_entropy.unsqueeze(1), 0.0)
        return logps, entropies, aux_loss

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        self.no_entropy = inputs.get("all_wrong")
        loss: torch.Tensor = super()._compute_loss(model, inputs)
        return loss


class NoAllWrongEntropyTrainer(MEDSTrainer, NoEntropyWhereAllWrong):
    """`MEDSTrainer` on top of it: an entropy of 0 adds nothing to the advantage."""

    wrong_groups: NDArray[np.bool_]

    def shape(self, batch: Batch, features: Features) -> None:
        """Shape as usual, and note which groups are all wrong."""
        super().shape(batch, features)
        self.wrong_groups = all_wrong(batch.group_ids, batch.is_correct)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if self.model.training:  # TRL shuffles and splits every tensor of the output with the rows
            rows = slice_of(self.accelerator, len(output["advantages"]))
            output["all_wrong"] = torch.as_tensor(self.wrong_groups[rows], device=output["advantages"].device)
        return output


def trainer(model: Any, reward_funcs: Any, args: MEDSConfig, train_dataset: Any, **kwargs: Any) -> MEDSTrainer:
    """A `NoAllWrongEntropyTrainer` that counts equal fingerprints."""
    memory = ErrorMemory(equal_vectors, capacity=args.meds_capacity, half_life=args.meds_half_life)
    return NoAllWrongEntropyTrainer(model, reward_funcs, args, train_dataset, memory=memory, **kwargs)
