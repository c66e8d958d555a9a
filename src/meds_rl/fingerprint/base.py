"""What a fingerprint is, and where in a batch it looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from meds_rl.fingerprint.answer import AnswerPosition
from meds_rl.fingerprint.model import Head


@dataclass(frozen=True)
class Where:
    """The places of B answers in a padded batch of T columns.

    Attributes:
        positions: (B,) int64, the column of p, the token before the answer's first one; 0 where there is no
            answer.
        target_ids: (B,) int64, the id of t, the answer's first token; 0 where there is no answer.
        completion_mask: (B, T) bool, True at the completion's tokens.
        has_answer: (B,) bool.
        ends: (B,) int64, the column of the answer's last token, or of the last token that is there where a row
            is cut off before it; 0 where there is no answer.
        prompt_mask: (B, T) bool, True at the prompt's tokens; None if nobody said where prompts are, as only some
            fingerprints look there.

    Raises:
        ValueError: if the shapes do not belong together or a column is outside the T columns.
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
        for name, value in [
            ("positions", self.positions),
            ("target_ids", self.target_ids),
            ("has_answer", self.has_answer),
            ("ends", self.ends),
        ]:
            if tuple(value.shape) != (size,):
                raise ValueError(
                    f"{name} must be ({size},) like completion_mask's rows, got {tuple(value.shape)}"
                )
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
            answers: B positions, counted from each completion's first token; None where there is no answer.
            starts: B columns at which the completions begin (TRL pads prompts on the left: all the prompt
                width).
            lengths: B numbers of completion tokens.
            width: T, columns of the batch.
            prompt_starts: B columns at which the prompts begin, which end where the completions begin; None where they
                are not known: then fingerprints that read the prompt are refused.
            device: where the tensors live.

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
        rows = list(zip(answers, starts, lengths, strict=True))
        positions = [start + a.position if a else 0 for a, start, _ in rows]
        ends = [start + min(a.end, length - 1) if a else 0 for a, start, length in rows]
        return cls(
            positions=torch.tensor(positions, dtype=torch.int64).to(device),
            target_ids=torch.tensor([a.target_id if a else 0 for a in answers], dtype=torch.int64).to(device),
            completion_mask=((columns >= begin) & (columns < begin + count)).to(device),
            has_answer=torch.tensor([a is not None for a in answers], dtype=torch.bool).to(device),
            ends=torch.tensor(ends, dtype=torch.int64).to(device),
            prompt_mask=None if prompt_starts is None else _between(columns, prompt_starts, begin).to(device),
        )

    def __len__(self) -> int:
        return len(self.positions)

    def rows(self, start: int, stop: int, device: torch.device) -> Where:
        """Rows `start` to `stop` (exclusive), on `device`."""
        return Where(
            positions=self.positions[start:stop].to(device),
            target_ids=self.target_ids[start:stop].to(device),
            completion_mask=self.completion_mask[start:stop].to(device),
            has_answer=self.has_answer[start:stop].to(device),
            ends=self.ends[start:stop].to(device),
            prompt_mask=None if self.prompt_mask is None else self.prompt_mask[start:stop].to(device),
        )


def _between(columns: Tensor, first: Sequence[int], end: Tensor) -> Tensor:
    """(B, T): at which columns (T,) the rows from `first` (B) to before `end` (B, 1) stand."""
    return (columns >= torch.tensor(list(first), dtype=torch.int64)[:, None]) & (columns < end)


class Fingerprint(Protocol):
    """How a model computed an answer, as D numbers.

    A new fingerprint is a small class with these members; pass an instance wherever a fingerprint is asked
    for. The layers are 1 to L; layer L is the state after the final norm (the backbone's
    `last_hidden_state`), the others are the plain outputs of the decoder layers. For every layer asked for,
    in ascending order, `read` is called once with all of the layer's states and keeps what is needed;
    `combine` makes the features of what was kept.

    Attributes:
        name: how it is called in recipes and tables.
        reads_completion: how far it reads. False: only the state at p, so that the forward may stop there;
            "answer": states up to the answer's last token; True: all of the completion.
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
        """From the states (b, T, d) of one layer to what is kept (b, k); called without gradient or autocast.

        Rows without an answer may hold anything: they become NaN afterwards.
        """
        ...

    def combine(self, kept: list[Tensor]) -> Tensor:
        """From one (b, k) tensor a layer to the features (b, D)."""
        ...


def num_tokens_read(fingerprint: Fingerprint, answer: AnswerPosition, length: int) -> int:
    """How many tokens of a completion of `length` tokens the forward must run on for its fingerprint.

    Example:
        >>> from meds_rl.fingerprint import AnswerStates, LayerLogits, PooledLogits
        >>> fingerprints = LayerLogits(), AnswerStates(), PooledLogits()
        >>> [num_tokens_read(one, AnswerPosition(6, 20, 8), length=10) for one in fingerprints]
        [7, 9, 10]
    """
    if fingerprint.reads_completion == "answer":
        return answer.end + 1
    return length if fingerprint.reads_completion else answer.position + 1
