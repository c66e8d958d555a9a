"""A batch taken apart into groups: the completions of one prompt in one call."""

from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meds_rl.shaping.checks import PromptId


class GroupKind(Enum):
    """How a group's completions were graded."""

    MIXED = "mixed"
    ALL_RIGHT = "all right"
    ALL_WRONG = "all wrong"


class Group(NamedTuple):
    """The rows (G,) of one prompt."""

    prompt_id: PromptId
    rows: NDArray[np.intp]
    kind: GroupKind


def groups_of(prompt_ids: list[PromptId], is_correct: NDArray[np.bool_]) -> list[Group]:
    """The groups of a batch, sorted by prompt id, integers first: no matter in what order the rows come."""
    rows: dict[PromptId, list[int]] = {}
    for row, prompt_id in enumerate(prompt_ids):
        rows.setdefault(prompt_id, []).append(row)
    ordered = sorted(rows, key=lambda prompt_id: (isinstance(prompt_id, str), prompt_id))
    return [_group(prompt_id, np.array(rows[prompt_id], dtype=np.intp), is_correct) for prompt_id in ordered]


def _group(prompt_id: PromptId, rows: NDArray[np.intp], is_correct: NDArray[np.bool_]) -> Group:
    graded = is_correct[rows]
    if graded.all():
        return Group(prompt_id, rows, GroupKind.ALL_RIGHT)
    return Group(prompt_id, rows, GroupKind.MIXED if graded.any() else GroupKind.ALL_WRONG)
