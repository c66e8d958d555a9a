"""Fingerprints of completions that stand one after the other in one row, as verl packs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from meds_rl.fingerprint import AnswerStates, Fingerprint, Head, LayerLogits, Where


@dataclass(frozen=True)
class Pack:
    """b sequences in one row, the row cut into equal slices, one a rank.

    Attributes:
        lengths: b numbers of tokens, prompt and completion together.
        wheres: b one-row places, each in the columns of its own sequence.
        group: the ranks that share the row (Ulysses), in the slices' order; None where one rank has all of it.
    """

    lengths: Sequence[int]
    wheres: Sequence[Where]
    group: Any = None

    def sequences(self, hidden: Tensor) -> list[Tensor]:
        """From this rank's slice (1, n, d) to the b sequences, (1, length, d) each."""
        if self.group is not None:
            slices = hidden.new_empty(dist.get_world_size(self.group) * hidden.shape[1], hidden.shape[2])
            dist.all_gather_into_tensor(slices, hidden[0].contiguous(), group=self.group)
            hidden = slices[None]
        total = sum(self.lengths)
        return list(torch.split(hidden[:, :total], list(self.lengths), dim=1))

    def states(self, hidden: Tensor, columns: Tensor) -> Tensor:
        """The states at `columns` (b, k) of the sequences: from this rank's slice (1, n, d) to (b, k, d)."""
        starts = torch.tensor([0, *self.lengths[:-1]]).cumsum(0)
        columns = (starts[:, None] + columns).to(hidden.device)
        if self.group is None:
            return hidden[0, columns]
        width = hidden.shape[1]
        local = columns - dist.get_rank(self.group) * width
        is_mine = (local >= 0) & (local < width)
        # Only one rank has a state and the others add zeros to it, so nothing is rounded.
        found = torch.where(is_mine[..., None], hidden[0, local.clamp(0, width - 1)].float(), 0.0)
        dist.all_reduce(found, group=self.group)
        return found


class PackedFingerprint:
    """A fingerprint of b packed completions, shown to the recorder as that of the one row they stand in.

    Its features are the b completions' D numbers one after the other: (1, b * D). Fingerprints that read the places of
    an answer only get the states there, of every rank; the others get whole sequences, one at a time, so that a pack of
    many short ones and a long one is never padded.

    Args:
        fingerprint: what to read of each completion.
        pack: the row.
    """

    reads_completion = True

    def __init__(self, fingerprint: Fingerprint, pack: Pack) -> None:
        self._fingerprint = fingerprint
        self._pack = pack
        self._at_places = isinstance(fingerprint, (LayerLogits, AnswerStates))

    @property
    def name(self) -> str:
        return self._fingerprint.name

    def layers(self, num_layers: int) -> Sequence[int]:
        """Those of the fingerprint itself."""
        return self._fingerprint.layers(num_layers)

    def num_features(self, num_layers: int, hidden_size: int) -> int:
        """b * D."""
        return len(self._pack.lengths) * self._fingerprint.num_features(num_layers, hidden_size)

    def read(self, hidden: Tensor, where: Where, head: Head) -> Tensor:
        """From a slice of the row (1, n, d) to what is kept of all b completions (b, k)."""
        if self._at_places:
            return self._read_places(hidden, head)
        sequences = zip(self._pack.sequences(hidden), self._pack.wheres, strict=True)
        kept = [self._fingerprint.read(one, where.rows(0, 1, one.device), head) for one, where in sequences]
        return torch.cat(kept)

    def combine(self, kept: list[Tensor]) -> Tensor:
        """(1, b * D)."""
        return self._fingerprint.combine(kept).reshape(1, -1)

    def _read_places(self, hidden: Tensor, head: Head) -> Tensor:
        """Rows of two columns: the state before the answer, and the state at its end."""
        wheres = self._pack.wheres
        columns = torch.stack([torch.cat([where.positions, where.ends]) for where in wheres])
        first = torch.zeros(len(wheres), dtype=torch.int64)
        where = Where(
            positions=first,
            target_ids=torch.cat([where.target_ids for where in wheres]),
            completion_mask=torch.ones(len(wheres), 2, dtype=torch.bool),
            has_answer=torch.cat([where.has_answer for where in wheres]),
            ends=first + 1,
        )
        states = self._pack.states(hidden, columns)
        return self._fingerprint.read(states, where.rows(0, len(where), states.device), head)
