"""A batch taken apart into groups: the completions of one prompt that are compared with each other."""

from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meds_rl.checks import PromptId, has_answer


class GroupKind(Enum):
    """How a group's completions were graded."""

    MIXED = "mixed"
    ALL_RIGHT = "all right"
    ALL_WRONG = "all wrong"


class Group(NamedTuple):
    """The rows (G,) of one group, all of one prompt."""

    prompt_id: PromptId
    rows: NDArray[np.intp]
    kind: GroupKind


class Side(NamedTuple):
    """The rows (m,) of one prompt that are scored, all right or all wrong, and their fingerprints (m, D)."""

    prompt_id: PromptId
    is_correct: bool
    rows: NDArray[np.intp]
    features: NDArray[np.float32]


def groups_of(
    prompt_ids: list[PromptId], is_correct: NDArray[np.bool_], group_ids: list[PromptId] | None = None
) -> list[Group]:
    """The groups of a batch, sorted by prompt id, integers first: no matter in what order the rows come.

    Args:
        prompt_ids: (B,).
        is_correct: (B,).
        group_ids: (B,), where a prompt may have several groups in a batch; by default each has one.

    Raises:
        ValueError: a group has completions of two prompts.
    """
    rows: dict[PromptId, list[int]] = {}
    for row, group_id in enumerate(prompt_ids if group_ids is None else group_ids):
        rows.setdefault(group_id, []).append(row)
    groups = [_group(_one_prompt(name, rows[name], prompt_ids), rows[name], is_correct) for name in rows]
    return sorted(groups, key=lambda group: (isinstance(group.prompt_id, str), group.prompt_id))


def _one_prompt(group_id: PromptId, rows: list[int], prompt_ids: list[PromptId]) -> PromptId:
    first = prompt_ids[rows[0]]
    for row in rows:
        if prompt_ids[row] != first:
            raise ValueError(
                f"a group has the completions of one prompt; group {group_id!r} has completions of {first!r} and "
                f"{prompt_ids[row]!r}"
            )
    return first


def _group(prompt_id: PromptId, members: list[int], is_correct: NDArray[np.bool_]) -> Group:
    rows = np.array(members, dtype=np.intp)
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
    """The scored rows of each group, right and wrong ones apart."""
    sides = []
    for group in groups:
        for side in (False, True):
            rows = group.rows[scored[group.rows] & (is_correct[group.rows] == side)]
            if len(rows):
                sides.append(Side(group.prompt_id, side, rows, features[rows]))
    return sides


def of_each_prompt(sides: list[Side]) -> list[Side]:
    """The sides of all groups of a prompt as one: what its memory is visited by."""
    found: dict[tuple[PromptId, bool], list[Side]] = {}
    for side in sides:
        found.setdefault((side.prompt_id, side.is_correct), []).append(side)
    return [merged(key[0], key[1], parts) for key, parts in found.items()]


def merged(prompt_id: PromptId, is_correct: bool, sides: list[Side]) -> Side:
    """Several sides as one, under a prompt id."""
    rows = np.concatenate([side.rows for side in sides])
    return Side(prompt_id, is_correct, rows, np.concatenate([side.features for side in sides]))


def answered(side: Side) -> Side:
    """The side without the completions that give no answer."""
    keep = has_answer(side.features)
    return side._replace(rows=side.rows[keep], features=side.features[keep])
