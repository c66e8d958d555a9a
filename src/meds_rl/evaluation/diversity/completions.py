"""A set of completions to look at: plain columns, wherever they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

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
