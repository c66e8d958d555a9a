"""The two tables of training: rollouts (one parquet file a generation batch) and metrics (``metrics.jsonl``)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 2

ROLLOUT_COLUMNS: dict[str, tuple[str, str]] = {
    "step": ("int64", "optimiser steps done when the completion was sampled"),
    "generation": ("int64", "number of the generation batch, from 0"),
    "prompt_id": ("string", "content hash of the prompt; integers are written as text"),
    "prompt": ("string", "the prompt; chat messages as JSON"),
    "completion": ("string", "the completion as text; of chat messages the contents, joined"),
    "num_tokens": ("int64", "length of the completion in tokens; null where it is not known"),
    "reward": ("float64", "the raw reward r: all reward functions, weighted"),
    "shaped_reward": ("float64", "the shaped reward r_s; equal to `reward` without a memory"),
    "advantage": (
        "float64",
        "what the update was weighted with, before token-level terms; where it was replaced, that of the recalled one",
    ),
    "is_correct": ("bool", "whether it is right; null where no function says right or wrong, and read as not graded"),
    "answer": ("string", "text of the final answer; null where there is none"),
    "strategy": ("string", "the strategy that was followed, where the task can tell; else null"),
    "cluster": ("int64", "label in the memory before this batch; -1 noise, -2 no answer, -3 unseen, -4 not scored"),
    "cluster_size": (
        "float64",
        "|C|: members of that cluster before this batch; with a half-life each counts by its age",
    ),
    "penalty": ("float64", "min(alpha ln(|C| + 1), beta), 0 where not scored"),
    "reason": ("string", "why the penalty is what it is"),
    "memory_id": ("int64", "identity of the remembered completion; -1 where it was not remembered"),
    "in_loss": ("bool", "false for rows that only fill up a batch of dynamic sampling"),
    "group_id": ("string", "which completions were compared with each other; null: those of one prompt in one batch"),
    "outcome": ("string", "what the grader reports beside right or wrong, such as ok, IndexError, got 5; else null"),
    "replaced": ("bool", "true where a recalled right completion took its place in the update; null without recall"),
}
"""One row is one completion that training saw. Name -> (Arrow type, meaning)."""

OPTIONAL = ("group_id", "outcome", "replaced")
"""Columns that a writer may leave out, and that are null then."""

NEVER_NULL = ("step", "generation", "prompt_id", "cluster", "memory_id")
"""Columns in which a null means that the file is damaged. Nulls in the other number columns are read as NaN."""

MAX_STEP = 2**53
"""No run is longer; a larger number means that the file is damaged."""

MOST_UNPACKED, LEAST_UNPACKED, BATCH_ROWS = 1000, 16_000_000, 8192
"""A file may unpack to so many times its size, or to so many bytes; rows that are unpacked at once."""

_NUMBER = re.compile(r"[0-9]+")  # str.isdigit accepts digits that int does not


class RunFolderError(ValueError):
    """A folder is not a run, is of a newer schema, or has a file that cannot be read; the message names it."""


def rollout_schema(columns: Sequence[str] | None = None) -> pa.Schema:
    """The Arrow schema of the rollouts, or of some of their columns, with each column's meaning in its metadata."""
    import pyarrow as pa

    names = ROLLOUT_COLUMNS if columns is None else columns
    fields = [(name, *ROLLOUT_COLUMNS[name]) for name in names]
    return pa.schema(
        [pa.field(name, pa.type_for_alias(kind), metadata={"meaning": text}) for name, kind, text in fields],
        metadata={"meds_rl_schema_version": str(SCHEMA_VERSION)},
    )


def numbered(folder: Path, name: str) -> Iterator[tuple[int, Path]]:
    """Files ``NAME-N.parquet`` of a folder, each with its N, in the order of N."""
    names = ((path.stem.removeprefix(f"{name}-"), path) for path in folder.glob(f"{name}-*.parquet"))
    yield from sorted((int(number), path) for number, path in names if _NUMBER.fullmatch(number))


def read_batch(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a file of rollouts of this version or of an older one.

    Args:
        path: The file.
        columns: Only these, which saves reading the texts; all by default.

    Raises:
        RunFolderError: it is damaged, or a column is missing, of another type, or null where it must not be.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = rollout_schema(columns)
    if path.exists() and not path.is_file():  # a FIFO would wait for ever
        raise RunFolderError(f"{path} cannot be read as rollouts: it is no regular file.")
    try:
        # ParquetFile, because read_table looks for data sets, which takes ten times as long for a small file. An open
        # file, because Arrow parses a path as an address, and not every folder name is a valid one.
        with path.open("rb") as opened, pq.ParquetFile(opened) as file:
            names = file.schema_arrow.names
            again = [name for name in schema.names if names.count(name) > 1]
            if again:
                raise RunFolderError(f"{path} has the column {again[0]!r} twice.")
            missing = [name for name in schema.names if name not in names]
            needed = [name for name in missing if name not in OPTIONAL]
            if needed:
                raise RunFolderError(f"{path} has no column {', '.join(needed)}.")
            table = read_whole(file, [name for name in schema.names if name not in missing], most_bytes(path))
            for name in missing:
                table = table.append_column(name, pa.nulls(len(table), schema.field(name).type))
            # A run that an older version began and this one resumed has files of both.
            table = table.select(schema.names).cast(schema)
        table.validate(full=True)  # finds texts that are not UTF-8
    except (pa.ArrowException, OSError) as error:
        raise RunFolderError(f"{path} cannot be read as rollouts: {error}") from None
    _check(table, path)
    return _without_unknown(table)


def most_bytes(path: Path) -> int:
    """What a file may unpack to: some kilobytes can stand for gigabytes."""
    return max(LEAST_UNPACKED, MOST_UNPACKED * path.stat().st_size)


def unpacked_size(batch: pa.RecordBatch) -> int:
    """Bytes of a batch; of texts that are stored once for many rows, those of every row."""
    return sum(map(_size_of_column, batch.columns))


def _size_of_column(column: Any) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    if pa.types.is_dictionary(column.type) and any(kind(column.type.value_type) for kind in kinds):
        lengths = pc.binary_length(column.dictionary).cast("int64")
        return int(pc.sum(lengths.take(column.indices)).as_py() or 0)
    return int(column.nbytes)


def read_whole(file: Any, columns: Sequence[str], most: int) -> pa.Table:
    """Columns of an open parquet file; an OSError if they unpack to more than `most` bytes."""
    import pyarrow as pa

    batches, size = [], 0
    for batch in file.iter_batches(BATCH_ROWS, columns=columns):
        size += unpacked_size(batch)
        if size > most:
            raise OSError(f"it unpacks to more than {MOST_UNPACKED:,} times its size")
        batches.append(batch)
    kept = [file.schema_arrow.field(name) for name in columns]
    return pa.Table.from_batches(batches, pa.schema(kept) if not batches else None)


def _without_unknown(table: pa.Table) -> pa.Table:
    """Rows that are neither right nor wrong as if no function had graded them: not right, and without a reward."""
    import pyarrow.compute as pc

    if "is_correct" not in table.column_names or not table["is_correct"].null_count:
        return table
    unknown = pc.is_null(table["is_correct"])
    for name, value in {"is_correct": False, "reward": None}.items():
        if name in table.column_names:
            column = pc.if_else(unknown, value, table[name])
            table = table.set_column(table.column_names.index(name), table.schema.field(name), column)
    return table


def _check(table: pa.Table, path: Path) -> None:
    import pyarrow.compute as pc

    for name in NEVER_NULL:
        if name in table.column_names and table[name].null_count:
            raise RunFolderError(f"{path} has nulls in the column {name}.")
    if "step" in table.column_names and len(table):
        bounds = pc.min_max(table["step"]).as_py()
        if bounds["min"] < 0 or bounds["max"] > MAX_STEP:
            raise RunFolderError(f"{path} has a step that is not possible: {bounds['min']} to {bounds['max']}.")


def metrics_row(line: bytes) -> dict[str, Any] | None:
    """The row of metrics in a line; None where the line is cut off, is no JSON object, or has no whole number as step.

    Example:
        >>> metrics_row(b'{"step": 3, "loss": 0.5}'), metrics_row(b'{"step": "3"}'), metrics_row(b'{"st')
        ({'step': 3, 'loss': 0.5}, None, None)
    """
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):  # not UTF-8, not JSON, or nested without end
        return None
    step = row.get("step") if isinstance(row, dict) else None
    is_step = isinstance(step, int) and not isinstance(step, bool) and 0 <= step <= MAX_STEP
    return row if is_step else None


def read_metrics(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The rows, and how many lines are not rows. A last line that a kill cut off does not count.

    Raises:
        OSError: the file is not there or cannot be opened.
    """
    lines = [line for line in path.read_bytes().split(b"\n")[:-1] if line.strip()]
    rows = [row for line in lines if (row := metrics_row(line)) is not None]
    return rows, len(lines) - len(rows)
