"""A fingerprint that is not in the paper: the states just before the answer and at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from meds_rl.fingerprint.base import Where
from meds_rl.fingerprint.model import Head


class AnswerStates:
    """The state before the answer and the state at its last token, side by side, each scaled to length 1.

    Formula: [h_L(p) / |h_L(p)|, h_(L-1)(e) / |h_(L-1)(e)|], where p is the token before the answer, e the
    answer's last token, and h_L is taken after the final norm. A state of zeros stays zero; a model of one
    layer is read at that layer twice. 2 d numbers, in float32.

    It mostly encodes which answer was given: expect little where one error leads to many answers. It reads up to the
    answer's last token and does not use the unembedding.

    Example:
        >>> AnswerStates().layers(28), AnswerStates().num_features(28, hidden_size=3584)
        ([27, 28], 7168)
    """

    name = "answer_states"
    reads_completion: Literal["answer"] = "answer"

    def __repr__(self) -> str:
        return "AnswerStates()"

    def layers(self, num_layers: int) -> Sequence[int]:
        """The last two; of a model of one layer, that one."""
        return list(range(max(1, num_layers - 1), num_layers + 1))

    def num_features(self, num_layers: int, hidden_size: int) -> int:
        """2 d."""
        return 2 * hidden_size

    def read(self, hidden: Tensor, where: Where, head: Head) -> Tensor:
        """The states at p and at the answer's last token: from (b, T, d) to (b, 2 d)."""
        rows = torch.arange(len(hidden), device=hidden.device)
        states = [hidden[rows, columns] for columns in (where.positions, where.ends)]
        return torch.cat([normalize(state.float(), dim=1) for state in states], dim=1)

    def combine(self, kept: list[Tensor]) -> Tensor:
        """(b, 2 d): p from the last layer, the answer's last token from the first of the two."""
        return torch.cat([kept[-1].chunk(2, dim=1)[0], kept[0].chunk(2, dim=1)[1]], dim=1)
