"""The mean state of a completion after the last layer: what representation-based exploration looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from meds_rl.fingerprint.answer import AnswerPosition
from meds_rl.fingerprint.base import Where
from meds_rl.fingerprint.locate import Tokenizer
from meds_rl.fingerprint.model import Head


@dataclass(frozen=True)
class MeanState:
    """mean_t h_L(t) over the completion's tokens, h_L after the final norm: d features."""

    name: Literal["mean_state"] = "mean_state"

    @property
    def reads_completion(self) -> bool:
        """It reads all of the completion."""
        return True

    def layers(self, num_layers: int) -> Sequence[int]:
        """The last layer."""
        return [num_layers]

    def num_features(self, num_layers: int, hidden_size: int) -> int:
        """d."""
        return hidden_size

    def read(self, hidden: Tensor, where: Where, head: Head) -> Tensor:
        """(b, d) means over the completions' tokens, summed in float32."""
        mask = where.completion_mask.unsqueeze(-1)
        total = torch.where(mask, hidden.float(), 0.0).sum(dim=1)
        return total / mask.sum(dim=1).clamp(min=1)

    def combine(self, kept: list[Tensor]) -> Tensor:
        """The one layer's means."""
        return kept[0]


def every_completion(completion_ids: Sequence[int], _tokenizer: Tokenizer) -> AnswerPosition | None:
    """An answer finder that finds one in every completion of two tokens or more: what is pooled needs no answer."""
    return AnswerPosition(0, completion_ids[1]) if len(completion_ids) > 1 else None
