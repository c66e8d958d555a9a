"""Reads one run for the report: recipe, metrics, rollouts without their texts, and the memory.

Damaged files are left out and named in the run's notes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meds_rl.memory.entry import MemoryEntry
from meds_rl.memory.memory import ErrorMemory
from meds_rl.report.outcomes import has_tests
from meds_rl.report.recipe import Recipe, read_recipe
from meds_rl.rollouts.folder import RunFolder
from meds_rl.rollouts.remembered import NOT_FOUND, Remembered, check_listable, remembered
from meds_rl.rollouts.table import RunFolderError, read_batch, read_metrics, rollout_schema

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("step", "generation", "prompt_id", "num_tokens", "reward", "shaped_reward", "advantage", "is_correct"),
    *("answer", "strategy", "cluster", "cluster_size", "penalty", "reason", "memory_id", "group_id", "outcome"),
    "replaced",
)
"""All columns of the rollouts except the texts, which are read later, for the few completions that are shown."""

UNKNOWN_ANSWERS = 0.9
"""From this share of completions, right and wrong, without an answer on, answers are unknown: they are probably marked
in another way, and "no answer" is no error."""

KNOWN_OUTCOMES = 0.5
"""From this share of the wrong completions with an outcome on, outcomes name errors."""

MAX_NAMED = 3
"""Damaged files that the note names."""


def read_rollouts(folder: RunFolder) -> tuple[pd.DataFrame, list[tuple[Path, int]], str]:
    """Read all files of rollouts that can be read.

    Returns:
        One row a completion (`COLUMNS`), in the order of training; null answers and other null texts are None.
        Each file that was read, with its number of rows.
        A note on the files that cannot be read, and why; empty without any.
    """
    import pyarrow as pa

    tables, files, damages = [], [], []
    for _, path in folder.rollout_files():
        try:
            table = read_batch(path, COLUMNS)
        except RunFolderError as error:
            damages.append(str(error))
            continue
        tables.append(table)
        files.append((path, len(table)))
    joined = pa.concat_tables(tables) if tables else rollout_schema(COLUMNS).empty_table()
    rollouts: pd.DataFrame = joined.to_pandas()
    for name in ("answer", "strategy", "prompt_id", "reason", "outcome"):
        values = rollouts[name].astype(object)
        rollouts[name] = values.where(values.notna(), None)
    return rollouts, files, _note(damages, len(files))


def _note(damages: list[str], num_read: int) -> str:
    if not damages:
        return ""
    more = "" if len(damages) <= MAX_NAMED else f" And {len(damages) - MAX_NAMED:,} more."
    return (
        f"{len(damages):,} of {len(damages) + num_read:,} files of rollouts are left out: "
        f"{' '.join(damages[:MAX_NAMED])}{more}"
    )


@dataclass
class RunData:
    """One run, read.

    Attributes:
        id: its number in the report.
        folder: the run folder.
        path: where the run is, for the reader; not the folder if the rollouts are another program's.
        recipe: what was run.
        evaluated: of an evaluation that is compared by the run that it evaluated, the recipe of that run.
        metrics: rows of ``metrics.jsonl``.
        rollouts: one row a completion (`COLUMNS`), in the order of training; null texts are None.
        files: the files of the rollouts, each with its number of rows.
        memory: the memory, joined with the rollouts; None without a memory.
        batches: batches that the memory has remembered.
        notes: remarks for the reader of this run's figures.
    """

    id: int
    folder: RunFolder
    path: Path
    recipe: Recipe
    metrics: list[dict[str, Any]]
    rollouts: pd.DataFrame
    files: list[tuple[Path, int]]
    memory: Remembered | None
    batches: int
    notes: list[str] = field(default_factory=list)
    evaluated: Recipe | None = None

    @property
    def compared_by(self) -> Recipe:
        """The recipe by which it is a variant of others."""
        return self.evaluated or self.recipe

    @cached_property
    def is_evaluation(self) -> bool:
        """Whether the rollouts are those of another program's evaluation, which training did not see."""
        return bool((self.folder.source or {}).get("is_evaluation", False))

    @cached_property
    def num_steps(self) -> int:
        """Optimiser steps done, as far as metrics or rollouts show."""
        logged = max((int(row["step"]) for row in self.metrics), default=0)
        sampled = int(self.rollouts["step"].max()) + 1 if len(self.rollouts) else 0
        return max(logged, sampled)

    @cached_property
    def batch_steps(self) -> NDArray[np.int64]:
        """(b,) steps at which batches were sampled, in order, each once; one batch may serve several steps."""
        return np.unique(self.rollouts["step"].to_numpy(dtype=np.int64))

    @cached_property
    def mostly_asked_once(self) -> bool:
        """Whether most prompts came in one batch only: then their completions show no change over time."""
        return bool((self.rollouts.groupby("prompt_id")["step"].nunique() == 1).mean() > 0.5)

    @cached_property
    def wrong(self) -> NDArray[np.int64]:
        """(n,) rows of the rollouts that were graded as wrong."""
        return np.flatnonzero(is_wrong(self.rollouts))

    @cached_property
    def answers_known(self) -> bool:
        """Whether answers were found, so that a wrong completion without one is an error."""
        return not len(self.rollouts) or bool(self.rollouts["answer"].isna().mean() < UNKNOWN_ANSWERS)

    @cached_property
    def outcomes_known(self) -> bool:
        """Whether outcomes name errors: what the grader reports beside right or wrong, such as failed tests."""
        wrong = self.rollouts["outcome"].iloc[self.wrong]
        return bool(len(wrong)) and bool(wrong.notna().mean() >= KNOWN_OUTCOMES)

    @cached_property
    def has_tests(self) -> bool:
        """Whether the items of outcomes are tests (`meds_rl.report.outcomes`)."""
        return has_tests(self.rollouts["outcome"].dropna().unique())

    @cached_property
    def clusters(self) -> NDArray[np.int64] | None:
        """(N,) the present cluster of each rollout in the memory; `NOT_KEPT` where it is not remembered."""
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
        return [(number, str(key.prompt_id), entry) for number, (key, entry) in enumerate(pairs) if not key.is_correct]


def is_wrong(rollouts: pd.DataFrame) -> NDArray[np.bool_]:
    """(N,) whether each rollout was graded as wrong."""
    graded = np.isfinite(rollouts["reward"].to_numpy(dtype=np.float64))
    return np.asarray(graded & ~rollouts["is_correct"].to_numpy(dtype=bool))


NOT_KEPT = -9
"""Not in the memory: right, not scored, forgotten, or sampled after the memory was saved."""


def read_run(path: str | Path, number: int = 0) -> RunData:
    """Read a run folder.

    Raises:
        RunFolderError: the folder is not a run, or of a newer schema.
    """
    folder = RunFolder(path)
    folder.check()
    source = folder.source
    recipe = read_recipe(folder.path) if source is None else Recipe({"method": source["name"]}, [])
    rollouts, files, rollouts_note = read_rollouts(folder)
    metrics, metrics_note = _metrics(folder)
    memory, memory_note = _memory(folder)
    ids = rollouts["memory_id"].to_numpy(dtype=np.int64)
    run = RunData(
        id=number,
        folder=folder,
        path=folder.path if source is None else Path(source["path"]),
        recipe=recipe,
        metrics=metrics,
        rollouts=rollouts,
        files=files,
        memory=None if memory is None else remembered(memory, ids),
        batches=0 if memory is None else memory.step,
    )
    recipe_note = f"The recipe is unknown: {recipe.damage}." if recipe.damage else ""
    damages = (recipe_note, metrics_note, rollouts_note, memory_note)
    recognised = [] if source is None else source["notes"]
    run.notes += [*recognised, *(note for note in damages if note), *_notes(run)]
    return run


def _metrics(folder: RunFolder) -> tuple[list[dict[str, Any]], str]:
    if not folder.metrics_path.is_file():
        return [], ""
    rows, num_bad = read_metrics(folder.metrics_path)
    return (
        rows,
        f"Lines of {folder.metrics_path} left out, because they have no figures: {num_bad:,}." if num_bad else "",
    )


def _memory(folder: RunFolder) -> tuple[ErrorMemory | None, str]:
    path = folder.memory_path()
    if path is None:
        return None, ""
    try:
        memory = ErrorMemory.load(path)
        check_listable(memory)
        return memory, ""
    except ValueError as error:  # MemoryFileError, or too many completions
        return None, f"The memory is left out: {error}"


def _notes(run: RunData) -> list[str]:
    notes = []
    if not len(run.rollouts) and not run.folder.has_rollouts():
        notes.append(
            "This run kept no rollouts (log_rollouts: false, or it has sampled nothing yet): no errors and no map."
        )
    elif run.memory is not None and len(run.rollouts):
        kept = int(run.rollouts["memory_id"].ge(0).sum())
        found = int((run.memory.table["row"] != NOT_FOUND).sum())
        if kept > found:
            notes.append(
                f"{kept - found:,} of {kept:,} completions that were remembered are not in the saved memory: "
                "sampled after it was saved, or forgotten (capacity). They are in no cluster here."
            )
    if run.folder.source is None and len(run.rollouts) and not run.rollouts["reward"].notna().any():
        notes.append(
            "With --correct-above X the completions with a larger reward are right; the report then leaves out the "
            "metrics and the memory."
        )
    logs_pass = any(name.startswith("pass/") for row in run.metrics for name in row)
    if run.recipe.fields.get("dynamic_sampling") and not logs_pass:
        notes.append(
            f"pass@{run.recipe.group_size or 'G'} is of the groups that training kept, without those that dynamic "
            "sampling threw away (all right, or all wrong); pass@1 is of all where it was logged."
        )
    if run.num_steps and run.recipe.max_steps and run.num_steps < run.recipe.max_steps:
        notes.append(f"{run.num_steps} of {run.recipe.max_steps} steps: stopped, or still running.")
    return notes
