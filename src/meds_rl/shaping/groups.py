"""A batch taken apart into groups: the completions of one prompt in one call."""

from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meds_rl.shaping.checks import PromptId, has_answer


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


class Side(NamedTuple):
    """The rows (m,) of one prompt that are scored, all right or all wrong, and their fingerprints (m, D)."""

    prompt_id: PromptId
    is_correct: bool
    rows: NDArray[np.intp]
    features: NDArray[np.float32]


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


def scored_sides(
    groups: list[Group],
    is_correct: NDArray[np.bool_],
    scored: NDArray[np.bool_],
    features: NDArray[np.float32],
) -> list[Side]:
    """The scored rows of a batch, those of one prompt and one side together."""
    sides = []
    for group in groups:
        for side in (False, True):
            rows = group.rows[scored[group.rows] & (is_correct[group.rows] == side)]
            if len(rows):
                sides.append(Side(group.prompt_id, side, rows, features[rows]))
    return sides


def answered(side: Side) -> Side:
    """The side without the completions that give no answer."""
    keep = has_answer(side.features)
    return side._replace(rows=side.rows[keep], features=side.features[keep])
