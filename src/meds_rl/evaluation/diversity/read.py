"""Reads completions out of a run folder, a file of samples, or the folder of an evaluation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meds_rl.memory.memory import ErrorMemory
from meds_rl.rollouts import RunFolder
from meds_rl.rollouts.remembered import remembered
from meds_rl.rollouts.samples import read_samples

# ---- A set of completions to look at: plain columns, wherever they come from.

NOWHERE = -1

Vectors = NDArray[np.float32]
_NO_VECTORS = np.zeros((0, 0), dtype=np.float32)

Of: TypeAlias = Literal["wrong", "right", "all"]
"""Which completions are looked at."""


class Population(NamedTuple):
    """Which groups a training kept; dynamic sampling throws away those that are all right or all wrong.

    Attributes:
        num_groups: groups that are in the loss.
        num_all_wrong: of these, those without a right completion.
        num_fillers: groups that only fill up batches and are not in the loss.
    """

    num_groups: int
    num_all_wrong: int
    num_fillers: int


@dataclass(frozen=True, eq=False)
class Completions:
    """B completions.

    Attributes:
        problem_ids: the problem of each.
        prompts: its prompt; chat messages as JSON.
        texts: what was said.
        answers: final answers, None where there is none: an answer like any other here.
        is_correct: (B,) bool.
        groups: the part that each belongs to: a split, a benchmark.
        steps: (B,) int64, when each was sampled; None where that is not known.
        strategies: the way of working, None where it cannot be told.
        clusters: (B,) int64, of the problem's memory; None where there is no memory.
        clustered: (B,) bool, those that are in the memory, so that `clusters` speaks of them.
        vectors: the fingerprints that there are, (M, D).
        vector_rows: (B,) int64, the row of `vectors`, -1 without one.
        in_loss: (B,) bool, false for those that only fill up a batch; None where there is no such thing.
        population: of a training; it stays that of the whole when rows are selected.
        left_out: what could not be read, and the rows in the source; it stays too.
    """

    problem_ids: Sequence[str]
    prompts: Sequence[str]
    texts: Sequence[str]
    answers: Sequence[str | None]
    is_correct: NDArray[np.bool_]
    groups: Sequence[str]
    strategies: Sequence[str | None]
    steps: NDArray[np.int64] | None = None
    clusters: NDArray[np.int64] | None = None
    clustered: NDArray[np.bool_] | None = None
    vectors: Vectors = field(default_factory=lambda: _NO_VECTORS)
    vector_rows: NDArray[np.int64] | None = None
    in_loss: NDArray[np.bool_] | None = None
    population: Population | None = None
    left_out: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        """B."""
        return len(self.texts)

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> Completions:
        """Some of them, in the order given. Fingerprints are not copied."""
        places = np.asarray(rows, dtype=np.int64)
        listed = places.tolist()

        def of(column: Sequence[Any]) -> list[Any]:
            return [column[row] for row in listed]

        def array(column: NDArray[Any] | None) -> NDArray[Any] | None:
            return None if column is None else column[places]

        return replace(
            self,
            problem_ids=of(self.problem_ids),
            prompts=of(self.prompts),
            texts=of(self.texts),
            answers=of(self.answers),
            is_correct=self.is_correct[places],
            groups=of(self.groups),
            strategies=of(self.strategies),
            steps=array(self.steps),
            clusters=array(self.clusters),
            clustered=array(self.clustered),
            vector_rows=array(self.vector_rows),
            in_loss=array(self.in_loss),
        )

    def looked_at(self, of: Of) -> NDArray[np.bool_]:
        """(B,) those of this kind, without those that only fill up a batch: how many these are is an accident.

        Raises:
            ValueError: an unknown kind.
        """
        if of not in ("wrong", "right", "all"):
            raise ValueError(f'of must be "wrong", "right" or "all", got {of!r}')
        kind = np.ones(len(self), dtype=bool) if of == "all" else self.is_correct == (of == "right")
        return kind if self.in_loss is None else kind & self.in_loss

    def by_problem(self) -> list[NDArray[np.int64]]:
        """Rows of each problem, in the order in which problems first come."""
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(self.problem_ids):
            rows.setdefault(name, []).append(row)
        return [np.array(group, dtype=np.int64) for group in rows.values()]

    def features(self, rows: NDArray[np.int64]) -> Vectors:
        """(n, D) fingerprints of those of these rows that have one."""
        if self.vector_rows is None:
            return _NO_VECTORS
        found = self.vector_rows[rows]
        vectors: Vectors = self.vectors[found[found != NOWHERE]]
        return vectors


if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SAMPLES_FILE = "samples.parquet"
_ROLLOUTS = (
    *(
        "step",
        "generation",
        "prompt_id",
        "prompt",
        "completion",
        "answer",
        "is_correct",
        "strategy",
        "memory_id",
    ),
    *("reward", "reason", "in_loss"),
)
_NOT_GRADED = "not_graded"

UNGRADED = "completions that nothing graded"
INCOMPLETE = "completions without a text or a problem"
BAD_FINGERPRINTS = "fingerprints that are infinite, partly NaN or of another width than most"


def read_completions(path: str | os.PathLike[str]) -> Completions:
    """All completions of a run's training, or of an evaluation.

    Of a run with a memory, `clusters` and fingerprints are those that the memory that was saved last holds; what it has
    forgotten has none. Of an evaluation they have no clusters, and fingerprints where it took them.

    What cannot be looked at is left out and counted (`left_out`): completions that nothing graded, or without a text or
    a problem, and fingerprints that cannot be.

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
        reasons = "".join(f"; {len(rows):,} {what} are left out" for what, rows in found.left_out.items())
        raise ValueError(f"{place} holds no completions{reasons}.")
    return found


def _of_samples(table: pa.Table) -> Completions:
    import pyarrow.compute as pc

    complete = np.array(pc.and_(pc.is_valid(table["completion"]), pc.is_valid(table["problem_id"])))
    graded = np.array(pc.is_valid(table["is_correct"]))
    rows = np.flatnonzero(complete & graded)
    left_out = {INCOMPLETE: np.flatnonzero(~complete), UNGRADED: np.flatnonzero(complete & ~graded)}
    table = table.take(rows)
    columns = {name: table[name].to_pylist() for name in table.column_names if name != "fingerprint"}
    groups = [
        " ".join(part for part in parts if part)
        for parts in zip(columns["benchmark"], columns["group"], strict=True)
    ]
    vectors, vector_rows, bad = _fingerprints(table["fingerprint"].combine_chunks())
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
        left_out=_listed({**left_out, BAD_FINGERPRINTS: rows[bad]}),
    )


def _fingerprints(column: Any) -> tuple[Vectors, NDArray[np.int64], NDArray[np.int64]]:
    """(M, D) those that can be, the row of each completion's (-1 without), and the completions of the others."""
    import pyarrow as pa

    there = np.flatnonzero(np.array(column.is_valid()))
    lists = column.drop_null()
    lengths = np.array(lists.value_lengths(), dtype=np.int64)
    width = int(np.bincount(lengths[lengths > 0]).argmax()) if (lengths > 0).any() else 0
    fits = lengths == width
    lists = lists.filter(pa.array(fits))
    vectors = np.array(lists.flatten(), dtype=np.float32).reshape(len(lists), width)
    finite = np.isfinite(vectors).all(axis=1) & (width > 0)
    none = np.isnan(vectors).all(axis=1)  # no answer, no fingerprint: nothing is wrong
    bad = np.concatenate([there[~fits & (lengths > 0)], there[fits][~finite & ~none]])
    rows = np.full(len(column), NOWHERE, dtype=np.int64)
    rows[there[fits][finite]] = np.arange(int(finite.sum()))
    return vectors[finite], rows, np.sort(bad)


def _listed(left_out: dict[str, NDArray[np.int64]]) -> dict[str, list[int]]:
    return {what: rows.tolist() for what, rows in left_out.items() if len(rows)}


def _of_run(run: RunFolder) -> Completions:
    frame = run.rollouts(_ROLLOUTS)
    graded = (frame["reward"].notna() & (frame["reason"] != _NOT_GRADED)).to_numpy(dtype=bool)
    frame = frame[graded].reset_index(drop=True)
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
        in_loss=frame["in_loss"].to_numpy(dtype=bool),
        population=_population(frame),
        left_out=_listed({UNGRADED: np.flatnonzero(~graded)}),
    )
    path = run.memory_path()
    return (
        found if path is None else _with_memory(found, ErrorMemory.load(path), frame["memory_id"].to_numpy())
    )


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
