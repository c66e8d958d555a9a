"""Right completions that the memory keeps: which ones, how often they are recalled, and in its file."""

import json

import numpy as np
import pytest

from meds_rl import ErrorMemory, MemoryFileError
from meds_rl.memory import GroupVisit, RightCompletion

from .test_storage import _set, contents, write_with_digest

SIZE = 8


def right(*token_ids: int, reward: float = 1.0) -> RightCompletion:
    return RightCompletion(np.array(token_ids), reward)


def group(n_right: int, *whole: RightCompletion, prompt_id: str | int = "x", size: int = SIZE) -> GroupVisit:
    return GroupVisit(prompt_id, size, n_right, whole)


def recalled(memory: ErrorMemory, *visits: GroupVisit, most: int = 4) -> list[list[int] | None]:
    return [one and one.token_ids.tolist() for one in memory.recall_batch(visits, most)]


def kept(memory: ErrorMemory, prompt_id: str | int = "x") -> list[list[int]]:
    return [one.token_ids.tolist() for one in memory.kept[prompt_id].completions] if prompt_id in memory.kept else []


def test_a_kept_completion_joins_groups_without_a_right_answer_at_most_n_times():
    memory = ErrorMemory()
    assert recalled(memory, group(0), group(1, right(5, 6)), most=2) == [None, None]
    assert recalled(memory, group(0), group(0), group(0), most=2) == [[5, 6], [5, 6], None]
    # A fresh right answer restarts the count, also if it cannot be kept.
    assert recalled(memory, group(1), group(0), group(2), group(0), group(0), group(0), most=2) == [
        None, [5, 6], None, [5, 6], [5, 6], None
    ]  # fmt: skip


def test_two_take_turns_the_newest_first():
    memory = ErrorMemory()
    recalled(memory, group(1, right(1)), group(1, right(2)), group(1, right(3)), group(1, right(2)))
    assert kept(memory) == [[2], [3]]  # the same one is kept once
    assert recalled(memory, group(0), group(0), group(0)) == [[2], [3], [2]]


# Of 8 only one is rare, of 32 four (one in eight); more than half is solved.
@pytest.mark.parametrize(
    ("n_right", "size", "expected"), [(1, 8, [[9], [1]]), (2, 8, [[1]]), (4, 8, [[1]]), (5, 8, [])]
)
def test_only_rare_ones_are_kept_until_the_prompt_is_solved(n_right, size, expected):
    memory = ErrorMemory()
    recalled(memory, group(1, right(1)), group(n_right, right(9), size=size))
    assert kept(memory) == expected


@pytest.mark.parametrize(("n_right", "size", "expected"), [(4, 32, 2), (5, 32, 0), (1, 2, 1), (2, 2, 0)])
def test_what_is_rare_depends_on_the_size_of_the_group(n_right, size, expected):
    memory = ErrorMemory()
    recalled(memory, group(n_right, *(right(i) for i in range(n_right)), size=size))
    assert len(kept(memory)) == expected


def test_each_prompt_has_its_own():
    memory = ErrorMemory()
    recalled(memory, group(1, right(1), prompt_id=1))
    assert recalled(memory, group(0, prompt_id="1"), group(0, prompt_id=1)) == [None, [1]]
    assert list(memory.kept) == [1]


def test_errors_are_counted_as_without():
    memory, plain = ErrorMemory(), ErrorMemory()
    recalled(memory, group(1, right(1)))
    for one in (memory, plain):
        one.remember("x", [[1.0, 0.0]])
    assert (len(memory), memory.prompt_ids, memory.step) == (len(plain), plain.prompt_ids, plain.step)
    assert memory.nbytes == plain.nbytes + 4
    memory.rewind(0)
    assert not memory.kept


@pytest.mark.parametrize(
    ("visit", "error"),
    [
        (group(9), "9 of 8 are right"),
        (group(1.5), "as an integer"),
        (group(1, right(1), right(2)), "2 of those may be kept"),
        (group(1, right()), "T of at least 1"),
        (group(1, right(-1)), "from 0 to"),
        (group(1, right(1, reward=np.inf)), "must be finite"),
        (group(1, RightCompletion(np.array([0.5]), 1.0)), "whole numbers"),
        (group(0, prompt_id=True), "a str or an int"),
    ],
)
def test_what_is_refused_changes_nothing(visit, error):
    memory = ErrorMemory()
    with pytest.raises((TypeError, ValueError), match=error):
        memory.recall_batch([group(1, right(1)), visit], most=1)
    assert not memory.kept


# ---- In the memory's file.


def filled() -> ErrorMemory:
    memory = ErrorMemory()
    memory.remember("x", [[1.0, 0.0]])
    recalled(memory, group(1, right(1, 2, reward=0.5)), group(1, right(3)), group(0))
    recalled(memory, group(1, right(7, 8, 9), prompt_id=-2))
    return memory


def test_it_comes_back_and_goes_on(tmp_path):
    memory = filled()
    memory.save(tmp_path / "a")
    loaded = ErrorMemory.load(tmp_path / "a")
    assert list(loaded.kept) == ["x", -2]
    assert [one.reward for one in loaded.kept["x"].completions] == [1.0, 0.5]
    for one in (memory, loaded):
        assert recalled(one, group(0), group(0), group(0, prompt_id=-2), most=3) == [[1, 2], [3], [7, 8, 9]]
        assert recalled(one, group(0), most=3) == [None]
    memory.save(tmp_path / "a")
    loaded.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("kept_tokens", lambda a: -a), "token_ids must be from 0"),
        (_set("kept_tokens", lambda a: a[1:].copy()), "rows and should have"),
        (_set("kept_tokens", lambda a: a.astype(np.float32)), "whole numbers"),
        (_set("kept_rewards", lambda a: a + np.nan), "must be finite"),
        (_set("kept_rewards", lambda a: a[:1].copy()), "kept_rewards"),
        (_set("kept_sizes", lambda a: -a), "kept_sizes is not"),
        (_set("kept_sizes", lambda a: a[:, [0, 2, 1]].copy()), "a prompt has none"),
        (_set("kept_keys", lambda _: np.frombuffer(b'["x", "x"]', np.uint8)), "1 different prompts for 2"),
        (_set("kept_keys", lambda _: np.frombuffer(b'["x", null]', np.uint8)), "prompt id must be"),
        (lambda _, tensors: tensors.pop("kept_rewards"), "should have a part 'kept_rewards'"),
    ],
)
def test_parts_that_contradict_each_other(tmp_path, change, message):
    filled().save(tmp_path / "memory")
    header, tensors = contents(tmp_path / "memory")
    assert json.loads(tensors["kept_keys"].tobytes()) == ["x", -2]
    change(header, tensors)
    write_with_digest(tmp_path / "memory", header, tensors)
    with pytest.raises(MemoryFileError, match=message):
        ErrorMemory.load(tmp_path / "memory")
