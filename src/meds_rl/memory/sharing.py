"""Work of a batch, one task a prompt: in threads of this process, and in shares over several processes."""

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Share(Protocol):
    """This process's place among several that hold the same memory and see the same batch.

    Every process must make the same calls in the same order.

    Attributes:
        rank: 0 to size - 1.
        size: number of processes.
    """

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def exchange(self, value: Any) -> list[Any]:
        """Hand a picklable value to all processes; returns theirs, by rank."""
        ...


class Alone:
    """A single process."""

    rank = 0
    size = 1

    def exchange(self, value: Any) -> list[Any]:
        """The value itself."""
        return [value]


ALONE = Alone()


def run(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    costs: Sequence[int],
    share: Share = ALONE,
    num_threads: int | None = None,
) -> list[Result]:
    """`function` of every task, in their order, each done by one of the processes.

    Args:
        function: of one task; it must not change anything. Called in threads.
        tasks: the same in all processes.
        costs: how much work each is, for sharing them out evenly.
        share: the processes.
        num_threads: threads of this process; the number of its cores by default.

    Raises:
        RuntimeError: it failed in another process. In the one where it failed, the function's own error: no process
            is left waiting.
    """
    places = shares(costs, share.size)[share.rank]
    own = [tasks[place] for place in places]
    error: Exception | None = None
    results: list[Result] = []
    try:
        results = _in_threads(function, own, sum(costs[place] for place in places), num_threads)
    except Exception as raised:
        if share.size == 1:
            raise
        error = raised
    every: list[Any] = [None] * len(tasks)
    message = None if error is None else f"{type(error).__name__}: {error}"
    for rank, (done, done_places, failed) in enumerate(share.exchange((results, places, message))):
        if error is not None:
            raise error
        if failed is not None:
            raise RuntimeError(f"process {rank} of {share.size} failed: {failed}")
        for place, result in zip(done_places, done, strict=True):
            every[place] = result
    return every


def shares(costs: Sequence[int], size: int) -> list[list[int]]:
    """The places of the tasks that each of `size` processes does: the largest first, to the one with least to do.

    Example:
        >>> shares([1, 9, 4, 4], 2)
        [[1], [0, 2, 3]]
    """
    if size == 1:
        return [list(range(len(costs)))]
    taken: list[list[int]] = [[] for _ in range(size)]
    load = [0] * size
    for place in sorted(range(len(costs)), key=lambda place: -costs[place]):
        rank = load.index(min(load))
        taken[rank].append(place)
        load[rank] += costs[place]
    return [sorted(places) for places in taken]


_WORTH_A_THREAD = 20_000
"""Pairs of a new and a remembered completion: about a millisecond."""


def _in_threads(
    function: Callable[[Task], Result], tasks: list[Task], cost: int, num_threads: int | None
) -> list[Result]:
    workers = min(
        _num_cores() if num_threads is None else num_threads, len(tasks), cost // _WORTH_A_THREAD + 1
    )
    if workers <= 1:
        return [function(task) for task in tasks]
    with ThreadPoolExecutor(workers, thread_name_prefix="meds-memory") as threads:
        chunk = -(-len(tasks) // (4 * workers))
        chunks = [tasks[i : i + chunk] for i in range(0, len(tasks), chunk)]
        done = threads.map(lambda part: [function(task) for task in part], chunks)
        return [result for part in done for result in part]


def _num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
