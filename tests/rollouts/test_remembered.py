"""A memory joined with its rollouts."""

import numpy as np
import pytest

from meds_rl import ErrorMemory
from meds_rl.rollouts import remembered as module
from meds_rl.rollouts.remembered import NOT_FOUND, remembered

EYE = np.eye(3, dtype=np.float32)


def filled():
    """p: two wrong with fingerprints and one without; q: one right."""
    memory = ErrorMemory()
    memory.remember("p", [EYE[0], EYE[1], np.full(3, np.nan)])
    memory.remember(7, [EYE[2]], is_correct=True)
    return memory


def test_every_remembered_completion_is_found():
    # The rollouts have the ids 3, 1, 0, 2 in this order, and one that was not remembered.
    joined = remembered(filled(), np.array([3, -1, 1, 0, 2]))
    assert joined.keys == [("p", False), (7, True)]
    assert joined.table["memory_id"].tolist() == [0, 1, 2, 3]
    assert joined.table["row"].tolist() == [3, 2, 4, 0]
    assert joined.table["entry"].tolist() == [0, 0, 0, 1]
    assert joined.table["member"].tolist() == [0, 1, -1, 0]
    assert joined.table["cluster"].tolist() == [-1, -1, -2, -1]
    assert joined.table["memory_step"].tolist() == [0, 0, 0, 1]
    vectors = joined.vectors(joined.table[joined.table["member"] >= 0])
    assert {tuple(row) for row in vectors.tolist()} == {tuple(row) for row in EYE.tolist()}


def test_ids_that_the_rollouts_lack_and_ids_that_come_twice():
    # 1 was sampled anew after a resume: the later row is its; 0 and 3 are nowhere.
    joined = remembered(filled(), np.array([1, 1, 2]))
    assert joined.table["row"].tolist() == [NOT_FOUND, 1, 2, NOT_FOUND]


def test_without_rollouts_and_without_memory():
    assert remembered(filled(), None).table["row"].tolist() == [NOT_FOUND] * 4
    assert remembered(filled(), np.zeros(0, dtype=np.int64)).table["row"].tolist() == [NOT_FOUND] * 4
    empty = remembered(ErrorMemory(), np.array([1]))
    assert len(empty.table) == 0
    assert empty.vectors(empty.table).shape == (0, 0)


def test_a_memory_that_is_too_large_is_not_listed(monkeypatch):
    monkeypatch.setattr(module, "MOST_LISTED", 3)
    with pytest.raises(ValueError, match="the memory has 4 completions; at most 3 can be listed"):
        remembered(filled(), None)
