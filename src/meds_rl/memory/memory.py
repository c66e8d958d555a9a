"""The memory of past errors: per prompt, fingerprints and their clusters."""

import copy
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from os import PathLike
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.checks import (
    PromptId,
    check_bool,
    check_features,
    check_half_life,
    check_max_distance,
    check_positive_int,
    check_prompt_id,
    has_answer,
)
from meds_rl.memory import file as storage
from meds_rl.memory.clustering import PAPER_CLUSTERING, Clustering, incremental
from meds_rl.memory.entry import Assigned, EntryKey, MemoryEntry, MemoryState, Visit
from meds_rl.memory.recall import GroupVisit, Kept, RightCompletion, check_visits, visited
from meds_rl.memory.update import Arrival, remembered_visits, updated
from meds_rl.memory.vote import assign, canonical_order


class ErrorMemory:
    """Fingerprints of past completions, stored per prompt and clustered again whenever some are added.

    Several threads may use it: each call is atomic. To make several calls atomic together, hold `lock`, as
    `RewardShaper.shape` does. To count differently, override `assign_batch` and `remember_batch` in a subclass: the
    shaper, `assign` and `remember` call these two.

    Args:
        clustering: groups a prompt's completions: an `IncrementalClustering`, or a plain function from unit vectors
            (n, D) to labels (n,), -1 for noise, called on all of them at every visit. Default: the paper's HDBSCAN.
        capacity: most completions stored of one prompt, right and wrong ones each, those without an answer included.
            The oldest are dropped, and the rest is clustered as if they had never been there. None: no bound, as
            published.
        half_life: in remembered batches: a completion counts 2^(-age / half_life) to |C|. None: each counts 1, as
            published.
        num_threads: threads for the prompts of a batch; by default the number of cores. It changes no result.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value.

    Example:
        >>> memory = ErrorMemory()
        >>> ids = memory.remember("2 + 2", [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
        >>> clusters, sizes = memory.assign("2 + 2", [[1.0, 0.2]])
        >>> sizes.tolist()
        [2]

        Count equal fingerprints instead of clustering near ones:

        >>> counting = ErrorMemory(lambda vectors: np.unique(vectors, axis=0, return_inverse=True)[1].ravel())
        >>> ids = counting.remember("2 + 2", [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> counting.assign("2 + 2", [[1.0, 0.0], [0.0, 1.0]], n_neighbors=1).sizes.tolist()
        [2, 1]
    """

    def __init__(
        self,
        clustering: Clustering = PAPER_CLUSTERING,
        *,
        capacity: int | None = None,
        half_life: float | None = None,
        num_threads: int | None = None,
    ) -> None:
        self._incremental = incremental(clustering)
        self.clustering = clustering
        self.capacity = None if capacity is None else check_positive_int("capacity", capacity)
        self.half_life = check_half_life(half_life)
        self.num_threads = None if num_threads is None else check_positive_int("num_threads", num_threads)
        self._state = MemoryState.empty()
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"ErrorMemory({len(self)} completions of {len(self.prompt_ids)} prompts, after {self.step} batches)"

    def __getstate__(self) -> dict[str, Any]:
        # A lock cannot be copied or pickled: a copy gets a lock of its own.
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock = threading.RLock()

    @property
    def lock(self) -> AbstractContextManager[bool, None]:
        """Hold it to make several calls atomic among threads; the thread that holds it may take it again.

        RuntimeError in a clustering that the memory itself has called: the memory would change twice at once.
        """
        if any(memory is self for memory in _CLUSTERED.get()):
            raise RuntimeError(
                "a clustering may not change the memory that has called it: remember, shape or restore after the call"
            )
        return self._lock

    @property
    def step(self) -> int:
        """Number of batches remembered so far."""
        return self._state.step

    @property
    def n_features(self) -> int | None:
        """D, fixed by the first fingerprint remembered; None before."""
        return self._state.n_features

    @property
    def prompt_ids(self) -> list[PromptId]:
        """The prompts of which anything is remembered, in the order of their first batch."""
        return list(dict.fromkeys(key.prompt_id for key in self._state.entries))

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays; Python's own few hundred bytes a prompt are not counted."""
        state = self._state
        return sum(one.nbytes for part in (state.entries, state.kept) for one in part.values())

    @property
    def kept(self) -> Mapping[PromptId, Kept]:
        """The right completions that `recall_batch` keeps, by prompt."""
        return MappingProxyType(self._state.kept)

    def __len__(self) -> int:
        """Number of remembered completions, those without an answer included."""
        return sum(map(len, self._state.entries.values()))

    def __contains__(self, prompt_id: object) -> bool:
        return any((prompt_id, is_correct) in self._state.entries for is_correct in (False, True))

    def entry(self, prompt_id: PromptId, is_correct: bool = False) -> MemoryEntry | None:
        """What is remembered of a prompt's wrong (or right) completions, or None."""
        return self._state.entry(EntryKey(check_prompt_id(prompt_id), check_bool("is_correct", is_correct)))

    def assign(
        self,
        prompt_id: PromptId,
        features: ArrayLike,
        *,
        is_correct: bool = False,
        n_neighbors: int = 3,
        max_distance: float | None = None,
    ) -> Assigned:
        """Find the remembered cluster of each completion of one prompt, and its size. See `assign_batch`."""
        visit = Visit(prompt_id, features, is_correct)
        return self.assign_batch([visit], n_neighbors=n_neighbors, max_distance=max_distance)[0]

    def assign_batch(
        self, visits: Sequence[Visit], *, n_neighbors: int = 3, max_distance: float | None = None
    ) -> list[Assigned]:
        """Find the remembered cluster of each completion, and its size. Changes nothing.

        Args:
            visits: the completions of one prompt each, all right or all wrong. Right ones are compared with remembered
                right ones, wrong ones with wrong ones.
            n_neighbors: how many nearest members vote (`meds_rl.memory.vote.vote`).
            max_distance: members further away, of unit vectors, do not vote; None for any distance.

        TypeError or ValueError for an argument or a visit of a wrong type, shape or width.
        """
        check_positive_int("n_neighbors", n_neighbors)
        max_distance = check_max_distance(max_distance)
        state = self._state
        lookups = []
        for visit in visits:
            rows = check_features(visit.features, n_features=state.n_features)
            lookups.append((state.entry(visit.key()), rows))
        return _in_threads(
            lambda lookup: assign(*lookup, n_neighbors, max_distance, state.step, self.half_life),
            lookups,
            cost=sum(len(rows) * (0 if entry is None else len(entry.vectors)) for entry, rows in lookups),
            num_threads=self.num_threads,
        )

    def remember(self, prompt_id: PromptId, features: ArrayLike, *, is_correct: bool = False) -> NDArray[np.int64]:
        """Add completions of one prompt as a batch of their own: (m,) ids. See `remember_batch`."""
        return self.remember_batch([Visit(prompt_id, features, is_correct)])[0]

    def remember_batch(self, visits: Sequence[Visit]) -> list[NDArray[np.int64]]:
        """Add a batch, cluster each of its prompts again and count one `step`; on an error nothing changes.

        The order of a visit's rows does not matter: they are stored sorted. The order of the visits does: ids count
        through them. There is at most one visit for a prompt's right and one for its wrong completions.

        Returns for each visit the (m,) int64 ids of its completions, in the order of its rows. Equal rows are
        interchangeable. A completion that does not fit into `capacity` gets an id, too. TypeError or ValueError for a
        visit of a wrong type, shape or width, or a second one of a prompt.
        """
        with self.lock:
            state = self._state
            arrivals: dict[EntryKey, Arrival] = {}
            all_ids: list[NDArray[np.int64]] = []
            next_id, n_features = state.next_id, state.n_features
            for visit in visits:
                key = visit.key()
                if key in arrivals:
                    raise ValueError(f"prompt {key.prompt_id!r} comes twice in one batch")
                rows = check_features(visit.features, n_features=n_features)
                if n_features is None and has_answer(rows).any():
                    n_features = rows.shape[1]
                arrivals[key], ids = _arrival(rows, next_id)
                next_id += len(rows)
                all_ids.append(ids)
            self._state = MemoryState(self._updated(arrivals), state.step + 1, next_id, n_features, state.kept)
            return all_ids

    def _updated(self, arrivals: dict[EntryKey, Arrival]) -> dict[EntryKey, MemoryEntry]:
        """All entries; those that get completions are updated."""
        state = self._state
        keys = [key for key, arrival in arrivals.items() if len(arrival.vectors) or arrival.n_no_answer]
        tasks = [(state.entries.get(key), arrivals[key]) for key in keys]
        clustered = (*_CLUSTERED.get(), self)

        def update(task: tuple[MemoryEntry | None, Arrival]) -> MemoryEntry:
            with _clustering(clustered):
                return updated(*task, state.step, self.capacity, self._incremental)

        entries = _in_threads(
            update,
            tasks,
            cost=sum(len(new.vectors) * len(new.vectors if old is None else old.vectors) for old, new in tasks),
            num_threads=self.num_threads,
        )
        return state.entries | dict(zip(keys, entries, strict=True))

    def recall_batch(self, visits: Sequence[GroupVisit], most: int) -> list[RightCompletion | None]:
        """Keep right completions of prompts that are rarely solved, and recall them; on an error nothing changes.

        Args:
            visits: the groups of a batch, in order. A prompt may have several.
            most: groups in a row that take one in, >= 1.

        Returns for each group the completion that joins it, or None (`meds_rl.memory.recall.visited`).

        Example:
            >>> memory = ErrorMemory()
            >>> found = GroupVisit("2 + 2", group_size=8, n_right=1, whole=(RightCompletion([7, 4, 1], 1.0),))
            >>> none = GroupVisit("2 + 2", group_size=8, n_right=0)
            >>> recalled = memory.recall_batch([none, found, none, none], most=1)
            >>> [one and one.token_ids.tolist() for one in recalled]
            [None, None, [7, 4, 1], None]
        """
        check_positive_int("most", most)
        with self.lock:
            kept, recalled = dict(self._state.kept), []
            for visit in check_visits(visits):
                rest, chosen = visited(kept.pop(visit.prompt_id, None), visit, most)
                if rest is not None:
                    kept[visit.prompt_id] = rest
                recalled.append(chosen)
            self._state = self._state._replace(kept=kept)
            return recalled

    def save(self, path: str | PathLike[str]) -> None:
        """Write the memory to one file: at any moment its path holds the old file or the new one, whole.

        The settings (clustering, capacity, half_life) are not written: pass the same ones to `load`.
        """
        storage.write(path, self._state)

    def restore(self, path: str | PathLike[str], *, n_features: int | None = None) -> None:
        """Become the memory that `save` wrote, equal to the last bit; the settings stay. On an error nothing changes.

        Args:
            path: the file.
            n_features: D of the fingerprints to come, where it is known: a memory of another width is refused.

        FileNotFoundError if there is no such file; MemoryFileError if it is damaged, of another version or width, or no
        memory file.
        """
        state = storage.read(path)
        if n_features is not None and state.n_features not in (None, n_features):
            raise storage.MemoryFileError(
                path,
                f"its fingerprints have {state.n_features} features, those of this run {n_features}: the file is of "
                "another fingerprint or fingerprint_width (which a preset may set), or of another model",
            )
        with self.lock:
            self._state = state

    def rewind(self, step: int) -> None:
        """Become the memory that this one was after its first `step` batches, equal to the last bit.

        The batches are remembered again from what is stored of them. What `capacity` has dropped stays dropped, so a
        memory that had reached its capacity becomes a smaller one. Right completions are not kept. ValueError unless
        `step` is 0 to `self.step`.

        Example:
            >>> memory = ErrorMemory()
            >>> for answers in ([[1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]):
            ...     ids = memory.remember("2 + 2", answers)
            >>> memory.rewind(1)
            >>> memory
            ErrorMemory(1 completions of 1 prompts, after 1 batches)
        """
        if not 0 <= step <= self.step:
            raise ValueError(f"step must be 0 to {self.step}, the batches remembered so far; got {step!r}")
        with self.lock:
            if step == self.step:
                return
            batches = remembered_visits(self._state)
            again = copy.copy(self)
            again._state = MemoryState.empty()
            with _clustering((*_CLUSTERED.get(), self)):
                for number in sorted(number for number in batches if number < step):
                    again._state = again._state._replace(step=number)
                    again.remember_batch(batches[number])
            self._state = again._state._replace(step=step)

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        clustering: Clustering = PAPER_CLUSTERING,
        *,
        n_features: int | None = None,
        **settings: Any,
    ) -> "ErrorMemory":
        """A new memory with these settings and the content that `save` wrote; arguments and errors as `restore`.

        Pass the settings that were in use at `save`. Prompts with more than `capacity` are cut at their next visit.
        """
        memory = cls(clustering, **settings)
        memory.restore(path, n_features=n_features)
        return memory


def _arrival(rows: NDArray[np.float32], first_id: int) -> tuple[Arrival, NDArray[np.int64]]:
    """Checked features (m, D) in the order in which they are stored, and the id of each row (m,)."""
    answered = has_answer(rows)
    order = np.flatnonzero(answered)[canonical_order(rows[answered])]
    ids = np.empty(len(rows), dtype=np.int64)
    ids[np.append(order, np.flatnonzero(~answered))] = np.arange(first_id, first_id + len(rows))
    return Arrival(rows[order], len(rows) - len(order), first_id), ids


# ---- A clustering is a function of the user's. If it changed its memory, one of the two changes would be lost.

_CLUSTERED: ContextVar[tuple[ErrorMemory, ...]] = ContextVar("clustered", default=())
"""The memories that call a clustering in this thread."""


@contextmanager
def _clustering(memories: tuple[ErrorMemory, ...]) -> Iterator[None]:
    token = _CLUSTERED.set(memories)
    try:
        yield
    finally:
        _CLUSTERED.reset(token)


# ---- The prompts of a batch are independent: they are scored and clustered in threads.

Task = TypeVar("Task")
Result = TypeVar("Result")

_WORTH_A_THREAD = 20_000
"""Pairs of a new and a remembered completion: about a millisecond."""


def _in_threads(
    function: Callable[[Task], Result], tasks: Sequence[Task], *, cost: int, num_threads: int | None
) -> list[Result]:
    """`function` of each task, in their order; `cost` counts all their pairs of completions."""
    most = num_threads
    if most is None:  # all cores that this process may use
        most = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    workers = min(most, len(tasks), cost // _WORTH_A_THREAD + 1)
    if workers <= 1:
        return [function(task) for task in tasks]
    chunk = -(-len(tasks) // (4 * workers))
    chunks = [tasks[i : i + chunk] for i in range(0, len(tasks), chunk)]
    with ThreadPoolExecutor(workers, thread_name_prefix="meds-memory") as threads:
        done = threads.map(lambda part: [function(task) for task in part], chunks)
        return [result for part in done for result in part]


# ---- Compiling, once on each machine.

NOTICED_SECONDS = 2.0
"""An engine logs a `compile_kernels` that took longer."""


def compile_kernels() -> float:
    """Compile what memories run on, so that the first training step does not wait for it; returns seconds.

    Ten seconds or more the first time on a machine; later the result is read from disk.
    """
    start = time.perf_counter()
    memory = ErrorMemory()
    points = np.eye(4, dtype=np.float32)
    for _ in range(2):
        memory.assign("", points)
        memory.remember("", points)
    return time.perf_counter() - start
