"""Reads finished cells: what each problem shows, the measures that are compared, and what the training cost."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meds_lab.compare.cells import Cell
from meds_lab.compare.grid import GridError
from meds_lab.compare.state import asked_fields, read_attempts
from meds_rl.evaluation.paired import PerProblem
from meds_rl.files import write_atomically
from meds_rl.report.evaluations import figure, per_problem, read_problems
from meds_rl.report.recipe import read_recipe
from meds_rl.report.text import finite
from meds_rl.rollouts.folder import RunFolder
from meds_rl.rollouts.samples import read_samples

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
        before, after: one row a problem and group (`meds_lab.compare.outcomes.read_cell_problems`).
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
    from meds_lab.compare.state import values_set

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

    kinds: dict[str, pa.DataType] = {name: pa.string() for name in ("task", "checkpoint", "method", "when", "group")}
    kinds |= {name: pa.int64() for name in ("seed", "k", "updates", "samples_generated", "eval_k")}
    kinds |= {name: pa.string() for name in ("given", "meaning", "packages")}
    kinds |= {name: pa.float64() for name in (*MEASURES, "seconds_per_step")}
    kinds |= {"jobs": pa.list_(pa.int64()), "problem_id": pa.list_(pa.string())}
    # `distinct` and `no_answer` are measures and counts.
    kinds |= {f"problem_{name}": pa.list_(pa.int64()) for name in COUNTS}
    return pa.schema(list(kinds.items()), metadata={VERSION_KEY: VERSION})


# ---- The measures.

MEASURES = {
    "pass@1": "pass@1",
    "pass@k": "pass@{k}",
    "exact pass@k": "exact pass@{k}",
    "distinct": "distinct errors",
    "repeated": "repeated errors",
    "no_answer": "no answer",
}
"""Name -> title. All but ``exact pass@k`` are those of the report (`meds_rl.report.evaluations.METRICS`)."""


def read_cell_problems(folder: Path, when: str) -> pd.DataFrame:
    """One row a problem and group, as `meds_rl.report.evaluations.read_problems` gives it, and ``exact``: completions
    whose answer and working are right, null where the task cannot read the working.

    Args:
        folder: the run folder.
        when: "before" or "after".

    Raises:
        FileNotFoundError, SamplesFileError: there are no such samples, or none that can be read.
    """
    path = folder / "evaluation" / f"{when}.parquet"
    problems = read_problems(path)
    keys = ["group", "problem_id"]
    samples = read_samples(path).select([*keys, "is_exact"]).to_pandas()
    exact = samples.groupby(keys)["is_exact"].agg(
        # One completion whose working is not known, and the problem's number is not.
        lambda values: None if values.isna().any() else int(values.astype(bool).sum())
    )
    problems["exact"] = exact.reindex(problems.set_index(keys).index).to_numpy(dtype=object)
    return problems


def measure(problems: pd.DataFrame, name: str, k: int) -> PerProblem | None:
    """A measure of each problem of one group; None where the task cannot measure it.

    Raises:
        ValueError: an unknown measure, or fewer than k samples of a problem.
    """
    if name != "exact pass@k":
        return per_problem(problems, name, k)
    if problems["exact"].isna().any():
        return None
    return per_problem(problems.assign(right=problems["exact"]), "pass@k", k)


def title_of(name: str, k: int | str) -> str:
    """Title of a measure; ``k`` is a number, or a text for several.

    Example:
        >>> title_of("exact pass@k", 16)
        'exact pass@16'
    """
    return MEASURES[name].format(k=k)


# ---- Seconds a step, updates and completions, from metrics and recipe.


@dataclass(frozen=True)
class Cost:
    """Of one training.

    Attributes:
        seconds_per_step: mean of TRL's ``step_time`` after the first log, which also loads and warms up; NaN where
            there is none.
        updates: optimiser steps done.
        samples_generated: completions sampled in training, those that dynamic sampling threw away too.
    """

    seconds_per_step: float
    updates: int
    samples_generated: int


def cost_of(metrics: Sequence[Mapping[str, Any]], recipe: Mapping[str, Any], num_processes: int = 1) -> Cost:
    """Read a cell's cost.

    ``step_time`` and ``dynamic_sampling/groups_generated`` are means over the steps between two logs; each log counts
    by the steps that it covers. So the completions are exact where every step is logged, or where
    nothing is thrown away.

    Args:
        metrics: rows of ``metrics.jsonl``, in order.
        recipe: the resolved one.
        num_processes: of the training.
    """
    updates = max((int(row["step"]) for row in metrics), default=0)
    batches = _generation_batches(updates, recipe, num_processes)
    groups = _mean_over_steps(metrics, "dynamic_sampling/groups_generated")
    if math.isnan(groups):
        samples = batches * int(recipe["generation_batch_size"])
    else:
        samples = round(groups * batches * int(recipe["num_generations"]))
    times = [row for row in metrics if finite(row.get("step_time")) is not None]
    first = times[0]["step"] if len(times) > 1 else 0
    return Cost(_mean_over_steps(times[1:] or times, "step_time", first), updates, samples)


def relative_cost(seconds: Mapping[tuple[Any, str], float], baseline: str) -> dict[str, tuple[float, float, float]]:
    """Seconds a step relative to the baseline of the same unit: geometric mean, least and greatest over the units.

    Args:
        seconds: (unit, method) -> seconds a step.
        baseline: a method.

    Example:
        >>> seconds = {("a", "dapo"): 2.0, ("a", "meds"): 4.0, ("b", "dapo"): 3.0, ("b", "meds"): 3.0}
        >>> {name: [round(x, 3) for x in found] for name, found in relative_cost(seconds, "dapo").items()}
        {'dapo': [1.0, 1.0, 1.0], 'meds': [1.414, 1.0, 2.0]}
    """
    ratios: dict[str, list[float]] = {}
    for (unit, method), value in seconds.items():
        of_baseline = seconds.get((unit, baseline), math.nan)
        if value > 0 and of_baseline > 0:  # false for NaN
            ratios.setdefault(method, []).append(value / of_baseline)
    return {method: (float(np.exp(np.mean(np.log(found)))), min(found), max(found)) for method, found in ratios.items()}


def _generation_batches(updates: int, recipe: Mapping[str, Any], num_processes: int) -> int:
    """Generation batches of so many optimiser steps: each is used ``num_iterations`` times."""
    per_step = int(recipe["per_device_train_batch_size"]) * int(recipe["gradient_accumulation_steps"]) * num_processes
    used = updates * per_step / int(recipe.get("num_iterations") or 1)
    return math.ceil(used / int(recipe["generation_batch_size"]))


def _mean_over_steps(rows: Iterable[Mapping[str, Any]], name: str, before: int = 0) -> float:
    """Mean of a logged figure, each log weighted by the steps since the one before."""
    total = weight = 0.0
    last = before
    for row in rows:
        value = finite(row.get(name))
        if value is None:
            continue
        steps = max(0, int(row["step"]) - last)
        last = int(row["step"])
        total, weight = total + steps * value, weight + steps
    return total / weight if weight else math.nan
