"""How the methods of a grid got on in training: their evaluations by step, over the units that all have finished."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meds_lab.compare.comparison import by_task, groups_of
from meds_lab.compare.grid import Grid
from meds_lab.compare.outcomes import Outcome, k_of
from meds_rl.report.problems import figure, per_problem, read_problems
from meds_rl.rollouts.folder import RunFolder

COURSE_MEASURES = ("pass@1", "pass@k")


@dataclass(frozen=True)
class CoursePoint:
    """One method at one step.

    Attributes:
        step: optimiser steps done.
        value: mean over units.
        spread: standard deviation over units (of a sample: n - 1); NaN for one unit.
        num_units: (checkpoint, seed).
    """

    task: str
    group: str
    measure: str
    k: int
    method: str
    step: int
    value: float
    spread: float
    num_units: int


def courses(grid: Grid, outcomes: Sequence[Outcome]) -> tuple[list[CoursePoint], list[str]]:
    """Mean figures by step, and what had to be left out and why.

    All lines of a task are over the same units, those that every begun method has finished, and at the same steps,
    those at which all of them were evaluated: a line never jumps because other units come in.

    Args:
        grid: says k and groups.
        outcomes: the finished cells.

    Raises:
        SamplesFileError: an evaluation cannot be read.
    """
    found: list[CoursePoint] = []
    notes = []
    for task, of_task in by_task(grid, outcomes).items():
        chosen = _of_common_units(of_task)
        steps = _common_steps(chosen)
        if not chosen:
            notes.append(f"No course of {task}: no unit has all methods finished.")
        elif len(steps) < 3:
            notes.append(f"No course of {task}: no evaluations in training that all cells have (eval_every).")
        else:
            found += _points(grid, task, chosen, steps)
    return found, notes


def _of_common_units(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The cells of those units that every method which has any has finished."""
    methods = {one.cell.method for one in outcomes}
    by_unit: dict[tuple[str, str, int], set[str]] = {}
    for one in outcomes:
        by_unit.setdefault(one.cell.unit, set()).add(one.cell.method)
    return [one for one in outcomes if by_unit[one.cell.unit] == methods]


def _common_steps(outcomes: Sequence[Outcome]) -> list[int]:
    """Steps at which all were evaluated."""
    each = [{step for step, _ in RunFolder(one.cell.folder).evaluations()} for one in outcomes]
    return sorted(set.intersection(*each)) if each else []


def _points(grid: Grid, task: str, outcomes: Sequence[Outcome], steps: Sequence[int]) -> list[CoursePoint]:
    values: dict[tuple[str, str, str, int], list[float]] = {}
    k = k_of(outcomes, grid.k)
    for one in outcomes:
        for step, path in RunFolder(one.cell.folder).evaluations():
            if step not in steps:
                continue
            problems = read_problems(path)
            for group in groups_of(grid, outcomes):
                of_group = problems[problems["group"] == group]
                for name in COURSE_MEASURES:
                    value = figure(per_problem(of_group, name, k))
                    values.setdefault((group, name, one.cell.method, step), []).append(value)
    return [
        CoursePoint(task, group, name, k, method, step, float(np.mean(found)), _spread(found), len(found))
        for (group, name, method, step), found in values.items()
    ]


def _spread(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
