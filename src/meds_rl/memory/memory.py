"""The memory of past errors: per prompt, fingerprints and their clusters."""

import os
import sys
import threading
import weakref
from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.checks import (
    PromptId,
    check_bool,
    check_choice,
    check_features,
    check_half_life,
    check_ids,
    check_max_distance,
    check_optional_positive_int,
    check_positive_int,
    check_prompt_id,
    check_width,
    has_answer,
)
from meds_rl.memory import file as storage
from meds_rl.memory.clustering import PAPER_CLUSTERING, Clustering, incremental
from meds_rl.memory.entry import Assigned, EntryKey, MemoryEntry, MemoryState, Renewal, Visit, key_of
from meds_rl.memory.sharing import ALONE, Share, run
from meds_rl.memory.update import Change, DropFirst, Visited, plan_batch, refit, renewed
from meds_rl.memory.vote import assign, canonical_order

# ---- A lock that copies, pickles and forks leave open.


class BatchLock:
    """Makes several calls one whole among threads; the thread that holds it may take it again.

    A copy, one out of a pickle, and one in a forked process are new and open: the threads that may have held the
    first are not there.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _LOCKS.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()

    def open_anew(self) -> None:
        """Forget who holds it."""
        self._lock = threading.RLock()


_LOCKS: "weakref.WeakSet[BatchLock]" = weakref.WeakSet()


def _open_all() -> None:
    for lock in list(_LOCKS):
        lock.open_anew()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_open_all)

__all__ = ["Assigned", "ErrorMemory", "MemoryEntry", "Renewal", "Visit"]


class ErrorMemory:
    """Fingerprints of past completions, kept per prompt and clustered anew whenever some are added.

    It may be used from several threads: each call is one whole, and what others see is the memory before or after it.
    (`RewardShaper.shape` makes scoring and remembering one whole.)

    Args:
        clustering: what groups a prompt's completions: an `IncrementalClustering`, or a plain function from unit
            vectors (n, D) to labels (n,), -1 for noise, which starts anew at every visit. Default: HDBSCAN as in the
            paper.
        capacity: most completions kept of one prompt and side (right, wrong), those without an answer included; None
            for no bound, as published. What is left is clustered as if nothing else had ever been there.
        total_capacity: most completions kept over all prompts; None for no bound.
        drop_first: what goes first when a bound is reached. "oldest": what was remembered first. "largest": the oldest
            member of a prompt's largest cluster, and over all prompts first from the one with most completions.
        half_life: a remembered completion counts 2^(-age / half_life) to |C|, age in remembered batches; None for 1
            whatever the age, as published.
        num_threads: threads for the prompts of a batch; by default the number of cores. It changes no result.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value.

    Example:
        >>> memory = ErrorMemory()
        >>> ids = memory.remember("2 + 2", [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
        >>> clusters, sizes = memory.assign("2 + 2", [[1.0, 0.2]])
        >>> sizes.tolist()
        [2]
    """

    def __init__(
        self,
        clustering: Clustering = PAPER_CLUSTERING,
        *,
        capacity: int | None = None,
        total_capacity: int | None = None,
        drop_first: DropFirst = "oldest",
        half_life: float | None = None,
        num_threads: int | None = None,
    ) -> None:
        check_choice("drop_first", drop_first, ("oldest", "largest"))
        self._incremental = incremental(clustering)
        self.clustering = clustering
        self.capacity = check_optional_positive_int("capacity", capacity)
        self.total_capacity = check_optional_positive_int("total_capacity", total_capacity)
        self.drop_first = drop_first
        self.half_life = check_half_life(half_life)
        self.num_threads = check_optional_positive_int("num_threads", num_threads)
        self._state = MemoryState(entries={}, step=0, next_id=0, n_features=None)
        self._lock = BatchLock()

    def __repr__(self) -> str:
        return f"ErrorMemory({len(self)} completions of {len(self.prompt_ids)} prompts, after {self.step} batches)"

    @property
    def lock(self) -> BatchLock:
        """Hold it to make several calls one whole."""
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
        """Bytes of all that is remembered, Python's own few hundred bytes a prompt not counted."""
        return sum(entry.nbytes for entry in self._state.entries.values())

    def __len__(self) -> int:
        """Number of remembered completions, those without an answer included."""
        return sum(map(len, self._state.entries.values()))

    def __contains__(self, prompt_id: object) -> bool:
        return any((prompt_id, side) in self._state.entries for side in (False, True))

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
        """Look up to which remembered cluster each completion belongs, and how big it is. Changes nothing.

        Args:
            prompt_id: The prompt.
            features: (m, D), rows of NaN for no answer.
            is_correct: Whether to look among the right completions instead of the wrong ones.
            n_neighbors: How many nearest members vote (`meds_rl.memory.vote.vote`).
            max_distance: Members further away, of unit vectors, do not vote; None for any distance.

        Raises:
            TypeError, ValueError: The arguments have a wrong type, shape or width.
        """
        visit = Visit(prompt_id, features, is_correct)
        return self.assign_batch([visit], n_neighbors=n_neighbors, max_distance=max_distance)[0]

    def assign_batch(
        self,
        visits: Sequence[Visit],
        *,
        n_neighbors: int = 3,
        max_distance: float | None = None,
        share: Share = ALONE,
    ) -> list[Assigned]:
        """`assign` for many prompts at once, in threads, and in shares over several processes.

        Args:
            visits: One for each prompt and side.
            n_neighbors: How many nearest members vote.
            max_distance: Members further away, of unit vectors, do not vote; None for any distance.
            share: The processes that hold this same memory and make this same call.

        Raises:
            TypeError, ValueError: A visit has a wrong type, shape or width.
        """
        check_positive_int("n_neighbors", n_neighbors)
        max_distance = check_max_distance(max_distance)
        state = self._state
        tasks = []
        for visit in visits:
            rows = check_features(visit.features)
            check_width(rows, state.n_features)
            key = key_of(visit)
            tasks.append((state.entry(key), rows))

        def assigned(task: tuple[MemoryEntry | None, NDArray[np.float32]]) -> Assigned:
            entry, rows = task
            return assign(
                entry, rows, n_neighbors, max_distance=max_distance, now=state.step, half_life=self.half_life
            )

        costs = [len(rows) * (0 if entry is None else len(entry.vectors)) for entry, rows in tasks]
        return run(assigned, tasks, costs=costs, share=share, num_threads=self.num_threads)

    def remember(
        self, prompt_id: PromptId, features: ArrayLike, *, is_correct: bool = False
    ) -> NDArray[np.int64]:
        """Add the completions of one prompt as a batch of their own, then cluster. See `remember_batch`.

        Args:
            prompt_id: The prompt.
            features: (m, D), rows of NaN for no answer.
            is_correct: Whether these are right completions instead of wrong ones.

        Returns:
            (m,) int64 ids of the remembered completions.
        """
        return self.remember_batch([Visit(prompt_id, features, is_correct)])[0]

    def remember_batch(self, visits: Sequence[Visit], *, share: Share = ALONE) -> list[NDArray[np.int64]]:
        """Add a batch, cluster each prompt in it anew and count one `step`; on an error nothing changes.

        The memory afterwards does not depend on the order of a visit's rows: they are stored sorted. It does
        depend on the order of the visits (ids count through them).

        Args:
            visits: One for each prompt and side.
            share: The processes that hold this same memory and make this same call. Each clusters its share of the
                prompts; trees and clusters travel, 8 bytes a remembered completion.

        Returns:
            For each visit the (m,) int64 ids of its completions, in the order of its rows. Rows that are
            equal are interchangeable. A completion that does not fit into `capacity` has an id all the same.

        Raises:
            TypeError, ValueError: A visit has a wrong type, shape or width, or a prompt comes twice.
        """
        with self._lock:
            state = self._state
            arrivals: dict[EntryKey, Visited] = {}
            all_ids: list[NDArray[np.int64]] = []
            next_id, n_features = state.next_id, state.n_features
            for visit in visits:
                key = key_of(visit)
                if key in arrivals:
                    raise ValueError(f"prompt {key.prompt_id!r} comes twice in one batch")
                rows = check_features(visit.features)
                check_width(rows, n_features)
                answered = has_answer(rows)
                if n_features is None and answered.any():
                    n_features = rows.shape[1]
                order = np.flatnonzero(answered)[canonical_order(rows[answered])]
                ids = np.empty(len(rows), dtype=np.int64)
                ids[np.append(order, np.flatnonzero(~answered))] = np.arange(next_id, next_id + len(rows))
                arrivals[key] = Visited(rows[order], len(rows) - len(order), next_id)
                next_id += len(rows)
                all_ids.append(ids)
            changes = plan_batch(state, arrivals, self.capacity, self.total_capacity, self.drop_first)
            entries = self._refitted(state, changes, share)
            self._state = MemoryState(entries, state.step + 1, next_id, n_features)
            return all_ids

    def renew_batch(self, renewals: Sequence[Renewal], *, share: Share = ALONE) -> None:
        """Put fingerprints that were taken anew in the place of old ones and cluster their prompts; not a `step`.

        For a policy that has moved on since a completion was remembered. When and how it was remembered stays. On an
        error nothing changes.

        Args:
            renewals: One for each prompt and side. Ids that are no longer remembered are passed over.
            share: The processes that hold this same memory and make this same call.

        Raises:
            TypeError, ValueError: Features have a wrong type, shape or width, or a row of NaN; an id comes twice, or a
                prompt does.
        """
        with self._lock:
            state = self._state
            changes: dict[EntryKey, Change] = {}
            for renewal in renewals:
                key = key_of(renewal)
                if key in changes:
                    raise ValueError(f"prompt {key.prompt_id!r} comes twice in one batch")
                ids = check_ids(renewal.ids)
                rows = check_features(renewal.features, len(ids))
                check_width(rows, state.n_features)
                if not has_answer(rows).all():
                    raise ValueError(f"a renewed fingerprint of prompt {key.prompt_id!r} is NaN")
                if len(np.unique(ids)) != len(ids):
                    raise ValueError(f"an id of prompt {key.prompt_id!r} comes twice in one renewal")
                entry = state.entries.get(key)
                if entry is not None and len(entry.vectors):
                    changes[key] = renewed(entry, ids, rows, state.step)
            self._state = state._replace(entries=self._refitted(state, changes, share))

    def _refitted(
        self, state: MemoryState, changes: dict[EntryKey, Change], share: Share
    ) -> dict[EntryKey, MemoryEntry]:
        """All entries, the changed ones clustered anew."""
        tasks = list(changes.values())
        clustering = self._incremental
        fits = run(
            lambda change: refit(clustering, change),
            tasks,
            costs=[change.cost for change in tasks],
            share=share,
            num_threads=self.num_threads,
        )
        entries = dict(state.entries)
        for (key, change), fit in zip(changes.items(), fits, strict=True):
            entry = change.entry(fit)
            if len(entry):
                entries[key] = entry
            else:
                entries.pop(key, None)
        return entries

    def save(self, path: str | PathLike[str]) -> None:
        """Write the memory to one file, so that the file is at any moment the old one or the new one, whole.

        Nothing is copied: the file is written prompt by prompt. The settings (clustering, capacity, ...) are not
        written: hand the same ones to `load`.
        """
        storage.write(path, self._state)

    def restore(self, path: str | PathLike[str], *, n_features: int | None = None) -> None:
        """Become the memory that `save` wrote, equal to the last bit; the settings stay. On an error nothing changes.

        Args:
            path: The file. Files of older versions of meds-rl are read too.
            n_features: D of the fingerprints to come, where it is known: a memory of another width is refused.

        Raises:
            MemoryFileError: The file is truncated, corrupted, of a newer version, of another width, or no
                memory file.
            FileNotFoundError: There is no such file.
        """
        state = storage.read(path)
        if n_features is not None and state.n_features not in (None, n_features):
            reason = (
                f"its fingerprints have {state.n_features} features, those of this run {n_features}: of another "
                "fingerprint (which a preset may set), or of another model"
            )
            raise storage.MemoryFileError(path, reason)
        with self._lock:
            self._state = state

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        clustering: Clustering = PAPER_CLUSTERING,
        *,
        n_features: int | None = None,
        **settings: Any,
    ) -> "ErrorMemory":
        """The memory that `save` wrote, equal to the last bit.

        Args:
            path: The file. Files of older versions of meds-rl are read too.
            clustering: As it was when the memory was saved; the file does not say.
            n_features: D of the fingerprints to come, where it is known: a memory of another width is refused.
            **settings: `capacity` and the other settings of the memory; the file does not say them either. Where the
                file exceeds a bound, `capacity` acts at a prompt's next visit, `total_capacity` at the next batch.

        Raises:
            MemoryFileError: The file is truncated, corrupted, of a newer version, of another width, or no
                memory file.
            FileNotFoundError: There is no such file.
        """
        memory = cls(clustering, **settings)
        memory.restore(path, n_features=n_features)
        return memory
