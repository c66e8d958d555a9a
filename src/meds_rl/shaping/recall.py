"""Recall: a remembered right completion joins a group that has none, in place of its most repeated error.

A group without a right answer teaches at most what to avoid. The recalled completion replaces the wrong one with the
largest |C| (the first of equal ones; all are 0 if the shaper skips such groups) and counts as right. Its advantage is
multiplied by `WEIGHT`, as the current policy did not sample it. `meds_rl.memory.recall` decides which completions are
kept, and how often one is recalled.

The old log-probability of a recalled row is the current policy's, so its ratio starts at 1. With that of the policy
that sampled it, the ratio would be near 0 if the completion has become much less likely since.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from meds_rl.checks import PromptId
from meds_rl.memory.memory import ErrorMemory
from meds_rl.memory.recall import GroupVisit, RightCompletion, is_rare
from meds_rl.shaping.shaper import Group

WEIGHT = 0.5
"""Weight of a recalled completion's advantage."""


def rows_to_keep(groups: Sequence[Group], is_correct: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(B,) bool: the right rows of groups in which right answers are rare."""
    keep = np.zeros(len(is_correct), dtype=np.bool_)
    for group in groups:
        if is_rare(int(is_correct[group.rows].sum()), len(group.rows)):
            keep[group.rows] = is_correct[group.rows]
    return keep


def recall(
    memory: ErrorMemory,
    most: int,
    groups: Sequence[Group],
    is_correct: NDArray[np.bool_],
    cluster_sizes: NDArray[np.float64],
    whole: Mapping[int, RightCompletion],
) -> dict[int, RightCompletion]:
    """Keep a batch's rare right completions in the memory, and recall those of earlier groups.

    Args:
        memory: what it keeps changes.
        most: the largest number of groups of a prompt in a row that take one in, >= 1.
        groups: the batch's groups, in order.
        is_correct: (B,) bool.
        cluster_sizes: (B,) |C| of each completion.
        whole: row -> completion, of those of `rows_to_keep` that were not cut off.

    Returns:
        Row that is replaced -> the completion that replaces it.
    """
    visits = []
    for group in groups:
        found = tuple(whole[row] for row in group.rows.tolist() if row in whole)
        visits.append(GroupVisit(group.prompt_id, len(group.rows), int(is_correct[group.rows].sum()), found))
    recalled = memory.recall_batch(visits, most)
    return {
        int(group.rows[np.argmax(cluster_sizes[group.rows])]): one
        for group, one in zip(groups, recalled, strict=True)
        if one is not None
    }


def can_recall(memory: ErrorMemory, most: int) -> set[PromptId]:
    """The prompts whose next group takes one in if it has no right answer."""
    return {prompt_id for prompt_id, kept in memory.kept.items() if kept.recalls < most}
