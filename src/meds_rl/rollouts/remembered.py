"""Joins a memory with the rollouts: finds the completion of the run that each remembered fingerprint is from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from meds_rl.labels import NO_ANSWER
from meds_rl.memory.entry import EntryKey, MemoryEntry
from meds_rl.memory.memory import ErrorMemory

if TYPE_CHECKING:
    import pandas as pd

NOT_FOUND = -1
MOST_LISTED = 2**24
"""Most completions of a memory that are listed: they take 3 GB then."""


@dataclass(frozen=True, eq=False)
class Remembered:
    """The content of a memory, prompt by prompt.

    Attributes:
        keys: of each of E entries the prompt, and whether it is for right or wrong completions.
        entries: E entries.
        table: one row a remembered completion, those of an entry together: ``entry`` (its number), ``member`` (its
            place among the entry's fingerprints; -1 without an answer), ``memory_id``, ``cluster`` (its present
            cluster, NOISE or NO_ANSWER), ``memory_step`` and ``row`` (its place among the rollouts; -1 where they
            do not have it).
    """

    keys: list[EntryKey]
    entries: list[MemoryEntry]
    table: pd.DataFrame

    def vectors(self, rows: pd.DataFrame) -> NDArray[np.float32]:
        """(n, D) fingerprints of rows of ``table`` that have one."""
        pairs = zip(rows["entry"].tolist(), rows["member"].tolist(), strict=True)
        found = [self.entries[entry].vectors[member] for entry, member in pairs]
        return np.stack(found) if found else np.zeros((0, 0), dtype=np.float32)


def remembered(memory: ErrorMemory, memory_ids: NDArray[np.int64] | None) -> Remembered:
    """Look up every remembered completion among the rollouts.

    Args:
        memory: The memory.
        memory_ids: (N,) column ``memory_id`` of the rollouts; None where there are none. Of an id that
            occurs twice (a batch sampled again after a resume), the later one counts.

    Raises:
        ValueError: as `check_listable`.
    """
    import pandas as pd

    check_listable(memory)

    pairs = [
        (EntryKey(prompt_id, is_correct), entry)
        for prompt_id in memory.prompt_ids
        for is_correct in (False, True)
        if (entry := memory.entry(prompt_id, is_correct)) is not None
    ]
    parts = [_columns(number, entry) for number, (_, entry) in enumerate(pairs)]
    names = ("entry", "member", "memory_id", "cluster", "memory_step")
    table = pd.DataFrame(
        {
            name: np.concatenate([part[place] for part in parts]) if parts else np.zeros(0, dtype=np.int64)
            for place, name in enumerate(names)
        }
    )
    table["row"] = _rows_of(table["memory_id"].to_numpy(), memory_ids)
    return Remembered([key for key, _ in pairs], [entry for _, entry in pairs], table)


def check_listable(memory: ErrorMemory) -> None:
    """Raise a ValueError if the memory has more than `MOST_LISTED` completions.

    Those without an answer are stored as counts, so that a small file can name very many.
    """
    if len(memory) > MOST_LISTED:
        raise ValueError(f"the memory has {len(memory):,} completions; at most {MOST_LISTED:,} can be listed")


def _columns(number: int, entry: MemoryEntry) -> tuple[NDArray[np.int64], ...]:
    n, k = len(entry.vectors), len(entry.no_answer_ids)
    return (
        np.full(n + k, number, dtype=np.int64),
        np.concatenate([np.arange(n), np.full(k, -1)]),
        np.concatenate([entry.ids, entry.no_answer_ids]),
        np.concatenate([entry.labels, np.full(k, NO_ANSWER, dtype=np.int64)]),
        np.concatenate([entry.steps, entry.no_answer_steps]),
    )


def _rows_of(wanted: NDArray[np.int64], memory_ids: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """The last place of each wanted id in ``memory_ids``; -1 where it has none."""
    if memory_ids is None or not len(memory_ids):
        return np.full(len(wanted), NOT_FOUND, dtype=np.int64)
    order = np.argsort(memory_ids, kind="stable")
    places = np.searchsorted(memory_ids[order], wanted, side="right") - 1
    rows = order[np.maximum(places, 0)]
    return np.where((places >= 0) & (memory_ids[rows] == wanted), rows, NOT_FOUND).astype(np.int64)
