"""Completions as plain columns, read from a run folder, a file of samples, or the folder of an evaluation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meds_rl.evaluation.agreement_by_prompt import rows_by_name
from meds_rl.labels import NOT_GRADED
from meds_rl.memory.memory import ErrorMemory
from meds_rl.rollouts import RunFolder
from meds_rl.rollouts.blocks import kind_of
from meds_rl.rollouts.collect import ReadOptions
from meds_rl.rollouts.dumps import find_sources, is_run
from meds_rl.rollouts.evaluations import without_evaluations
from meds_rl.rollouts.reading import opened
from meds_rl.rollouts.remembered import remembered
from meds_rl.rollouts.samples import is_samples, read_samples

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

NOWHERE = -1
SAMPLES_FILE = "samples.parquet"
UNGRADED = "completions that nothing graded"
INCOMPLETE = "completions without a text or a problem"
BAD_FINGERPRINTS = "fingerprints that are infinite, partly NaN or of another width than most"

Vectors = NDArray[np.float32]
_TEXT_COLUMNS = ("prompt_id", "prompt", "completion", "answer", "strategy", "reason")
_ROLLOUTS = (*_TEXT_COLUMNS, "step", "generation", "is_correct", "memory_id", "reward", "in_loss")

Of: TypeAlias = Literal["wrong", "right", "all"]
"""Which completions are measured."""


class Population(NamedTuple):
    """Which groups a training kept; dynamic sampling drops those that are all right or all wrong."""

    num_groups: int  # in the loss
    num_all_wrong: int  # of these, without a right completion
    num_fillers: int  # they fill up batches and are not in the loss


@dataclass(frozen=True, eq=False)
class Completions:
    """B completions; `select` leaves `population`, `left_out` and `notes` as they are."""

    problem_ids: Sequence[str]
    prompts: Sequence[str]  # chat messages are JSON
    texts: Sequence[str]
    answers: Sequence[str | None]  # None, for no answer, counts as an answer
    is_correct: NDArray[np.bool_]  # (B,)
    groups: Sequence[str]  # the split or benchmark of each
    strategies: Sequence[str | None]  # None where unknown
    steps: NDArray[np.int64] | None = None  # (B,) when each was sampled
    clusters: NDArray[np.int64] | None = None  # (B,) of the problem's memory, meaningful only where `clustered`
    clustered: NDArray[np.bool_] | None = None  # (B,) those that are in the memory
    vectors: Vectors = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))  # (M, D) fingerprints
    vector_rows: NDArray[np.int64] | None = None  # (B,) the row of `vectors`, -1 for none
    in_loss: NDArray[np.bool_] | None = None  # (B,) False for fillers of a batch; None if there are none
    population: Population | None = None  # of a training
    left_out: Mapping[str, Sequence[int]] = field(default_factory=dict)  # why rows could not be read, and which
    notes: Sequence[str] = ()  # on what was recognised of rollouts of another program

    def __len__(self) -> int:
        """B."""
        return len(self.texts)

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> Completions:
        """These rows, in this order. Fingerprints are not copied."""
        places = np.asarray(rows, dtype=np.int64)
        columns: dict[str, Any] = {
            name: column[places] if isinstance(column, np.ndarray) else [column[row] for row in places.tolist()]
            for name, column in vars(self).items()
            if name not in ("vectors", "population", "left_out", "notes") and column is not None
        }
        return replace(self, **columns)

    def looked_at(self, of: Of) -> NDArray[np.bool_]:
        """(B,) bool, the "wrong", "right" or "all" completions, without fillers, whose number is accidental."""
        if of not in ("wrong", "right", "all"):
            raise ValueError(f'of must be "wrong", "right" or "all", got {of!r}')
        kind = np.ones(len(self), dtype=bool) if of == "all" else self.is_correct == (of == "right")
        return kind if self.in_loss is None else kind & self.in_loss

    def by_problem(self) -> list[NDArray[np.int64]]:
        """The rows of each problem, in the order of their first completions."""
        return list(rows_by_name(self.problem_ids).values())

    def features(self, rows: NDArray[np.int64]) -> Vectors:
        """(n, D) fingerprints of these rows, without those that have none."""
        if self.vector_rows is None:
            return self.vectors[:0]
        found = self.vector_rows[rows]
        vectors: Vectors = self.vectors[found[found != NOWHERE]]
        return vectors


def read_completions(path: str | os.PathLike[str], options: ReadOptions | None = None) -> Completions:
    """All completions in a run folder, a file of samples, a folder that `meds eval` wrote, or rollouts of others.

    A run's clusters and fingerprints come from its last saved memory; forgotten completions have none. Completions of
    an evaluation have no clusters, and fingerprints if it took them. Rows that cannot be read are counted in
    `left_out`: ungraded ones, those without a text or a problem, and invalid fingerprints.

    Args:
        path: the place.
        options: what is in the rollouts of another program, as far as they do not say so.
    """
    place, options = Path(path), options or ReadOptions()
    if not place.exists():
        raise FileNotFoundError(f"there is no file or folder {place}")
    samples = _samples_at(place) if options.is_empty else None
    if samples is not None:
        found = _of_samples(read_samples(samples))
    else:
        sources, _ = without_evaluations(find_sources([str(place)]))
        if len(sources) > 1 and not is_run(place):
            raise ValueError(f"{place} leads to {len(sources)} runs; measure each by itself.")
        with opened(sources[:1], options, show_progress=True) as (run,):
            found = _of_run(run)
    if not len(found):
        reasons = "".join(f"; {len(rows):,} {what} are left out" for what, rows in found.left_out.items())
        raise ValueError(f"{place} holds no completions{reasons}.")
    return found


def _samples_at(place: Path) -> Path | None:
    """The file of samples at a path; None where there is something else."""
    file = place / SAMPLES_FILE if place.is_dir() else place
    if not file.is_file() or kind_of(file) != ".parquet":
        return None
    return file if is_samples(file) else None


def _of_samples(table: pa.Table) -> Completions:
    import pyarrow.compute as pc

    complete = np.array(pc.and_(pc.is_valid(table["completion"]), pc.is_valid(table["problem_id"])))
    graded = np.array(pc.is_valid(table["is_correct"]))
    rows = np.flatnonzero(complete & graded)
    left_out = {INCOMPLETE: np.flatnonzero(~complete), UNGRADED: np.flatnonzero(complete & ~graded)}
    table = table.take(rows)
    columns = {name: table[name].to_pylist() for name in table.column_names if name != "fingerprint"}
    groups = zip(columns["benchmark"], columns["group"], strict=True)
    vectors, vector_rows, bad = _fingerprints(table["fingerprint"].combine_chunks())
    return Completions(
        problem_ids=columns["problem_id"],
        prompts=[prompt or "" for prompt in columns["prompt"]],
        texts=columns["completion"],
        answers=columns["answer"],
        is_correct=np.array(columns["is_correct"], dtype=bool),
        groups=[" ".join(part for part in parts if part) for parts in groups],
        strategies=columns["strategy"],
        vectors=vectors,
        vector_rows=vector_rows,
        left_out=_listed({**left_out, BAD_FINGERPRINTS: rows[bad]}),
    )


def _fingerprints(column: Any) -> tuple[Vectors, NDArray[np.int64], NDArray[np.int64]]:
    """The valid fingerprints (M, D), each completion's row of them (-1 for none), and the rows with invalid ones."""
    import pyarrow as pa

    there = np.flatnonzero(np.array(column.is_valid()))
    lists = column.drop_null()
    lengths = np.array(lists.value_lengths(), dtype=np.int64)
    width = int(np.bincount(lengths[lengths > 0]).argmax()) if (lengths > 0).any() else 0
    fits = lengths == width
    lists = lists.filter(pa.array(fits))
    vectors = np.array(lists.flatten(), dtype=np.float32).reshape(len(lists), width)
    finite = np.isfinite(vectors).all(axis=1) & (width > 0)
    none = np.isnan(vectors).all(axis=1)  # no answer, which is valid
    bad = np.concatenate([there[~fits & (lengths > 0)], there[fits][~finite & ~none]])
    rows = np.full(len(column), NOWHERE, dtype=np.int64)
    rows[there[fits][finite]] = np.arange(int(finite.sum()))
    return vectors[finite], rows, np.sort(bad)


def _listed(left_out: dict[str, NDArray[np.int64]]) -> dict[str, list[int]]:
    return {what: rows.tolist() for what, rows in left_out.items() if len(rows)}


def _of_run(run: RunFolder) -> Completions:
    frame = run.rollouts(_ROLLOUTS)
    graded = (frame["reward"].notna() & (frame["reason"] != NOT_GRADED)).to_numpy(dtype=bool)
    frame = frame[graded].reset_index(drop=True)
    columns: dict[str, list[Any]] = {name: frame[name].tolist() for name in _TEXT_COLUMNS}
    found = Completions(
        problem_ids=columns["prompt_id"],
        prompts=columns["prompt"],
        texts=columns["completion"],
        answers=[_text(value) for value in columns["answer"]],
        is_correct=frame["is_correct"].to_numpy(dtype=bool),
        groups=["train"] * len(frame),
        strategies=[_text(value) for value in columns["strategy"]],
        steps=frame["step"].to_numpy(dtype=np.int64),
        in_loss=frame["in_loss"].to_numpy(dtype=bool),
        population=_population(frame) if run.source is None else None,
        left_out=_listed({UNGRADED: np.flatnonzero(~graded)}),
        notes=(run.source or {}).get("notes", ()),
    )
    path = run.memory_path()
    return found if path is None else _with_memory(found, ErrorMemory.load(path), frame["memory_id"].to_numpy())


def _population(frame: pd.DataFrame) -> Population:
    groups = frame.groupby(["generation", "prompt_id"])
    in_loss, any_right = groups["in_loss"].any(), groups["is_correct"].any()
    return Population(int(in_loss.sum()), int((in_loss & ~any_right).sum()), int((~in_loss).sum()))


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
    vectors = held.vectors(with_vector)
    return replace(found, clusters=clusters, clustered=clustered, vectors=vectors, vector_rows=vector_rows)


def _text(value: Any) -> str | None:
    """pandas has NaN or None for missing values."""
    return value if isinstance(value, str) else None
