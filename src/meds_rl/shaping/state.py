"""Everything that a memory knows."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from meds_rl.shaping.entry import EntryKey, MemoryEntry


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
