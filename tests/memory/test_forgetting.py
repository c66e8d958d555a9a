"""Bounds and half-lives, with and without fingerprints."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meds_rl import ErrorMemory, RewardShaper
from meds_rl.memory import Visit, hdbscan_labels
from meds_rl.memory.entry import NO_RUNS, extended, ids_of, steps_of, without_first
from meds_rl.memory.vote import unit_vectors

from .streams import stream

NAN = [np.nan, np.nan]


def ids(memory: ErrorMemory, prompt_id: Any) -> list[int]:
    entry = memory.entry(prompt_id)
    return [] if entry is None else sorted([*entry.ids.tolist(), *entry.no_answer_ids.tolist()])


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    noise = (one == -1).tolist() == (other == -1).tolist()
    return noise and len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


def test_the_oldest_go_first():
    memory = ErrorMemory(capacity=3)
    for angle in range(5):
        memory.remember("x", [[1.0, angle]])
        memory.remember("y", [[1.0, angle]])
    assert ids(memory, "x") == [4, 6, 8]
    assert ids(memory, "y") == [5, 7, 9]  # a capacity of each prompt
    assert len(memory) == 6


def test_completions_without_an_answer_take_room_too():
    memory = ErrorMemory(capacity=3)
    memory.remember("x", [[1.0, 0.0], NAN])
    memory.remember("x", [[1.0, 1.0], NAN])
    entry = memory.entry("x")
    assert entry is not None
    assert (entry.ids.tolist(), entry.no_answer_ids.tolist()) == ([2], [1, 3])
    assert memory.assign("x", [NAN]).sizes.tolist() == [2]


def test_a_batch_larger_than_the_capacity():
    memory = ErrorMemory(capacity=2)
    given = memory.remember("x", [[float(i), 1.0] for i in range(5)])
    assert len(set(given.tolist())) == 5
    assert ids(memory, "x") == [3, 4]


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.booleans())
def test_what_is_left_is_clustered_as_if_nothing_else_had_been_there(seed, capacity, ties):
    rng = np.random.default_rng(seed)
    memory = ErrorMemory(capacity=capacity)
    for _ in range(12):
        rows = rng.integers(1, 4, (9, 3)) if ties else rng.normal(size=(9, 3))
        names = rng.choice(5, size=9)
        memory.remember_batch([Visit(int(name), rows[names == name]) for name in np.unique(names)])
        assert len(memory) <= 5 * capacity
        for prompt_id in memory.prompt_ids:
            entry = memory.entry(prompt_id)
            assert entry is not None
            assert len(entry) <= capacity
            assert same_partition(entry.labels, hdbscan_labels(unit_vectors(entry.vectors)))


@pytest.mark.parametrize("bound", [{"capacity": 10**6}, {"half_life": 1e12}])
def test_a_bound_out_of_reach_changes_nothing(bound):
    bounded, free = RewardShaper(memory=ErrorMemory(**bound)), RewardShaper()
    for batch in stream(3):
        one, other = (shaper.shape(batch.rewards, **batch.keywords()) for shaper in (bounded, free))
        np.testing.assert_allclose(one.rewards, other.rewards, rtol=1e-9)
        assert one.clusters.tolist() == other.clusters.tolist()


def test_a_half_life_by_hand():
    memory = ErrorMemory(half_life=2)
    memory.remember("x", [[1.0, 0.0], NAN])  # at step 0
    memory.remember("y", [[1.0, 0.0]])
    memory.remember("x", [[1.0, 0.0]])  # at step 2
    memory.remember("y", [[1.0, 0.0]])
    # Now it is step 4: the first is 4 batches old, a quarter; the other 2, a half. All noise, which counts together.
    clusters, sizes = memory.assign("x", [[1.0, 0.0], NAN])
    assert (clusters.tolist(), sizes.tolist()) == ([-1, -2], [0.75, 0.25])
    assert sizes.dtype == np.float64


def test_an_error_that_the_policy_has_given_up_stops_costing():
    shaper = RewardShaper(memory=ErrorMemory(half_life=3), all_wrong="shape")
    shaper.shape([0.0] * 6, prompt_ids=["x"] * 6, features=[[1.0, 0.0]] * 6, is_correct=[False] * 6)
    for _ in range(29):
        shaper.memory.remember_batch([])  # batches of other prompts
    late = shaper.shape([0.0], prompt_ids=["x"], features=[[1.0, 0.0]], is_correct=[False])
    # 6 members, 30 batches or 10 half-lives old: 6 / 1024.
    assert late.cluster_sizes.tolist() == [6 / 1024]
    assert late.penalties.tolist() == pytest.approx([0.1 * math.log(1 + 6 / 1024)])
    assert "which had 0.00585938" in late.explain(0) or "0.00585938 such" in late.explain(0)


@pytest.mark.parametrize(
    ("settings_", "error", "message"),
    [
        ({"capacity": 0}, ValueError, "capacity must be 1 or more, got 0"),
        ({"capacity": 2.5}, TypeError, "capacity must be an integer, got 2.5"),
        ({"half_life": 0}, ValueError, "half_life must be above 0, or None"),
        ({"half_life": math.inf}, ValueError, "half_life must be finite"),
        ({"half_life": "3"}, TypeError, "half_life must be a number"),
        ({"num_threads": 0}, ValueError, "num_threads must be 1 or more, got 0"),
    ],
)
def test_bad_settings(settings_, error, message):
    with pytest.raises(error, match=message):
        ErrorMemory(**settings_)


def test_a_file_that_exceeds_the_capacity_is_cut_at_the_next_visit(tmp_path):
    memory = ErrorMemory()
    memory.remember("x", np.eye(4))
    memory.save(tmp_path / "memory")
    loaded = ErrorMemory.load(tmp_path / "memory", capacity=2)
    assert len(loaded) == 4
    loaded.remember("x", [[1.0, 1.0, 1.0, 1.0]])
    assert ids(loaded, "x") == [3, 4]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 4)), max_size=20),
    st.integers(0, 60),
)
def test_runs_say_what_the_ids_and_steps_are(gaps, count):
    runs, numbers, steps = NO_RUNS, [], []
    next_id = step = 0
    for gap, later, n in gaps:
        next_id, step = next_id + gap, step + later
        runs = extended(runs, next_id, step, n)
        numbers += range(next_id, next_id + n)
        steps += [step] * n
        next_id += n
    assert ids_of(runs).tolist() == numbers
    assert steps_of(runs).tolist() == steps
    count = min(count, len(numbers))
    assert ids_of(without_first(runs, count)).tolist() == numbers[count:]
    assert steps_of(without_first(runs, count)).tolist() == steps[count:]


def test_an_age_of_endless_half_lives():
    memory = ErrorMemory(half_life=1e-308)
    memory.remember("x", [[1.0, 0.0]])
    memory.remember("y", [[1.0, 0.0]])
    assert memory.assign("x", [[1.0, 0.0]]).sizes.tolist() == [0.0]
