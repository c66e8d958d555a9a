"""What the memory holds of one prompt."""

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.checks import PromptId, check_bool, check_prompt_id

ClusterSizes: TypeAlias = NDArray[np.int64] | NDArray[np.float64]
"""|C|: a count, or with a half-life the sum of what each member counts."""


# ---- Which completions an entry holds and since when, run-length encoded.

Runs = NDArray[np.int64]
"""(R, 3): first id, step, count >= 1."""

NO_RUNS: Runs = np.zeros((0, 3), dtype=np.int64)
NO_RUNS.setflags(write=False)


def length(runs: Runs) -> int:
    """Number of completions n."""
    return int(runs[:, 2].sum())


def ids_of(runs: Runs) -> NDArray[np.int64]:
    """(n,) ids."""
    first, count = np.repeat(runs[:, 0], runs[:, 2]), np.repeat(np.cumsum(runs[:, 2]), runs[:, 2])
    return first + np.arange(len(first)) - count + np.repeat(runs[:, 2], runs[:, 2])


def steps_of(runs: Runs) -> NDArray[np.int64]:
    """(n,) the memory's `step` at which each was remembered."""
    return np.repeat(runs[:, 1], runs[:, 2])


def runs_of(ids: NDArray[np.int64], steps: NDArray[np.int64]) -> Runs:
    """The runs of ids and steps, both (n,): the inverse of `ids_of` and `steps_of`.

    Example:
        >>> runs_of(np.array([4, 5, 6, 9]), np.array([1, 1, 2, 2])).tolist()
        [[4, 1, 2], [6, 2, 1], [9, 2, 1]]
    """
    if not len(ids):
        return NO_RUNS
    is_start = np.ones(len(ids), dtype=np.bool_)
    is_start[1:] = (np.diff(ids) != 1) | (np.diff(steps) != 0)
    starts = np.flatnonzero(is_start)
    counts = np.diff(np.append(starts, len(ids)))
    return np.stack([ids[starts], steps[starts], counts], axis=1).astype(np.int64)


def extended(runs: Runs, first_id: int, step: int, count: int) -> Runs:
    """The runs with one more at the end, or as they are for a count of 0."""
    return np.concatenate([runs, [[first_id, step, count]]]) if count else runs


def kept_only(runs: Runs, kept: NDArray[np.bool_]) -> Runs:
    """The runs of the completions that are kept (n,)."""
    return runs if kept.all() else runs_of(ids_of(runs)[kept], steps_of(runs)[kept])


class EntryKey(NamedTuple):
    """Right and wrong completions of a prompt are kept apart."""

    prompt_id: PromptId
    is_correct: bool


@dataclass(frozen=True, eq=False, slots=True)
class MemoryEntry:
    """M_x: the remembered completions of one prompt, right or wrong, in the order of remembering.

    Attributes:
        vectors: (n, D) float32 fingerprints as given, not normalised.
        clusters: (n,) int32 lasting cluster of each, NOISE (-1) for none. A cluster keeps its number across refits, and
            no number is given twice while the entry lasts (`meds_rl.memory.update`).
        tree: what the clustering goes on from at the next visit, int32; opaque. Empty if it keeps nothing.
        runs: (R, 3) ids and steps of the n, run-length encoded (`meds_rl.memory.entry`).
        no_answer_runs: the same of the k completions without an answer.
        next_cluster: the number that the next new cluster gets.
        encoded: (n,) int32 the memory's `step` when each fingerprint was taken, where some were taken anew; else None.
    """

    vectors: NDArray[np.float32]
    clusters: NDArray[np.int32]
    tree: NDArray[np.int32]
    runs: Runs
    no_answer_runs: Runs
    next_cluster: int
    encoded: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        # Entries are shared with callers; a changed label would change penalties without a trace.
        for array in (self.vectors, self.clusters, self.tree, self.runs, self.no_answer_runs, self.encoded):
            if array is not None:
                array.setflags(write=False)

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies and what comes out of a pickle are made like any other entry: their arrays are read-only too.
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    def __len__(self) -> int:
        """Number of remembered completions, those without an answer included."""
        return len(self.vectors) + length(self.no_answer_runs)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) `clusters` as int64."""
        return _read_only(self.clusters.astype(np.int64))

    @property
    def ids(self) -> NDArray[np.int64]:
        """(n,) one number per remembered completion, unique in the whole memory, ascending."""
        return _read_only(ids_of(self.runs))

    @property
    def steps(self) -> NDArray[np.int64]:
        """(n,) the memory's `step` at the batch in which each was remembered."""
        return _read_only(steps_of(self.runs))

    @property
    def encoded_steps(self) -> NDArray[np.int64]:
        """(n,) the memory's `step` when each fingerprint was taken: as `steps`, but later where it was taken anew."""
        return self.steps if self.encoded is None else _read_only(self.encoded.astype(np.int64))

    @property
    def no_answer_ids(self) -> NDArray[np.int64]:
        """(k,) ids of the completions without an answer, ascending."""
        return _read_only(ids_of(self.no_answer_runs))

    @property
    def no_answer_steps(self) -> NDArray[np.int64]:
        """(k,) the memory's `step` at the batch in which each of those was remembered."""
        return _read_only(steps_of(self.no_answer_runs))

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        arrays = (self.vectors, self.clusters, self.tree, self.runs, self.no_answer_runs, self.encoded)
        return sum(array.nbytes for array in arrays if array is not None)


_NO_NUMBERS: NDArray[np.int32] = np.zeros(0, dtype=np.int32)


def empty_entry() -> MemoryEntry:
    """An entry of no completions, of no width."""
    no_vectors = np.zeros((0, 0), dtype=np.float32)
    return MemoryEntry(no_vectors, _NO_NUMBERS, _NO_NUMBERS, NO_RUNS, NO_RUNS, next_cluster=0)


def _read_only(array: NDArray[np.int64]) -> NDArray[np.int64]:
    array.setflags(write=False)
    return array


# ---- Everything that a memory knows.


class MemoryState(NamedTuple):
    """What is saved and comes back. Nothing in it is ever changed in place.

    Attributes:
        entries: by prompt and side, in the order of their first batch.
        step: number of batches remembered.
        next_id: the id that the next completion gets.
        n_features: D, None before the first fingerprint.
    """

    entries: dict[EntryKey, MemoryEntry]
    step: int
    next_id: int
    n_features: int | None

    def entry(self, key: EntryKey) -> MemoryEntry | None:
        """One entry, or None."""
        entry = self.entries.get(key)
        if entry is None or len(entry.vectors) or self.n_features is None:
            return entry
        # Stored before D was known: nothing but completions without an answer.
        return replace(entry, vectors=np.zeros((0, self.n_features), dtype=np.float32))


# ---- What goes into the memory and what comes out of it: completions of one prompt, right or wrong.


class Visit(NamedTuple):
    """The completions of one prompt, all right or all wrong, that one batch adds: features (m, D)."""

    prompt_id: PromptId
    features: ArrayLike
    is_correct: bool = False


class Renewal(NamedTuple):
    """Fingerprints (m, D) taken anew of completions that are remembered under these ids (m,)."""

    prompt_id: PromptId
    ids: ArrayLike
    features: ArrayLike
    is_correct: bool = False


class Assigned(NamedTuple):
    """To which remembered cluster each of m completions belongs, and its size |C|.

    Attributes:
        clusters: (m,) int64 a lasting cluster >= 0, NOISE, NO_ANSWER, or UNSEEN where none is remembered near enough.
        sizes: (m,) members of that cluster in memory, int64: for NOISE all noise points, for NO_ANSWER all completions
            without an answer, for UNSEEN 0. With a `half_life` float64, each member counting by its age.
    """

    clusters: NDArray[np.int64]
    sizes: ClusterSizes


def key_of(visit: Visit | Renewal) -> EntryKey:
    """Which entry it is about.

    Raises:
        TypeError: the prompt id is no str or int, or `is_correct` no bool.
    """
    return EntryKey(check_prompt_id(visit.prompt_id), check_bool("is_correct", visit.is_correct))
