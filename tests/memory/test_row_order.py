"""The order of a batch's rows changes neither the result nor the memory, ties and repeated rows included."""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from meds_rl import ErrorMemory, RewardShaper, ShapedBatch


class Batch(NamedTuple):
    rewards: np.ndarray
    prompt_ids: list[Any]
    features: np.ndarray
    is_correct: np.ndarray


# A coarse grid makes equal vectors, equal directions and equal distances the rule. -0.0 equals 0.0.
COORDINATES = st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0])
VECTORS = st.one_of(st.just([np.nan] * 3), st.lists(COORDINATES, min_size=3, max_size=3))
ROWS = st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from(["a", 1, "1"]), VECTORS, st.booleans())


def batch_of(rows: list[Any]) -> Batch:
    rewards, prompt_ids, features, is_correct = zip(*rows, strict=True)
    return Batch(np.array(rewards), list(prompt_ids), np.array(features), np.array(is_correct))


def shape(shaper: RewardShaper, rows: list[Any]) -> ShapedBatch:
    rewards, prompt_ids, features, is_correct = batch_of(rows)
    return shaper.shape(rewards, prompt_ids=prompt_ids, features=features, is_correct=is_correct)


def remembered_vectors(memory: ErrorMemory, shaped: ShapedBatch) -> list[list[float] | None]:
    """For each row the vector that its memory id leads to."""
    vectors: dict[int, list[float] | None] = {-1: None}
    for prompt_id in memory.prompt_ids:
        for side in (False, True):
            entry = memory.entry(prompt_id, side)
            if entry is not None:
                vectors |= dict(zip(entry.ids.tolist(), entry.vectors.tolist(), strict=True))
                vectors |= dict.fromkeys(entry.no_answer_ids.tolist())
    return [vectors[id_] for id_ in shaped.memory_ids.tolist()]


@settings(max_examples=60)
@given(st.lists(st.lists(ROWS, min_size=1, max_size=14), min_size=1, max_size=5), st.randoms(), st.booleans())
def test_results_and_memory_do_not_depend_on_the_order_of_rows(tmp_path_factory, batches, random, cluster):
    options: dict[str, Any] = {
        "target": "both",
        "all_wrong": "shape",
        "no_answer": "cluster" if cluster else "free",
    }
    one, other = RewardShaper(**options), RewardShaper(**options)
    for rows in batches:
        order = random.sample(range(len(rows)), len(rows))
        shaped, shuffled = shape(one, rows), shape(other, [rows[i] for i in order])
        for name in ("rewards", "penalties", "cluster_sizes", "clusters", "normalize_by_std"):
            assert getattr(shaped, name)[order].tolist() == getattr(shuffled, name).tolist(), name
        assert [shaped.reasons[i] for i in order] == shuffled.reasons
        # Ids of equal rows may change places; what they lead to may not.
        led_to = remembered_vectors(one.memory, shaped)
        assert [led_to[i] for i in order] == remembered_vectors(other.memory, shuffled)
    folder = tmp_path_factory.mktemp("memories")
    one.memory.save(folder / "one")
    other.memory.save(folder / "other")
    assert (folder / "one").read_bytes() == (folder / "other").read_bytes()


def test_equal_rows_fare_alike_in_large_groups():
    # Enough rows and members for a matrix product to take different paths at different places.
    rng = np.random.default_rng(0)
    shaper = RewardShaper(all_wrong="shape")
    directions = rng.normal(size=(7, 30))
    for _ in range(4):
        chosen = rng.integers(7, size=33)
        shaped = shaper.shape(np.zeros(33), prompt_ids=["x"] * 33, features=directions[chosen], is_correct=[False] * 33)
        for direction in range(7):
            assert len(set(shaped.clusters[chosen == direction].tolist())) <= 1
