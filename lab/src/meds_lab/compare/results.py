"""``results.json``: everything that the tables of a grid show, and what they were made with."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from meds_lab.compare.comparison import Comparison, Level, by_task, compare, levels
from meds_lab.compare.grid import Grid
from meds_lab.compare.outcomes import MEASURES, Outcome, relative_cost, write_cells
from meds_lab.compare.significance import power_note, smallest_p
from meds_rl.evaluation.folder import installed_version
from meds_rl.files import write_atomically
from meds_rl.report.text import plain

SCHEMA_VERSION = 1
PACKAGES = ("meds-rl", "torch", "transformers", "trl", "numpy", "scikit-learn")

ENOUGH = 10
"""With fewer pairs a note says what they cannot show."""


@dataclass(frozen=True)
class MethodCost:
    """What a method cost on a task.

    Attributes:
        seconds_per_step: mean over units; NaN where none is known.
        relative, lowest, highest: seconds a step relative to the baseline of the same unit: geometric mean, least and
            greatest; NaN without a pair.
        updates, samples_generated: mean over units whose metrics are there; NaN without any.
        num_units: finished cells.
        jobs: how many cells ran at once.
    """

    task: str
    method: str
    seconds_per_step: float
    relative: float
    lowest: float
    highest: float
    updates: float
    samples_generated: float
    num_units: int
    jobs: tuple[int, ...]


@dataclass(frozen=True)
class Results:
    """Of the finished cells of a grid."""

    levels: Sequence[Level]
    comparisons: Sequence[Comparison]
    costs: Sequence[MethodCost]
    num_finished: int
    num_cells: int

    def _on_checkpoints(self) -> list[str]:
        """How far the second interval can be trusted."""
        numbers = {len({name for name, _ in one.units}) for one in self.comparisons if one.over_checkpoints}
        if not numbers:
            return []
        listed = (
            "Units of one checkpoint are not independent; the interval over checkpoints (results.json, --markdown) "
            "draws checkpoints first."
        )
        few = min(numbers)
        if few < ENOUGH:
            listed += (
                f" With {few} checkpoints it is too narrow where they differ much (two: 75 % or less instead of 95 %, "
                "five: 89 %)."
            )
        return [listed]

    def _largest_family(self) -> list[int]:
        """Units of each comparison by the measure that has the most; those without a p value are not corrected for."""
        known = [one for one in self.comparisons if not math.isnan(one.p)]
        families = [[len(one.units) for one in known if one.measure == name] for name in MEASURES]
        return max(families, key=len)

    def notes(self) -> list[str]:
        """What a reader of the tables has to know."""
        found = []
        if self.num_finished < self.num_cells:
            found.append(
                f"{self.num_finished} of {self.num_cells} cells are finished; the tables are of these. A mean is "
                "over the method's own n units, a difference over those that both methods have finished."
            )
        found += self._on_checkpoints()
        family = self._largest_family()
        if len(family) > 1:
            found.append(f"Holm: corrected for the {len(family)} comparisons by the same measure.")
        found += _on_pairs([len(one.units) for one in self.comparisons])
        note = power_note(family)
        found += [] if note is None else [note]
        found += [
            f"On {task} the methods generated different numbers of completions ({listed}). "
            "max_generation_batches: 1 makes them equal."
            for task, listed in _unequal_samples(self.costs).items()
        ]
        if len({jobs for cost in self.costs for jobs in cost.jobs}) > 1:
            found.append("Cells were timed with different numbers of jobs: the costs are not comparable.")
        return found


def _on_pairs(numbers: Sequence[int]) -> list[str]:
    """What so many pairs can say; a half-finished grid has more of one method than of another."""
    few, most = min(numbers, default=0), max(numbers, default=0)
    if few == 0 or few >= ENOUGH:
        return []
    if most == 1:
        return ["One pair shows nothing about other seeds and checkpoints."]
    if few == most:
        listed, least = f"{few} pairs", f"{smallest_p(few):.2g}"
    else:
        listed = f"{few} to {most} pairs"
        least = f"{smallest_p(few):.2g} with {few}, {smallest_p(most):.2g} with {most}"
    one = " One pair shows nothing about other seeds and checkpoints." if few == 1 else ""
    return [
        f"{listed}: no p value can be below {least}, and the intervals are too narrow where units differ much (three "
        f"units: about 80 % instead of 95 %).{one}"
    ]


def _unequal_samples(costs: Sequence[MethodCost]) -> dict[str, str]:
    """Tasks on which a method generated over a twentieth more completions than another, with all numbers."""
    found = {}
    for task in dict.fromkeys(cost.task for cost in costs):
        of_task = [cost for cost in costs if cost.task == task and not math.isnan(cost.samples_generated)]
        samples = {cost.method: cost.samples_generated for cost in of_task}
        if samples and max(samples.values()) > 1.05 * min(samples.values()):
            found[task] = ", ".join(f"{method} {number:,.0f}" for method, number in samples.items())
    return found


def make_results(grid: Grid, outcomes: Sequence[Outcome], num_cells: int) -> Results:
    """Compare what is finished."""
    return Results(levels(grid, outcomes), compare(grid, outcomes), costs(grid, outcomes), len(outcomes), num_cells)


def costs(grid: Grid, outcomes: Sequence[Outcome]) -> list[MethodCost]:
    """Of each method on each task, in the grid's order."""
    found = []
    for task, of_task in by_task(grid, outcomes).items():
        seconds = {(one.cell.unit, one.cell.method): one.cost.seconds_per_step for one in of_task}
        relative = relative_cost(seconds, grid.baseline)
        for method in grid.methods:
            own = [one for one in of_task if one.cell.method == method]
            if not own:
                continue
            logged = [one.cost for one in own if one.cost.updates]  # a finished run may have lost its metrics
            mean, low, high = relative.get(method, (float("nan"),) * 3)
            found.append(
                MethodCost(
                    task,
                    method,
                    _mean([cost.seconds_per_step for cost in logged]),
                    mean,
                    low,
                    high,
                    _mean([cost.updates for cost in logged]),
                    _mean([cost.samples_generated for cost in logged]),
                    len(own),
                    tuple(sorted({jobs for one in own for jobs in one.jobs})),
                )
            )
    return found


def _mean(values: Iterable[float]) -> float:
    """Of those that are known; NaN without any."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def write_files(folder: Path, grid: Grid, outcomes: Sequence[Outcome], results: Results) -> None:
    """Write ``cells.parquet`` and ``results.json``, each whole or not at all."""
    write_cells(folder / "cells.parquet", outcomes, grid.k)
    content = {
        "schema_version": SCHEMA_VERSION,
        "grid": str(grid.path),
        "baseline": grid.baseline,
        "also": [list(pair) for pair in grid.also],
        "methods": {name: dict(fields) for name, fields in grid.methods.items()},
        "seeds": list(grid.seeds),
        "versions": {name: installed_version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "finished": results.num_finished,
        "cells": results.num_cells,
        "p": "two-sided sign-flip permutation test of the mean over units (checkpoint, seed)",
        "p_holm": "Holm's correction over all comparisons by the same measure: tasks x groups x pairs of methods",
        "notes": results.notes(),
        "levels": [asdict(level) for level in results.levels],
        "comparisons": [_described(one) for one in results.comparisons],
        "costs": [asdict(cost) for cost in results.costs],
    }
    text = json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / "results.json", text.encode("utf-8"))


def _described(one: Comparison) -> dict[str, Any]:
    """Flat, with the names that the tables use."""
    found = asdict(one)
    over = found.pop("over_checkpoints") or {}
    difference = found.pop("difference")
    difference["by_unit"] = difference.pop("by_seed")
    difference["interval"] = difference.pop("method")
    second = {
        f"{new}_over_checkpoints": over.get(old)
        for new, old in (("low", "low"), ("high", "high"), ("interval", "method"))
    }
    return {**found, **difference, **second}
