"""Reads completions out of a run folder, a file of samples, or the folder of an evaluation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meds_rl.evaluation.diversity.completions import NOWHERE, Completions, Vectors
from meds_rl.runs import RunFolder
from meds_rl.runs.remembered import remembered
from meds_rl.runs.samples import read_samples
from meds_rl.shaping.memory import ErrorMemory

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLES_FILE = "samples.parquet"
_ROLLOUTS = ("step", "prompt_id", "prompt", "completion", "answer", "is_correct", "strategy", "memory_id")


def read_completions(path: str | os.PathLike[str]) -> Completions:
    """All completions of a run's training, or of an evaluation.

    Of a run with a memory, `clusters` and fingerprints are those that the memory that was saved last holds; what it has
    forgotten has none. Of an evaluation they have no clusters, and fingerprints where it took them.

    Args:
        path: A run folder, a parquet file of samples, or a folder that `meds eval` wrote.

    Raises:
        FileNotFoundError: There is nothing.
        ValueError: It is none of these, of a newer version, or without any completion.
    """
    place = Path(path)
    if not place.exists():
        raise FileNotFoundError(f"there is no file or folder {place}")
    if place.is_file() or (place / SAMPLES_FILE).is_file():
        found = _of_samples(read_samples(place if place.is_file() else place / SAMPLES_FILE))
    else:
        found = _of_run(RunFolder(place))
    if not len(found):
        raise ValueError(f"{place} holds no completions.")
    return found


def _of_samples(table: pa.Table) -> Completions:
    columns = {name: table[name].to_pylist() for name in table.column_names if name != "fingerprint"}
    groups = [
        " ".join(part for part in parts if part)
        for parts in zip(columns["benchmark"], columns["group"], strict=True)
    ]
    vectors, vector_rows = _fingerprints(table["fingerprint"].combine_chunks())
    return Completions(
        problem_ids=columns["problem_id"],
        prompts=[prompt or "" for prompt in columns["prompt"]],
        texts=columns["completion"],
        answers=columns["answer"],
        is_correct=np.array(columns["is_correct"], dtype=bool),
        groups=groups,
        strategies=columns["strategy"],
        vectors=vectors,
        vector_rows=vector_rows,
    )


def _fingerprints(column: Any) -> tuple[Vectors, NDArray[np.int64]]:
    there = np.array(column.is_valid())
    rows = np.where(there, np.cumsum(there) - 1, NOWHERE)
    lists = column.drop_null()
    lengths = np.unique(np.array(lists.value_lengths()))
    if len(lengths) > 1:
        raise ValueError(f"fingerprints must be of one width, got {lengths.tolist()}")
    width = int(lengths[0]) if len(lengths) else 0
    vectors = np.array(lists.flatten(), dtype=np.float32).reshape(len(lists), width)
    return vectors, rows.astype(np.int64)


def _of_run(run: RunFolder) -> Completions:
    frame = run.rollouts(_ROLLOUTS)
    columns: dict[str, list[Any]] = {name: frame[name].tolist() for name in _ROLLOUTS}
    found = Completions(
        problem_ids=columns["prompt_id"],
        prompts=columns["prompt"],
        texts=columns["completion"],
        answers=[_text(value) for value in columns["answer"]],
        is_correct=frame["is_correct"].to_numpy(dtype=bool),
        groups=["train"] * len(frame),
        strategies=[_text(value) for value in columns["strategy"]],
        steps=frame["step"].to_numpy(dtype=np.int64),
    )
    path = run.memory_path()
    return (
        found if path is None else _with_memory(found, ErrorMemory.load(path), frame["memory_id"].to_numpy())
    )


def _with_memory(found: Completions, memory: ErrorMemory, memory_ids: NDArray[np.int64]) -> Completions:
    held = remembered(memory, memory_ids)
    table = held.table[held.table["row"] != NOWHERE]
    clusters = np.full(len(found), NOWHERE, dtype=np.int64)
    clustered = np.zeros(len(found), dtype=bool)
    rows = table["row"].to_numpy()
    clusters[rows], clustered[rows] = table["cluster"].to_numpy(), True
    with_vector = table[table["member"] != NOWHERE]
    vector_rows = np.full(len(found), NOWHERE, dtype=np.int64)
    vector_rows[with_vector["row"].to_numpy()] = np.arange(len(with_vector))
    return Completions(
        **{
            **vars(found),
            "clusters": clusters,
            "clustered": clustered,
            "vectors": held.vectors(with_vector),
            "vector_rows": vector_rows,
        }
    )


def _text(value: Any) -> str | None:
    """pandas has NaN or None for what is missing."""
    return value if isinstance(value, str) else None
