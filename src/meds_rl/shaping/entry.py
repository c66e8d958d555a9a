"""What the memory holds of one prompt."""

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meds_rl.shaping.checks import PromptId
from meds_rl.shaping.history import NO_RUNS, Runs, ids_of, length, steps_of


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
            no number is given twice while the entry lasts (`meds_rl.shaping.identities`).
        tree: what the clustering goes on from at the next visit, int32; opaque. Empty if it keeps nothing.
        runs: (R, 3) ids and steps of the n, run-length encoded (`meds_rl.shaping.history`).
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
