"""Which completion a recalled one replaces, and which right ones the memory is offered."""

import numpy as np
import pytest

from meds_rl import ErrorMemory
from meds_rl.memory import RightCompletion
from meds_rl.shaping.recall import can_recall, recall, rows_to_keep
from meds_rl.shaping.shaper import groups_of

IDS = ["a"] * 4 + ["b"] * 4


def batch(is_correct):
    right = np.array(is_correct, dtype=bool)
    return groups_of(IDS, [0] * 4 + [1] * 4, right), right


def one(*token_ids: int) -> RightCompletion:
    return RightCompletion(np.array(token_ids), 1.0)


@pytest.mark.parametrize(
    ("sizes", "row"),
    [([0, 1, 5, 2], 2), ([3, 3, 1, 3], 0), ([0, 0, 0, 0], 0), ([0.5, 0.25, 0.5, 0.75], 3)],
    ids=["the most repeated", "the first of equal ones", "nothing seen", "weighted by age"],
)
def test_the_row_that_makes_way(sizes, row):
    memory = ErrorMemory()
    found = [0, 0, 0, 0, 0, 1, 0, 0]
    assert recall(memory, 4, *batch(found), np.zeros(8), {5: one(7)}) == {}
    # Group b comes first in this batch, so that its rows are 0 to 3; a has nothing to recall.
    groups = groups_of(["b"] * 4 + ["a"] * 4, [0] * 4 + [1] * 4, np.zeros(8, dtype=bool))
    recalled = recall(memory, 4, groups, np.zeros(8, dtype=bool), np.array([*sizes, 9, 9, 9, 9], dtype=float), {})
    assert {place: got.token_ids.tolist() for place, got in recalled.items()} == {row: [7]}


def test_right_rows_are_offered_where_they_are_rare():
    groups, right = batch([1, 0, 1, 0, 0, 0, 0, 1])
    assert rows_to_keep(groups, right).tolist() == [False] * 7 + [True]


def test_a_cut_off_completion_restarts_the_count_and_is_not_kept():
    memory = ErrorMemory()
    recall(memory, 1, *batch([1, 0, 0, 0, 0, 0, 0, 1]), np.zeros(8), {0: one(5)})
    assert list(memory.kept) == ["a"]
    assert recall(memory, 1, *batch([0] * 8), np.zeros(8), {}).keys() == {0}
    assert can_recall(memory, 1) == set()
    recall(memory, 1, *batch([1] + [0] * 7), np.zeros(8), {})
    assert can_recall(memory, 1) == {"a"}
