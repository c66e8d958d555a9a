"""What the memory stores of one prompt, and what goes into the memory and comes out of it."""

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.checks import PromptId, check_bool, check_prompt_id
from meds_rl.memory.recall import Kept

ClusterSizes: TypeAlias = NDArray[np.int64] | NDArray[np.float64]
"""|C|: a count (int64), or with a half-life the sum of the members' weights (float64)."""

# ---- Ids and steps, run-length encoded: a batch adds consecutive ids of one step.

Runs: TypeAlias = NDArray[np.int64]
"""(R, 3): first id, step, count >= 1."""

NO_RUNS: Runs = np.zeros((0, 3), dtype=np.int64)
NO_RUNS.setflags(write=False)


def length(runs: Runs) -> int:
    """Number of completions n."""
    return int(runs[:, 2].sum())


def ids_of(runs: Runs) -> NDArray[np.int64]:
    """(n,) ids."""
    counts = runs[:, 2]
    before = np.cumsum(counts) - counts  # completions in earlier runs
    return np.repeat(runs[:, 0] - before, counts) + np.arange(length(runs))


def steps_of(runs: Runs) -> NDArray[np.int64]:
    """(n,) the memory's `step` at which each completion was remembered."""
    return np.repeat(runs[:, 1], runs[:, 2])


def extended(runs: Runs, first_id: int, step: int, count: int) -> Runs:
    """The runs with one more at the end, or unchanged for a count of 0."""
    return np.concatenate([runs, [[first_id, step, count]]]) if count else runs


def without_first(runs: Runs, count: int) -> Runs:
    """The runs without their first `count` completions.

    Example:
        >>> without_first(np.array([[4, 1, 2], [6, 2, 3]]), 3).tolist()
        [[7, 2, 2]]
    """
    if not count:
        return runs
    ends = np.cumsum(runs[:, 2])
    first = int(np.searchsorted(ends, count, side="right"))
    rest = runs[first:].copy()
    if len(rest):
        rest[0, 2] = ends[first] - count
        rest[0, 0] += runs[first, 2] - rest[0, 2]
    return rest


# ---- One prompt, and the whole memory.


class EntryKey(NamedTuple):
    """Right and wrong completions of a prompt are separate entries."""

    prompt_id: PromptId
    is_correct: bool


@dataclass(frozen=True, eq=False, slots=True)
class MemoryEntry:
    """M_x: the remembered completions of one prompt, right or wrong, oldest first.

    Attributes:
        vectors: (n, D) float32 fingerprints as given, not normalised.
        clusters: (n,) int32 lasting cluster of each, NOISE (-1) for none. A cluster keeps its number across refits, and
            no number is used twice while the entry exists (`meds_rl.memory.update.carry_over`).
        tree: int32, from which the clustering continues at the next visit; opaque. Empty if it stores nothing.
        runs: (R, 3) ids and steps of the n fingerprints, as `Runs`.
        no_answer_runs: the same of the k completions without an answer.
        next_cluster: the number of the next new cluster.
    """

    vectors: NDArray[np.float32]
    clusters: NDArray[np.int32]
    tree: NDArray[np.int32]
    runs: Runs
    no_answer_runs: Runs
    next_cluster: int

    def __post_init__(self) -> None:
        # Callers get the entry itself; a cluster changed by mistake would silently change penalties.
        for array in self._arrays():
            array.setflags(write=False)

    def __reduce__(self) -> tuple[Any, ...]:
        # Copying and unpickling call the constructor, so that their arrays are read-only too.
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
        """(n,) the memory's `step` when each completion was remembered."""
        return _read_only(steps_of(self.runs))

    @property
    def no_answer_ids(self) -> NDArray[np.int64]:
        """(k,) ids of the completions without an answer, ascending."""
        return _read_only(ids_of(self.no_answer_runs))

    @property
    def no_answer_steps(self) -> NDArray[np.int64]:
        """(k,) the memory's `step` when each of those was remembered."""
        return _read_only(steps_of(self.no_answer_runs))

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(array.nbytes for array in self._arrays())

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return self.vectors, self.clusters, self.tree, self.runs, self.no_answer_runs


def empty_entry() -> MemoryEntry:
    """An entry without completions and without a width D."""
    vectors, numbers = np.zeros((0, 0), dtype=np.float32), np.zeros(0, dtype=np.int32)
    return MemoryEntry(vectors, clusters=numbers, tree=numbers, runs=NO_RUNS, no_answer_runs=NO_RUNS, next_cluster=0)


def _read_only(array: NDArray[np.int64]) -> NDArray[np.int64]:
    array.setflags(write=False)
    return array


class MemoryState(NamedTuple):
    """Everything that is saved and loaded. Nothing in it is changed in place.

    Attributes:
        entries: one per prompt, right or wrong, in the order of their first batch.
        step: number of batches remembered.
        next_id: the id of the next completion.
        n_features: D, None before the first fingerprint.
        kept: right completions to recall, one item per prompt that has any.
    """

    entries: dict[EntryKey, MemoryEntry]
    step: int
    next_id: int
    n_features: int | None
    kept: dict[PromptId, Kept]

    @classmethod
    def empty(cls) -> "MemoryState":
        """The state before the first batch."""
        return cls(entries={}, step=0, next_id=0, n_features=None, kept={})

    def entry(self, key: EntryKey) -> MemoryEntry | None:
        """One entry, or None."""
        entry = self.entries.get(key)
        if entry is None or len(entry.vectors) or self.n_features is None:
            return entry
        # Stored before D was known: only completions without an answer.
        return replace(entry, vectors=np.zeros((0, self.n_features), dtype=np.float32))


# ---- What goes into the memory and what comes out of it.


class Visit(NamedTuple):
    """Completions of one prompt in one batch, all right or all wrong: features (m, D), a row of NaN for no answer."""

    prompt_id: PromptId
    features: ArrayLike
    is_correct: bool = False

    def key(self) -> EntryKey:
        """The entry to look up or add to; TypeError if the prompt id is no str or int, or `is_correct` no bool."""
        return EntryKey(check_prompt_id(self.prompt_id), check_bool("is_correct", self.is_correct))


class Assigned(NamedTuple):
    """The remembered cluster of each of m completions, and its size |C|.

    Attributes:
        clusters: (m,) int64 a lasting cluster >= 0, NOISE, NO_ANSWER, or UNSEEN where none is remembered near enough.
        sizes: (m,) members of that cluster in memory, int64: for NOISE all noise points, for NO_ANSWER all completions
            without an answer, for UNSEEN 0. With a `half_life` float64, each member weighted by its age.
    """

    clusters: NDArray[np.int64]
    sizes: ClusterSizes
