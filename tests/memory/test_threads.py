"""Several threads, and copies of a memory."""

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from meds_rl import ErrorMemory, RewardShaper


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_results_do_not_depend_on_the_number_of_threads(num_threads):
    rng = np.random.default_rng(0)
    memory, other = ErrorMemory(num_threads=num_threads), ErrorMemory(num_threads=1)
    for _ in range(2):
        features = rng.normal(size=(60, 40, 5))
        for one in (memory, other):
            RewardShaper(memory=one, all_wrong="shape").shape(
                np.zeros(2400),
                prompt_ids=np.repeat(np.arange(60), 40),
                features=features.reshape(-1, 5),
                is_correct=np.zeros(2400, bool),
            )
    for prompt_id in range(60):
        one_entry, other_entry = memory.entry(prompt_id), other.entry(prompt_id)
        assert one_entry is not None
        assert other_entry is not None
        assert one_entry.labels.tolist() == other_entry.labels.tolist()


def test_batches_shaped_from_several_threads_are_each_one_whole():
    # Twelve batches of one error each: whatever their order, the k-th finds 5 (k - 1) completions remembered.
    shaper = RewardShaper(all_wrong="shape")
    seen: list[list[int]] = []

    def work(_: int) -> None:
        shaped = shaper.shape([0.0] * 5, prompt_ids=["x"] * 5, features=[[1.0, 0.0]] * 5, is_correct=[False] * 5)
        seen.append(shaped.cluster_sizes.tolist())

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(12)))
    assert sorted(seen) == [[5 * k] * 5 for k in range(12)]
    assert (len(shaper.memory), shaper.memory.step) == (60, 12)
    entry = shaper.memory.entry("x")
    assert entry is not None
    assert entry.ids.tolist() == list(range(60))


def test_saving_while_others_shape_writes_a_memory_between_two_batches(tmp_path):
    shaper = RewardShaper(all_wrong="shape")
    rng = np.random.default_rng(0)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            shaper.shape(
                np.zeros(40),
                prompt_ids=np.repeat(np.arange(8), 5),
                features=rng.normal(size=(40, 4)),
                is_correct=np.zeros(40, bool),
            )

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(15):
            shaper.memory.save(tmp_path / "memory")
            loaded = ErrorMemory.load(tmp_path / "memory")
            assert len(loaded) == 40 * loaded.step
    finally:
        stop.set()
        thread.join()


def test_a_memory_can_be_copied_and_pickled():
    memory = ErrorMemory(capacity=5)
    memory.remember("x", [[1.0, 0.0], [0.0, 1.0]])
    for other in (copy.deepcopy(memory), pickle.loads(pickle.dumps(memory))):
        other.remember("x", [[1.0, 1.0]])
        assert (len(memory), len(other), other.capacity) == (2, 3, 5)


def test_what_comes_out_of_a_copy_cannot_be_changed_from_outside_either():
    memory = ErrorMemory()
    memory.remember("x", [[1.0, 0.0], [0.0, 1.0]])
    for other in (copy.deepcopy(memory), pickle.loads(pickle.dumps(memory))):
        entry = other.entry("x")
        assert entry is not None
        for array in (entry.vectors, entry.clusters, entry.tree, entry.runs):
            assert not array.flags.writeable
