"""The table of samples: one row is one completion sampled by an evaluation in training or by `meds eval`.

A reader refuses a newer version. A file that lacks a column is read with nulls in its place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meds_rl.files import write_atomically
from meds_rl.rollouts.table import most_bytes, read_whole

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLES_SCHEMA_VERSION = 1

SAMPLE_COLUMNS: dict[str, tuple[str, str]] = {
    "benchmark": ("string", "name of the task or benchmark: pocket, aime24"),
    "group": ("string", "the split, followed by the value of the column the figures are split by: train hard"),
    "problem_id": ("string", "content hash of the prompt"),
    "prompt": ("string", "the prompt; chat messages as JSON"),
    "gold": ("string", "the right answer; null where the problem has none to name"),
    "sample": ("int64", "number of the completion among its problem's, from 0"),
    "completion": ("string", "the completion as text, without special tokens"),
    "num_tokens": ("int64", "length of the completion in tokens, its end included"),
    "finished": ("bool", "false where it was cut off at the length limit"),
    "answer": ("string", "text of the final answer; null where there is none"),
    "is_correct": ("bool", "whether the grader calls it right"),
    "strategy": ("string", "the strategy that was followed, where the task can tell; else null"),
    "is_exact": ("bool", "right answer and right working, where the task can tell; else null"),
    "outcome": ("string", "what the grader reports beside right or wrong, such as ok, IndexError, got 5; else null"),
    "fingerprint": ("list<float32>", "features of the completion; null without an answer, or where none were taken"),
}
"""Name -> (Arrow type, meaning)."""

NEEDED = ("group", "problem_id", "sample", "completion", "is_correct")
"""Columns that no file of samples lacks."""

_NUMBER = re.compile(rb"[0-9]{1,18}")

VERSION_KEY = "meds_rl_samples_version"
STEP_KEY = "meds_rl_step"


class SamplesFileError(ValueError):
    """A file is not a file of samples, or is one of a newer version."""


def samples_schema() -> pa.Schema:
    """The Arrow schema of the samples, with each column's meaning in its metadata."""
    import pyarrow as pa

    def type_of(name: str) -> pa.DataType:
        return pa.list_(pa.float32()) if name == "list<float32>" else pa.type_for_alias(name)

    fields = [
        pa.field(name, type_of(kind), metadata={"meaning": text}) for name, (kind, text) in SAMPLE_COLUMNS.items()
    ]
    return pa.schema(fields, metadata={VERSION_KEY: str(SAMPLES_SCHEMA_VERSION)})


def samples_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """A table of rows, each a mapping of column names to values; a column that a row lacks is null.

    Raises:
        ValueError: a row has a column that the table does not.
    """
    import pyarrow as pa

    listed = list(rows)
    unknown = sorted({name for row in listed for name in row} - set(SAMPLE_COLUMNS))
    if unknown:
        raise ValueError(f"samples have the columns {list(SAMPLE_COLUMNS)}; unknown: {unknown}.")
    columns = {name: [row.get(name) for row in listed] for name in SAMPLE_COLUMNS}
    return pa.table(columns, schema=samples_schema())


def write_samples(path: str | os.PathLike[str], table: pa.Table, *, step: int | None = None) -> None:
    """Write a table of samples, whole or not at all; equal tables give equal bytes.

    Args:
        path: the file.
        table: what `samples_table` gives.
        step: the optimiser step of the policy, for an evaluation of a run; `step_of` reads it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if step is not None:
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), STEP_KEY: str(step)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    write_atomically(Path(path), sink.getvalue())


def step_of(path: str | os.PathLike[str]) -> int | None:
    """The optimiser step in a file's metadata; None where there is none, or where the file is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with Path(path).open("rb") as file:  # Arrow parses a path as an address, and not every name is a valid one
            step = (pq.read_schema(file).metadata or {}).get(STEP_KEY.encode())
    except (pa.ArrowException, OSError):
        return None  # read_samples raises and names the file
    return int(step) if step is not None and _NUMBER.fullmatch(step) else None


def is_samples(path: str | os.PathLike[str]) -> bool:
    """Whether a file calls itself a file of samples, of whatever version, or cannot be read as parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with Path(path).open("rb") as file:
            schema = pq.read_schema(file)
    except (pa.ArrowException, OSError):
        return True  # read_samples says what is wrong
    return VERSION_KEY.encode() in (schema.metadata or {}) or set(NEEDED) <= set(schema.names)


def read_samples(path: str | os.PathLike[str]) -> pa.Table:
    """Read a file of samples.

    Raises:
        FileNotFoundError: there is no such file.
        SamplesFileError: it is not parquet, lacks a needed column, or is of a newer version.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file of samples at {path}")
    try:
        with Path(path).open("rb") as file:
            parquet = pq.ParquetFile(file)
            names = parquet.schema_arrow.names
            again = sorted({name for name in names if names.count(name) > 1})
            if again:
                raise SamplesFileError(f"{path} has the column {again[0]!r} twice")
            table = read_whole(parquet, names, most_bytes(Path(path)))
        table.validate(full=True)  # finds texts that are not UTF-8
    except (pa.ArrowException, OSError) as error:
        raise SamplesFileError(f"{path} cannot be read as parquet: {error}") from None
    _check(table, path)
    try:
        columns = [_column(table, field) for field in samples_schema()]
    except pa.ArrowException as error:
        raise SamplesFileError(f"{path} has columns of other kinds than samples have: {error}") from None
    return pa.table(columns, schema=samples_schema())


def _check(table: pa.Table, path: str | os.PathLike[str]) -> None:
    missing = [name for name in NEEDED if name not in table.column_names]
    if missing:
        raise SamplesFileError(
            f"{path} holds no samples: it has no column {', '.join(missing)}; "
            f"found: {', '.join(table.column_names) or 'no columns'}"
        )
    metadata = table.schema.metadata or {}
    version = metadata.get(VERSION_KEY.encode(), b"0")
    if not _NUMBER.fullmatch(version):
        raise SamplesFileError(f"{path} names no version of the samples: {version!r}")
    if int(version) > SAMPLES_SCHEMA_VERSION:
        raise SamplesFileError(
            f"{path} has version {int(version)} of the samples; this meds-rl reads up to {SAMPLES_SCHEMA_VERSION}. "
            "Upgrade meds-rl."
        )


def _column(table: pa.Table, field: pa.Field) -> Any:
    import pyarrow as pa

    if field.name not in table.column_names:
        return pa.nulls(table.num_rows, field.type)
    return table[field.name].cast(field.type)
