"""Reads the finished cells of a grid."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from meds_lab.compare.attempts import read_attempts
from meds_lab.compare.cells import Cell
from meds_lab.compare.cost import Cost, cost_of
from meds_lab.compare.grid import GridError
from meds_lab.compare.measures import MEASURES, measure, read_cell_problems
from meds_lab.compare.state import asked_fields
from meds_rl.report.problems import figure
from meds_rl.report.recipe import read_recipe
from meds_rl.rollouts.folder import RunFolder, write_atomically

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

COUNTS = ("n", "right", "exact", "wrong", "distinct", "no_answer")
"""Of each problem; from them every measure at every k follows."""


VERSION_KEY, VERSION = "meds_rl_compare_version", "2"
"""Of ``cells.parquet``. Version 1 had no recipes."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """A finished cell, read.

    Attributes:
        before, after: one row a problem and group (`meds_lab.compare.measures.read_cell_problems`).
        cost: of its training.
        jobs: how many cells ran at once while it was trained; more than one number if it was begun several times.
        eval_k: k of pass@k in its recipe.
        packages: name -> version that it was trained with; None for one that was not installed.
        meaning: what its method and preset set when it was trained, field -> value.
    """

    cell: Cell
    before: pd.DataFrame
    after: pd.DataFrame
    cost: Cost
    jobs: tuple[int, ...]
    eval_k: int
    packages: Mapping[str, str | None] = field(default_factory=dict)
    meaning: Mapping[str, Any] = field(default_factory=dict)

    @property
    def groups(self) -> list[str]:
        """Of problems, in alphabetical order."""
        return sorted(self.after["group"].unique().tolist())

    def problems(self, group: str, when: str = "after") -> pd.DataFrame:
        """Those of one group."""
        table = self.after if when == "after" else self.before
        return table[table["group"] == group]


def read_outcome(cell: Cell) -> Outcome:
    """Read a finished cell.

    Raises:
        GridError: its recipe cannot be read.
        SamplesFileError, FileNotFoundError: its evaluations cannot.
    """
    from meds_lab.compare.meaning import values_set

    recipe = read_recipe(cell.folder)
    if not recipe.fields:
        raise GridError(recipe.damage or f"{cell.folder} has no recipe.yaml.")
    run = RunFolder(cell.folder)
    after = read_cell_problems(cell.folder, "after")
    environment = run.environment()
    processes = environment.get("num_processes", 1)
    packages = environment.get("packages", {})
    return Outcome(
        cell,
        read_cell_problems(cell.folder, "before"),
        after,
        cost_of(run.metrics(), recipe.fields, processes if isinstance(processes, int) else 1),
        tuple(sorted({attempt.jobs for attempt in read_attempts(cell)})),
        min(recipe.eval_k or int(after["n"].min()), int(after["n"].min())),
        packages if isinstance(packages, dict) else {},
        values_set(recipe.fields),
    )


def k_of(outcomes: Sequence[Outcome], asked: int | None) -> int:
    """k of pass@k for a task: what the grid asks for, else the recipe's; at most the samples of a problem."""
    most = min(int(outcome.after["n"].min()) for outcome in outcomes)
    return min(asked or min(outcome.eval_k for outcome in outcomes), most)


def write_cells(path: Any, outcomes: Sequence[Outcome], k: int | None) -> None:
    """Write ``cells.parquet``: one row a cell, evaluation (before, after) and group, its figures, and its problems'
    counts as lists."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [row for outcome in outcomes for row in _rows(outcome, k_of([outcome], k))]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=cells_schema()), sink)
    write_atomically(path, sink.getvalue())


def _rows(outcome: Outcome, k: int) -> Iterator[dict[str, Any]]:
    cell = outcome.cell
    for when in ("before", "after"):
        for group in outcome.groups:
            problems = outcome.problems(group, when)
            row: dict[str, Any] = {
                "task": cell.task,
                "checkpoint": cell.checkpoint,
                "seed": cell.seed,
                "method": cell.method,
                "when": when,
                "group": group,
                "k": k,
            }
            for name in MEASURES:
                found = measure(problems, name, k)
                row[name] = None if found is None else _or_none(figure(found))
            row |= {
                "seconds_per_step": _or_none(outcome.cost.seconds_per_step),
                "updates": outcome.cost.updates,
                "samples_generated": outcome.cost.samples_generated,
                "jobs": list(outcome.jobs),
                "eval_k": outcome.eval_k,
                "given": json.dumps(asked_fields(cell), sort_keys=True),
                "meaning": json.dumps(dict(outcome.meaning), sort_keys=True),
                "packages": json.dumps(dict(outcome.packages), sort_keys=True),
                "problem_id": problems["problem_id"].tolist(),
            }
            yield row | {f"problem_{name}": _integers(problems[name]) for name in COUNTS}


def _integers(column: pd.Series[Any]) -> list[int] | None:
    return None if column.isna().any() else [int(value) for value in column]


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value


def cells_schema() -> pa.Schema:
    """Of ``cells.parquet``: every column."""
    import pyarrow as pa

    kinds: dict[str, pa.DataType] = {
        name: pa.string() for name in ("task", "checkpoint", "method", "when", "group")
    }
    kinds |= {name: pa.int64() for name in ("seed", "k", "updates", "samples_generated", "eval_k")}
    kinds |= {name: pa.string() for name in ("given", "meaning", "packages")}
    kinds |= {name: pa.float64() for name in (*MEASURES, "seconds_per_step")}
    kinds |= {"jobs": pa.list_(pa.int64()), "problem_id": pa.list_(pa.string())}
    # `distinct` and `no_answer` are measures and counts.
    kinds |= {f"problem_{name}": pa.list_(pa.int64()) for name in COUNTS}
    return pa.schema(list(kinds.items()), metadata={VERSION_KEY: VERSION})
