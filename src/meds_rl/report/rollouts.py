"""Reads a run's rollouts for the report: without their texts, and without the files that are damaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meds_rl.rollouts.folder import RunFolder
from meds_rl.rollouts.metrics import RunFolderError
from meds_rl.rollouts.table import read_batch, rollout_schema

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

MAX_NAMED = 3
"""So many damaged files are named, each with what is wrong."""


@dataclass(frozen=True, eq=False)
class Rollouts:
    """What could be read.

    Attributes:
        table: one row a completion (`COLUMNS`), in the order of training; null answers and the like are None.
        files: each file that was read, with its number of rows.
        note: which files could not be read, and why; empty where all could.
    """

    table: pd.DataFrame
    files: list[tuple[Path, int]]
    note: str


def read_rollouts(folder: RunFolder) -> Rollouts:
    """Read all files of rollouts that can be read."""
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
    for name in ("answer", "strategy", "prompt_id", "reason"):
        values = rollouts[name].astype(object)
        rollouts[name] = values.where(values.notna(), None)
    return Rollouts(rollouts, files, _note(damages, len(files)))


def _note(damages: list[str], num_read: int) -> str:
    if not damages:
        return ""
    more = "" if len(damages) <= MAX_NAMED else f" And {len(damages) - MAX_NAMED:,} more."
    return (
        f"{len(damages):,} of {len(damages) + num_read:,} files of rollouts are left out: "
        f"{' '.join(damages[:MAX_NAMED])}{more}"
    )
