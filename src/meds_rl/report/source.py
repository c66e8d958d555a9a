"""What a report reads of one run: recipe, figures, rollouts without their texts, and the memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meds_rl.report.recipe import Recipe, read_recipe
from meds_rl.runs.folder import RunFolder
from meds_rl.runs.remembered import NOT_FOUND, Remembered, remembered
from meds_rl.shaping.entry import MemoryEntry
from meds_rl.shaping.memory import ErrorMemory

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "step",
    "generation",
    "prompt_id",
    "num_tokens",
    "reward",
    "shaped_reward",
    "advantage",
    "is_correct",
    "answer",
    "strategy",
    "cluster",
    "cluster_size",
    "penalty",
    "reason",
    "memory_id",
)
"""Of the rollouts: all but the texts, which are read for the few completions that are shown."""


@dataclass
class RunData:
    """One run, read.

    Attributes:
        id: its number in the report.
        folder: the run folder.
        recipe: what was run.
        metrics: rows of ``metrics.jsonl``.
        rollouts: one row a completion (`COLUMNS`), in the order of training; null answers and strategies are None.
        memory: what is remembered, joined with the rollouts; None without a memory.
        batches: batches that the memory has remembered.
        notes: what a reader of this run's figures has to know.
    """

    id: int
    folder: RunFolder
    recipe: Recipe
    metrics: list[dict[str, Any]]
    rollouts: pd.DataFrame
    memory: Remembered | None
    batches: int
    notes: list[str] = field(default_factory=list)

    @cached_property
    def num_steps(self) -> int:
        """Optimiser steps done, as far as they left a trace."""
        logged = max((int(row["step"]) for row in self.metrics), default=0)
        sampled = int(self.rollouts["step"].max()) + 1 if len(self.rollouts) else 0
        return max(logged, sampled)

    @cached_property
    def wrong(self) -> NDArray[np.int64]:
        """(n,) rows of the rollouts that are wrong; what no reward function graded is neither wrong nor right."""
        return np.flatnonzero(is_wrong(self.rollouts))

    @cached_property
    def clusters(self) -> NDArray[np.int64] | None:
        """(N,) the lasting cluster in which each rollout is remembered now; `NOT_KEPT` where it is not."""
        if self.memory is None:
            return None
        table = self.memory.table
        found = table[table["row"] != NOT_FOUND]
        clusters = np.full(len(self.rollouts), NOT_KEPT, dtype=np.int64)
        clusters[found["row"].to_numpy()] = found["cluster"].to_numpy()
        return clusters

    def wrong_entries(self) -> list[tuple[int, str, MemoryEntry]]:
        """Number, prompt and entry of each prompt's wrong completions in the memory."""
        if self.memory is None:
            return []
        pairs = zip(self.memory.keys, self.memory.entries, strict=True)
        return [
            (number, str(key.prompt_id), entry)
            for number, (key, entry) in enumerate(pairs)
            if not key.is_correct
        ]


def is_wrong(rollouts: pd.DataFrame) -> NDArray[np.bool_]:
    """(N,) whether each rollout was graded, and as wrong."""
    graded = np.isfinite(rollouts["reward"].to_numpy(dtype=np.float64))
    return np.asarray(graded & ~rollouts["is_correct"].to_numpy(dtype=bool))


NOT_KEPT = -9
"""Not in the memory: right, not scored, forgotten, or sampled after the memory was saved."""


def read_run(path: str | Path, number: int = 0) -> RunData:
    """Read a run folder.

    Raises:
        RunFolderError: the folder is not a run, or of a newer schema.
        MemoryFileError: its memory does not load.
    """
    folder = RunFolder(path)
    rollouts = folder.rollouts(COLUMNS)
    for name in ("answer", "strategy", "prompt_id", "reason"):
        values = rollouts[name].astype(object)
        rollouts[name] = values.where(values.notna(), None)
    found = folder.memory_path()
    memory = None if found is None else ErrorMemory.load(found)
    joined = None if memory is None else remembered(memory, rollouts["memory_id"].to_numpy(dtype=np.int64))
    run = RunData(
        id=number,
        folder=folder,
        recipe=read_recipe(folder.path),
        metrics=folder.metrics(),
        rollouts=rollouts,
        memory=joined,
        batches=0 if memory is None else memory.step,
    )
    run.notes += _notes(run)
    return run


def _notes(run: RunData) -> list[str]:
    notes = []
    if not len(run.rollouts):
        notes.append(
            "This run kept no rollouts (log_rollouts: false, or it has sampled nothing yet): no errors and no map."
        )
    elif run.memory is not None:
        kept = int(run.rollouts["memory_id"].ge(0).sum())
        found = int((run.memory.table["row"] != NOT_FOUND).sum())
        if kept > found:
            notes.append(
                f"{kept - found:,} of {kept:,} completions that were remembered are not in the saved memory: "
                "sampled after it was saved, or forgotten (capacity). They are in no cluster here."
            )
    logs_pass = any(name.startswith("pass/") for row in run.metrics for name in row)
    if run.recipe.fields.get("dynamic_sampling") and not logs_pass:
        notes.append(
            "pass@G is of the groups that training kept, without those that dynamic sampling threw away (all right, or "
            "all wrong); pass@1 is of all where it was logged."
        )
    if run.num_steps and run.recipe.max_steps and run.num_steps < run.recipe.max_steps:
        notes.append(f"{run.num_steps} of {run.recipe.max_steps} steps: stopped, or still running.")
    return notes
