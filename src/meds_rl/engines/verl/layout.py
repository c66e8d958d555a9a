"""What a micro-batch of verl's looks like to a fingerprint, packed into one row or padded on the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from meds_rl.engines.verl.packed import Pack
from meds_rl.fingerprint import AnswerPosition, Where


def where_padded(
    answers: Sequence[AnswerPosition | None], lengths: Sequence[int], response_mask: Sequence[Sequence[bool]]
) -> Where:
    """The places in a batch that is padded on the right, as without remove-padding.

    Args:
        answers: b answers, counted from each completion's first token.
        lengths: b numbers of tokens, prompt and completion together.
        response_mask: b lists, one value a token of the completion; False where a tool or a user wrote it.

    Example:
        >>> where = where_padded([AnswerPosition(0, 7)], lengths=[5], response_mask=[[True, True, False]])
        >>> where.positions.tolist(), where.completion_mask.int().tolist(), where.prompt_mask.int().tolist()
        ([2], [[0, 0, 1, 1, 0]], [[1, 1, 0, 0, 0]])
    """
    width = max(lengths)
    starts = [length - len(mask) for length, mask in zip(lengths, response_mask, strict=True)]
    where = Where.from_answers(
        answers,
        starts=starts,
        lengths=[len(mask) for mask in response_mask],
        width=width,
        prompt_starts=[0] * len(starts),
    )
    is_written = torch.zeros_like(where.completion_mask)
    for row, (start, mask) in enumerate(zip(starts, response_mask, strict=True)):
        is_written[row, start : start + len(mask)] = torch.tensor(mask, dtype=torch.bool)
    return replace(where, completion_mask=is_written)


def pack(
    answers: Sequence[AnswerPosition | None],
    lengths: Sequence[int],
    response_mask: Sequence[Sequence[bool]],
    group: Any = None,
) -> Pack:
    """The same rows one after the other, as with remove-padding; `group` shares the row (Ulysses)."""
    rows = zip(answers, lengths, response_mask, strict=True)
    return Pack(
        lengths=lengths,
        wheres=[where_padded([answer], [length], [mask]) for answer, length, mask in rows],
        group=group,
    )


def slice_width(total: int, *, bucket: int = 1, num_ranks: int = 1) -> int:
    """Columns of one rank's slice of a row of `total` tokens, with what verl pads it by.

    Args:
        bucket: the row is padded to a multiple of it first (`pad_to_length_bucket`).
        num_ranks: then to a multiple of the ranks that share it.

    Example:
        >>> slice_width(10), slice_width(10, num_ranks=4), slice_width(10, bucket=8, num_ranks=3)
        (10, 3, 6)
    """
    padded = -(-total // bucket) * bucket
    return -(-padded // num_ranks)


def whole_row(width: int) -> Where:
    """One row of `width` columns for the recorder, which asks for rows; the packed fingerprint knows the places."""
    nothing = torch.zeros(1, dtype=torch.int64)
    everywhere = torch.ones(1, width, dtype=torch.bool)
    return Where(nothing, nothing, everywhere, has_answer=torch.ones(1, dtype=torch.bool), ends=nothing)


def lists(nested: Tensor) -> list[list[Any]]:
    """The rows of a jagged tensor as lists."""
    return [row.tolist() for row in nested.cpu().unbind()]
