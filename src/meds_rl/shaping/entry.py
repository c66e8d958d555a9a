"""What the memory holds of one prompt."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meds_rl.shaping.checks import PromptId


class EntryKey(NamedTuple):
    """Right and wrong completions of a prompt are kept apart."""

    prompt_id: PromptId
    is_correct: bool


@dataclass(frozen=True, eq=False)
class MemoryEntry:
    """M_x: the remembered completions of one prompt, right or wrong. Arrays are in the order of remembering.

    Attributes:
        vectors: (n, D) float32 fingerprints as given, not normalised.
        labels: (n,) int64 clusters, NOISE (-1) for none. Names change whenever the entry is clustered anew.
        ids: (n,) int64, one number per remembered completion, unique in the whole memory.
        steps: (n,) int64, the memory's `step` at the batch in which each was remembered.
        no_answer_ids: (k,) int64 ids of completions without an answer.
        no_answer_steps: (k,) int64 steps of those.
    """

    vectors: NDArray[np.float32]
    labels: NDArray[np.int64]
    ids: NDArray[np.int64]
    steps: NDArray[np.int64]
    no_answer_ids: NDArray[np.int64]
    no_answer_steps: NDArray[np.int64]

    def __post_init__(self) -> None:
        # Entries are shared with callers; a changed label would change penalties without a trace.
        for array in (
            self.vectors,
            self.labels,
            self.ids,
            self.steps,
            self.no_answer_ids,
            self.no_answer_steps,
        ):
            array.setflags(write=False)

    def __len__(self) -> int:
        """Number of remembered completions, those without an answer included."""
        return len(self.ids) + len(self.no_answer_ids)


def empty_entry(n_features: int) -> MemoryEntry:
    """An entry of no completions."""
    none = np.zeros(0, dtype=np.int64)
    return MemoryEntry(np.zeros((0, n_features), dtype=np.float32), none, none, none, none, none)
