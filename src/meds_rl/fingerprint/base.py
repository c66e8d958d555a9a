"""What a fingerprint is, and the positions in a batch that it reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from meds_rl.fingerprint.answer import AnswerPosition
from meds_rl.fingerprint.model import Head


@dataclass(frozen=True)
class Where:
    """The positions of B answers in a padded batch of T columns.

    Attributes:
        positions: (B,) int64, the column of p, the token before the answer's first one; 0 without an answer.
        target_ids: (B,) int64, the id of t, the answer's first token; 0 without an answer.
        completion_mask: (B, T) bool, True at the completion's tokens.
        has_answer: (B,) bool.
        ends: (B,) int64, the column of the answer's last token, or of the row's last one if it is cut off earlier; 0
            without an answer.
        prompt_mask: (B, T) bool, True at the prompt's tokens; None if unknown. Only some fingerprints need it.

    ValueError if shapes do not fit or a column is outside the T columns.
    """

    positions: Tensor
    target_ids: Tensor
    completion_mask: Tensor
    has_answer: Tensor
    ends: Tensor
    prompt_mask: Tensor | None = None

    def __post_init__(self) -> None:
        if self.completion_mask.dim() != 2:
            raise ValueError(f"completion_mask must be (B, T), got shape {tuple(self.completion_mask.shape)}")
        size, width = self.completion_mask.shape
        for name in ("positions", "target_ids", "has_answer", "ends"):
            if tuple(shape := getattr(self, name).shape) != (size,):
                raise ValueError(f"{name} must be ({size},) like completion_mask's rows, got {tuple(shape)}")
        if self.prompt_mask is not None and self.prompt_mask.shape != self.completion_mask.shape:
            raise ValueError(
                f"prompt_mask must be ({size}, {width}) like completion_mask, got {tuple(self.prompt_mask.shape)}"
            )
        for name, columns in [("positions", self.positions), ("ends", self.ends)]:
            if size and not bool(((columns >= 0) & (columns < width)).all()):
                raise ValueError(f"{name} must be 0 to {width - 1}, got {columns.tolist()}")

    @classmethod
    def from_answers(
        cls,
        answers: Sequence[AnswerPosition | None],
        *,
        starts: Sequence[int],
        lengths: Sequence[int],
        width: int,
        prompt_starts: Sequence[int] | None = None,
        device: torch.device | str = "cpu",
    ) -> Where:
        """From positions within completions to columns of the padded batch.

        Args:
            answers: B positions, counted from each completion's first token; None without an answer.
            starts: B columns at which the completions begin.
            lengths: B numbers of completion tokens.
            width: T.
            prompt_starts: B columns at which the prompts begin; None if unknown, then fingerprints that read the prompt
                raise an error.
            device: of the tensors.

        Example:
            >>> answers = [AnswerPosition(1, 7), None]
            >>> where = Where.from_answers(answers, starts=[2, 2], lengths=[3, 1], width=5)
            >>> where.positions.tolist(), where.target_ids.tolist(), where.completion_mask.int().tolist()
            ([3, 0], [7, 0], [[0, 0, 1, 1, 1], [0, 0, 1, 0, 0]])
            >>> where.ends.tolist()
            [4, 0]
        """
        columns = torch.arange(width)
        begin, count = (torch.tensor(list(x), dtype=torch.int64)[:, None] for x in (starts, lengths))
        prompt_mask = None
        if prompt_starts is not None:
            first = torch.tensor(list(prompt_starts), dtype=torch.int64)[:, None]
            prompt_mask = ((columns >= first) & (columns < begin)).to(device)
        rows = list(zip(answers, starts, lengths, strict=True))
        positions = [start + a.position if a else 0 for a, start, _ in rows]
        ends = [start + min(a.end, length - 1) if a else 0 for a, start, length in rows]
        return cls(
            positions=torch.tensor(positions, dtype=torch.int64).to(device),
            target_ids=torch.tensor([a.target_id if a else 0 for a in answers], dtype=torch.int64).to(device),
            completion_mask=((columns >= begin) & (columns < begin + count)).to(device),
            has_answer=torch.tensor([a is not None for a in answers], dtype=torch.bool).to(device),
            ends=torch.tensor(ends, dtype=torch.int64).to(device),
            prompt_mask=prompt_mask,
        )

    def __len__(self) -> int:
        return len(self.positions)

    def rows(self, start: int, stop: int, device: torch.device) -> Where:
        """Rows `start` to `stop` (exclusive), on `device`."""
        positions, target_ids, completion_mask, has_answer, ends = (
            values[start:stop].to(device)
            for values in (self.positions, self.target_ids, self.completion_mask, self.has_answer, self.ends)
        )
        prompt_mask = None if self.prompt_mask is None else self.prompt_mask[start:stop].to(device)
        return Where(positions, target_ids, completion_mask, has_answer, ends, prompt_mask)


class Fingerprint(Protocol):
    """How a model computed an answer, as D numbers.

    A new fingerprint is a small class with these members; pass an instance to whatever takes a fingerprint. Layers are
    numbered 1 to L. Layer L is the state after the final norm (the backbone's `last_hidden_state`), the others are the
    outputs of the decoder layers. During a forward `read` is called for each of `layers` in turn and reduces its states
    to a few numbers a row; after the last one `combine` makes the features from these numbers.

    Attributes:
        name: its name in recipes and tables.
        reads_completion: how far it reads. False: the states up to p, so that the forward may stop there; "answer":
            up to the answer's last token; True: the whole completion.
    """

    @property
    def name(self) -> str: ...

    @property
    def reads_completion(self) -> bool | Literal["answer"]: ...

    def layers(self, num_layers: int) -> Sequence[int]:
        """Which of the layers 1 to `num_layers` to read, ascending; ValueError if the model has too few."""
        ...

    def num_features(self, num_layers: int, hidden_size: int) -> int:
        """D, for a model of `num_layers` layers and states of `hidden_size` numbers."""
        ...

    def read(self, hidden: Tensor, where: Where, head: Head) -> Tensor:
        """From the states (b, T, d) of one layer to k numbers a row (b, k); called without gradient or autocast.

        Rows without an answer may have any values: they become NaN afterwards.
        """
        ...

    def combine(self, kept: list[Tensor]) -> Tensor:
        """From one (b, k) tensor per layer to the features (b, D); called without gradient or autocast."""
        ...


class OneLayer(ABC):
    """A base class for fingerprints that reduce one layer to d features."""

    def __init__(self, layer: int | None = None) -> None:
        if isinstance(layer, bool) or not (layer is None or isinstance(layer, int)):
            raise TypeError(f"layer must be an int or None, got {layer!r}")
        if layer is not None and layer < 1:
            raise ValueError(f"layer must be at least 1 (the first decoder layer's output), got {layer}")
        self.layer = layer

    def __repr__(self) -> str:
        return f"{type(self).__name__}(layer={self.layer!r})"

    @abstractmethod
    def default_layer(self, num_layers: int) -> int:
        """The layer to read if `layer` is None."""

    def layers(self, num_layers: int) -> Sequence[int]:
        """The one layer."""
        layer = self.default_layer(num_layers) if self.layer is None else self.layer
        if layer > num_layers:
            raise ValueError(f"{self!r} asks for layer {layer} of a model that has {num_layers}")
        return [layer]

    def num_features(self, num_layers: int, hidden_size: int) -> int:
        """d."""
        return hidden_size

    def combine(self, kept: list[Tensor]) -> Tensor:
        """(b, d), as read."""
        return kept[0]


def num_tokens_read(fingerprint: Fingerprint, answer: AnswerPosition, length: int) -> int:
    """How many tokens of a completion of `length` tokens the forward must run on for its fingerprint."""
    if fingerprint.reads_completion == "answer":
        return answer.end + 1
    return length if fingerprint.reads_completion else answer.position + 1
