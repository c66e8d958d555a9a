"""Where the answers stand in a batch of verl's, and how their places travel with its rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from meds_rl.fingerprint import AnswerFinder, AnswerPosition, Tokenizer

NO_ANSWER = (-1, -1, -1)


def find_written(
    find: AnswerFinder, completion_ids: Sequence[int], is_written: Sequence[bool], tokenizer: Tokenizer
) -> AnswerPosition | None:
    """The answer in what the model wrote itself, not in what tools or users put in between.

    Each stretch of the model's own tokens is searched, the last one first; where there is one stretch only, as in
    every single-turn task, this is `find` on it.

    Args:
        find: finds the answer in token ids.
        completion_ids: T token ids.
        is_written: T booleans, verl's response mask.
        tokenizer: decodes the ids.

    Example:
        >>> def find(ids, tokenizer):  # a token 9 stands before every answer
        ...     places = [i for i, token in enumerate(ids[:-1]) if token == 9]
        ...     return AnswerPosition(places[-1], ids[places[-1] + 1]) if places else None
        >>> find_written(find, [9, 4, 5, 9, 6, 7], [True, True, True, False, False, True], tokenizer=None)
        AnswerPosition(position=0, target_id=4, end=1)
    """
    for start, stop in reversed(_stretches(is_written)):
        found = find(completion_ids[start:stop], tokenizer)
        if found is not None:
            return AnswerPosition(start + found.position, found.target_id, start + found.end)
    return None


def _stretches(is_written: Sequence[bool]) -> list[tuple[int, int]]:
    """Where the runs of True begin and end.

    Example:
        >>> _stretches([False, True, True, False, True])
        [(1, 3), (4, 5)]
    """
    padded = [False, *is_written, False]
    edges = [i for i in range(len(padded) - 1) if padded[i] != padded[i + 1]]
    return list(zip(edges[::2], edges[1::2], strict=True))


def to_tensor(answers: Sequence[AnswerPosition | None]) -> Tensor:
    """(B, 3) int64: position, target and end of each answer, -1 where there is none."""
    return torch.tensor([answer or NO_ANSWER for answer in answers], dtype=torch.int64).reshape(-1, 3)


def from_tensor(places: Tensor) -> list[AnswerPosition | None]:
    """What `to_tensor` was made of.

    Example:
        >>> from_tensor(to_tensor([AnswerPosition(6, 20), None]))
        [AnswerPosition(position=6, target_id=20, end=7), None]
    """
    return [None if row[0] < 0 else AnswerPosition(*row) for row in places.tolist()]
