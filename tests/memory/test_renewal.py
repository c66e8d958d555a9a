"""Fingerprints taken anew take the place of old ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meds_rl import ErrorMemory
from meds_rl.memory import Renewal, hdbscan_labels
from meds_rl.memory.vote import unit_vectors


def on_circle(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_the_vectors_change_and_nothing_else():
    memory = ErrorMemory()
    memory.remember("x", [*on_circle(0, 90, 180), [np.nan, np.nan]])
    memory.remember("x", on_circle(270))
    before = memory.entry("x")
    assert before is not None
    memory.renew_batch([Renewal("x", [4, int(before.ids[1])], on_circle(10, 20))])
    after = memory.entry("x")
    assert after is not None
    expected = before.vectors.copy()
    expected[3], expected[1] = on_circle(10)[0], on_circle(20)[0]
    assert after.vectors.tolist() == expected.tolist()
    assert (after.ids.tolist(), after.steps.tolist()) == (before.ids.tolist(), before.steps.tolist())
    assert after.no_answer_ids.tolist() == before.no_answer_ids.tolist()
    assert before.encoded_steps.tolist() == [0, 0, 0, 1]
    assert after.encoded_steps.tolist() == [0, 2, 0, 2]  # taken after two batches
    assert memory.step == 2  # a renewal is no batch


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_clusters_are_those_of_the_new_vectors(seed, share):
    rng = np.random.default_rng(seed)
    memory = ErrorMemory()
    for _ in range(3):
        memory.remember("x", rng.normal(size=(12, 3)))
        entry = memory.entry("x")
        assert entry is not None
        chosen = rng.permutation(entry.ids[rng.random(len(entry.ids)) < share])
        memory.renew_batch([Renewal("x", chosen, rng.normal(size=(len(chosen), 3)))])
        entry = memory.entry("x")
        assert entry is not None
        expected = hdbscan_labels(unit_vectors(entry.vectors))
        pairs = set(zip(entry.labels.tolist(), expected.tolist(), strict=True))
        assert len(pairs) == len(set(entry.labels.tolist())) == len(set(expected.tolist()))


def test_a_cluster_keeps_its_number_when_its_members_are_renewed():
    memory = ErrorMemory()
    memory.remember("x", on_circle(0, 1, 90, 91))
    entry = memory.entry("x")
    assert entry is not None
    moved = dict(zip(entry.ids.tolist(), entry.vectors @ np.array([[0, 1], [-1, 0]]), strict=True))
    memory.renew_batch([Renewal("x", list(moved), np.array(list(moved.values()), dtype=np.float32))])
    renewed = memory.entry("x")
    assert renewed is not None
    assert renewed.labels.tolist() == entry.labels.tolist()


def test_ids_that_are_gone_are_passed_over():
    memory = ErrorMemory(capacity=2)
    memory.remember("x", on_circle(0, 50, 100))
    before = memory.entry("x")
    assert before is not None
    memory.renew_batch([Renewal("x", [0, 77], on_circle(1, 2)), Renewal("nobody", [3], on_circle(3))])
    after = memory.entry("x")
    assert after is not None
    assert after.vectors.tolist() == before.vectors.tolist()
    assert after.encoded_steps.tolist() == before.encoded_steps.tolist()


@pytest.mark.parametrize(
    ("renewals", "message"),
    [
        ([Renewal("x", [0], [[np.nan, np.nan]])], "is NaN"),
        ([Renewal("x", [0], [[1.0, 2.0, 3.0]])], "must have 2 columns"),
        ([Renewal("x", [0, 1], [[1.0, 2.0]])], "one row per reward, 2, got 1"),
        ([Renewal("x", [0, 0], [[1.0, 2.0]] * 2)], "comes twice in one renewal"),
        ([Renewal("x", [0], [[1.0, 2.0]]), Renewal("x", [1], [[1.0, 2.0]])], "comes twice in one batch"),
    ],
)
def test_bad_renewals_change_nothing(renewals, message):
    memory = ErrorMemory()
    memory.remember("x", on_circle(0, 90))
    before = memory.entry("x")
    with pytest.raises(ValueError, match=message):
        memory.renew_batch(renewals)
    assert memory.entry("x") is before


def test_it_comes_back_from_a_file(tmp_path):
    memory = ErrorMemory()
    for name in ("x", "y"):
        memory.remember(name, on_circle(0, 90))
    memory.renew_batch([Renewal("y", [3], on_circle(45))])
    memory.save(tmp_path / "memory")
    loaded = ErrorMemory.load(tmp_path / "memory")
    for name in ("x", "y"):
        one, other = memory.entry(name), loaded.entry(name)
        assert one is not None
        assert other is not None
        assert one.encoded_steps.tolist() == other.encoded_steps.tolist()
    loaded.save(tmp_path / "again")
    assert (tmp_path / "memory").read_bytes() == (tmp_path / "again").read_bytes()


def test_a_prompt_that_came_back_without_answers_is_passed_over():
    memory = ErrorMemory(total_capacity=1)
    memory.remember("x", on_circle(0))
    memory.remember("x", [[np.nan, np.nan]])  # drops the first
    memory.renew_batch([Renewal("x", [0], on_circle(1))])
    entry = memory.entry("x")
    assert entry is not None
    assert (len(entry.vectors), entry.no_answer_ids.tolist()) == (0, [1])


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([0.9], TypeError, "ids must be integers"),
        ([True], TypeError, "ids must be integers"),
        (0, ValueError, "shape"),
    ],
)
def test_ids_are_integers(ids, error, message):
    memory = ErrorMemory()
    memory.remember("x", on_circle(0, 90))
    with pytest.raises(error, match=message):
        memory.renew_batch([Renewal("x", ids, on_circle(1))])
