"""Several processes and several threads."""

import copy
import os
import pickle
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from meds_rl import ErrorMemory, RewardShaper
from meds_rl.memory.sharing import run, shares

from .streams import stream


class ThreadShare:
    """Processes played by threads: each waits for the others at every exchange."""

    def __init__(self, rank: int, size: int, barrier: threading.Barrier, board: dict[int, Any]) -> None:
        self.rank, self.size, self._barrier, self._board = rank, size, barrier, board
        self.bytes = 0

    def exchange(self, value: Any) -> list[Any]:
        self._board[self.rank] = pickle.dumps(value)
        self.bytes += len(self._board[self.rank])
        self._barrier.wait(20)
        values = [pickle.loads(self._board[rank]) for rank in range(self.size)]
        self._barrier.wait(20)
        return values


def shape_on(size: int, path, **options: Any) -> tuple[list[list[Any]], list[bytes], list[ThreadShare]]:
    """Shape a stream in `size` processes; each one's results, and its memory's file."""
    barrier, board = threading.Barrier(size), {}
    places = [ThreadShare(rank, size, barrier, board) for rank in range(size)]

    def work(place: ThreadShare) -> tuple[list[Any], bytes]:
        shaper = RewardShaper(
            memory=ErrorMemory(capacity=12, total_capacity=40, half_life=6), target="both", **options
        )
        results = []
        for batch in stream(0, n_batches=12):
            shaped = shaper.shape(batch.rewards, **batch.keywords(), share=place)
            results.append((shaped.rewards.tolist(), shaped.clusters.tolist(), shaped.memory_ids.tolist()))
        shaper.memory.save(path / f"{size}-{place.rank}")
        return results, (path / f"{size}-{place.rank}").read_bytes()

    with ThreadPoolExecutor(size) as threads:
        done = list(threads.map(work, places))
    return [results for results, _ in done], [file for _, file in done], places


@pytest.mark.parametrize("size", [2, 3, 7])  # 7: more than there are prompts, so that some have nothing to do
def test_several_processes_come_to_what_one_comes_to(tmp_path, size):
    (alone,), (file,), _ = shape_on(1, tmp_path)
    results, files, _ = shape_on(size, tmp_path)
    assert all(result == alone for result in results)
    assert all(other == file for other in files)


def test_a_process_that_fails_leaves_none_waiting():
    barrier, board = threading.Barrier(2), {}

    def fails_on_three(task: int) -> int:
        if task == 3:
            raise KeyError("three")
        return task

    def work(rank: int) -> str:
        place = ThreadShare(rank, 2, barrier, board)
        with pytest.raises((KeyError, RuntimeError)) as raised:
            run(fails_on_three, [1, 2, 3], costs=[1, 1, 1], share=place)
        return f"{type(raised.value).__name__}: {raised.value}"

    with ThreadPoolExecutor(2) as threads:
        messages = sorted(threads.map(work, range(2)))
    assert messages == ["KeyError: 'three'", "RuntimeError: process 0 of 2 failed: KeyError: 'three'"]


def test_a_failing_share_changes_no_memory():
    def clustering(_):
        raise RuntimeError("no room")

    barrier, board = threading.Barrier(2), {}

    def work(rank: int) -> int:
        memory = ErrorMemory(clustering)
        with pytest.raises(RuntimeError, match="no room"):
            RewardShaper(memory=memory, all_wrong="shape").shape(
                [0.0],
                prompt_ids=["x"],
                features=[[1.0]],
                is_correct=[False],
                share=ThreadShare(rank, 2, barrier, board),
            )
        return len(memory)

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(work, range(2))) == [0, 0]


@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_shares_are_all_the_work_and_even(size):
    costs = np.random.default_rng(size).integers(1, 100, size=40).tolist()
    taken = shares(costs, size)
    assert sorted(place for places in taken for place in places) == list(range(40))
    loads = [sum(costs[place] for place in places) for places in taken]
    assert max(loads) - min(loads) <= 100


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
        shaped = shaper.shape(
            [0.0] * 5, prompt_ids=["x"] * 5, features=[[1.0, 0.0]] * 5, is_correct=[False] * 5
        )
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


@pytest.mark.skipif(sys.platform == "win32", reason="has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_a_thread_that_it_has_not():
    memory = ErrorMemory()
    memory.remember("x", [[1.0, 0.0]])
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with memory.lock:
            held.set()
            done.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(20)
    child = os.fork()
    if child == 0:
        memory.remember("x", [[0.0, 1.0]])
        os._exit(len(memory))
    done.set()
    thread.join()
    for _ in range(200):
        finished, status = os.waitpid(child, os.WNOHANG)
        if finished:
            break
        time.sleep(0.05)
    else:
        os.kill(child, 9)
    assert finished
    assert os.waitstatus_to_exitcode(status) == 2
