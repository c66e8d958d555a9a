import numpy as np
import pytest

from meds_rl import ErrorMemory
from meds_rl.labels import NO_ANSWER, NOISE, UNSEEN
from meds_rl.memory import Visit

NAN = [np.nan, np.nan]
TWO_PAIRS = [[1.0, 0.0], [1.0, 0.01], [0.0, 1.0], [0.01, 1.0]]


def test_a_new_memory_is_empty():
    memory = ErrorMemory()
    assert (len(memory), memory.step, memory.n_features, memory.prompt_ids) == (0, 0, None, [])
    assert "x" not in memory
    assert memory.entry("x") is None


def test_an_unknown_prompt_is_unseen():
    clusters, sizes = ErrorMemory().assign("x", [[1.0, 0.0], NAN])
    assert clusters.tolist() == [UNSEEN, NO_ANSWER]
    assert sizes.tolist() == [0, 0]


def test_sizes_count_the_members_of_the_cluster():
    memory = ErrorMemory()
    memory.remember("x", [*TWO_PAIRS, [0.02, 1.0], NAN, NAN, NAN])
    clusters, sizes = memory.assign("x", [[1.0, 0.005], [0.005, 1.0], NAN])
    assert sizes.tolist() == [2, 3, 3]  # the pair at 0 degrees; the trio at 90; those without an answer
    assert clusters[0] != clusters[1]
    assert clusters[2] == NO_ANSWER


def test_a_vote_for_noise_counts_the_noise():
    memory = ErrorMemory()
    memory.remember("x", [[1.0, 0.0]] * 5)  # a single group: all noise
    clusters, sizes = memory.assign("x", [[1.0, 0.0]])
    assert (clusters.tolist(), sizes.tolist()) == ([NOISE], [5])


def test_assigning_changes_nothing():
    memory = ErrorMemory()
    memory.remember("x", TWO_PAIRS)
    memory.assign("y", TWO_PAIRS)
    memory.assign("x", [NAN])
    assert (len(memory), memory.step, memory.prompt_ids) == (4, 1, ["x"])


def test_prompts_and_sides_are_kept_apart():
    memory = ErrorMemory()
    for prompt_id in (1, "1"):
        memory.remember(prompt_id, [[1.0, 0.0]])
    memory.remember("1", [[0.0, 1.0]] * 2, is_correct=True)
    assert memory.assign(1, [[1.0, 0.0]])[1].tolist() == [1]
    assert memory.assign("1", [[1.0, 0.0]], is_correct=True)[1].tolist() == [2]
    assert memory.assign(1, [[1.0, 0.0]], is_correct=True)[0].tolist() == [UNSEEN]
    assert memory.prompt_ids == [1, "1"]
    assert 1 in memory
    assert "1" in memory
    assert 2 not in memory


def test_numpys_ids_are_pythons():
    memory = ErrorMemory()
    memory.remember(np.int32(7), [[1.0]])
    memory.remember(np.str_("7"), [[1.0]])
    assert [type(prompt_id) for prompt_id in memory.prompt_ids] == [int, str]
    assert 7 in memory
    assert memory.assign(7, [[1.0]])[1].tolist() == [1]


def test_an_entry_tells_what_was_given_and_when():
    memory = ErrorMemory()
    first = memory.remember("x", [[3.0, 4.0], NAN, [1.0, 2.0]])
    second = memory.remember("y", [[5.0, 6.0]])
    third = memory.remember("x", [[7.0, 8.0], NAN])
    entry = memory.entry("x")
    assert entry is not None
    vectors = dict(zip(entry.ids.tolist(), entry.vectors.tolist(), strict=True))
    assert vectors == {first[0]: [3.0, 4.0], first[2]: [1.0, 2.0], third[0]: [7.0, 8.0]}
    assert entry.no_answer_ids.tolist() == [first[1], third[1]]
    assert entry.steps.tolist() == [0, 0, 2]
    assert entry.no_answer_steps.tolist() == [0, 2]
    assert len(entry) == 5
    assert sorted([*first, *second, *third]) == list(range(6))
    assert (len(memory), memory.step, memory.n_features) == (6, 3, 2)
    assert (entry.vectors.dtype, entry.labels.dtype) == (np.float32, np.int64)


def test_an_entry_cannot_be_changed_from_outside():
    memory = ErrorMemory()
    given = np.array([[1.0, 0.0]], dtype=np.float32)
    memory.remember("x", given)
    given[:] = 9.0
    entry = memory.entry("x")
    assert entry is not None
    assert entry.vectors.tolist() == [[1.0, 0.0]]
    with pytest.raises(ValueError, match="read-only"):
        entry.labels[0] = 3


def test_only_a_fingerprint_fixes_the_width():
    memory = ErrorMemory()
    memory.remember("x", [[np.nan]])  # an engine that found no answer may not know D yet
    entry = memory.entry("x")
    assert entry is not None
    assert (memory.n_features, entry.vectors.shape, len(memory)) == (None, (0, 0), 1)
    memory.remember("x", [[1.0, 2.0]])
    memory.remember("y", [NAN])
    other = memory.entry("y")
    assert other is not None
    assert (memory.n_features, other.vectors.shape) == (2, (0, 2))
    for call in (memory.remember, memory.assign):
        with pytest.raises(ValueError, match="must have 2 columns, as wide as those in memory, got 3"):
            call("x", [[1.0, 2.0, 3.0]])


def test_a_batch_is_remembered_whole_or_not_at_all():
    def clustering(vectors):
        if len(vectors) > 2:
            raise RuntimeError("no room")
        return np.zeros(len(vectors), dtype=np.int64)

    memory = ErrorMemory(clustering)
    memory.remember("x", [[1.0], [2.0]])
    for visits, error in (
        ([Visit("y", [[1.0]]), Visit("x", [[3.0]])], RuntimeError),  # clustering fails on the second
        ([Visit("y", [[1.0]]), Visit("z", [[1.0, 2.0]])], ValueError),  # another width
        ([Visit("y", [[1.0]]), Visit("y", [[2.0]])], ValueError),  # one prompt twice
    ):
        with pytest.raises(error):
            memory.remember_batch(visits)
        assert (memory.prompt_ids, len(memory), memory.step) == (["x"], 2, 1)
    assert memory.remember("y", [[1.0]]).tolist() == [2]  # no id was lost either


def test_one_batch_is_one_step_even_if_empty():
    memory = ErrorMemory()
    ids = memory.remember_batch([Visit("a", [[1.0]]), Visit("b", [[1.0], [2.0]], True)])
    assert [len(part) for part in ids] == [1, 2]
    assert memory.remember_batch([]) == []
    assert (memory.step, len(memory)) == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((None, [[1.0]]), TypeError, "a prompt id must be a str or an int, got None"),
        ((True, [[1.0]]), TypeError, "a prompt id must be a str or an int, got True"),
        ((1.0, [[1.0]]), TypeError, "a prompt id must be a str or an int, got 1.0"),
        (("x", [1.0]), ValueError, r"shape \(B, D\), got \(1,\)"),
        (("x", [["1"]]), TypeError, "must be floating-point numbers"),
    ],
)
def test_bad_input(arguments, error, message):
    for call in (ErrorMemory().remember, ErrorMemory().assign):
        with pytest.raises(error, match=message):
            call(*arguments)


def test_neighbors_are_at_least_one():
    with pytest.raises(ValueError, match="n_neighbors must be 1 or more, got 0"):
        ErrorMemory().assign("x", [[1.0]], n_neighbors=0)


def test_minus_zero_is_zero():
    memory = ErrorMemory()
    memory.remember("x", [[-0.0, 1.0]])
    entry = memory.entry("x")
    assert entry is not None
    assert not np.signbit(entry.vectors).any()


@pytest.mark.parametrize("is_correct", ["False", 1, None])
def test_right_or_wrong_is_a_bool(is_correct):
    for call in (ErrorMemory().remember, ErrorMemory().assign):
        with pytest.raises(TypeError, match="is_correct must be True or False"):
            call("x", [[1.0]], is_correct=is_correct)


def test_any_number_of_neighbors_will_do():
    memory = ErrorMemory()
    memory.remember("x", TWO_PAIRS)
    assert memory.assign("x", [[1.0, 0.0]], n_neighbors=2**70).sizes.tolist() == [2]
