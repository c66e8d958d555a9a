"""Compares the methods of a grid in pairs: each with the baseline, and those that the grid names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from meds_lab.compare.grid import BEFORE, Grid
from meds_lab.compare.outcomes import MEASURES, Outcome, k_of, measure
from meds_lab.compare.significance import holm, sign_flip_p
from meds_rl.evaluation.paired import Pair, PairedDifference, paired_difference
from meds_rl.report.evaluations import figure, per_problem, read_problems
from meds_rl.rollouts.folder import RunFolder


@dataclass(frozen=True)
class Comparison:
    """One method against another, mostly the baseline: a task, a group of problems, a measure.

    Attributes:
        k: of pass@k.
        units: (checkpoint, seed) of each pair, in the order of ``difference.by_seed``.
        against: the method that it is compared with.
        difference: the method minus ``against``, with its interval over units and problems.
        over_checkpoints: the same with checkpoints drawn before their units; None where the units have one checkpoint.
        p: of the sign-flip test over units; NaN where a unit has no figure.
        p_holm: corrected for all comparisons by the same measure.
    """

    task: str
    group: str
    measure: str
    k: int
    method: str
    against: str
    units: tuple[tuple[str, int], ...]
    difference: PairedDifference
    over_checkpoints: PairedDifference | None
    p: float
    p_holm: float = math.nan


@dataclass(frozen=True)
class Level:
    """A method's figure by itself, mean over its units. ``method`` is `BEFORE` for the checkpoints before training."""

    task: str
    group: str
    measure: str
    k: int
    method: str
    value: float
    num_units: int


def compare(grid: Grid, outcomes: Sequence[Outcome], seed: int = 0) -> list[Comparison]:
    """Every method against the baseline, then the grid's other pairs, on the units that both have finished; none where
    there is no pair.

    Args:
        grid: has baseline, other pairs, k and groups.
        outcomes: the finished cells.
        seed: of the bootstrap and of random sign patterns.
    """
    against = [(method, grid.baseline) for method in grid.methods if method != grid.baseline]
    found = [
        one
        for task, of_task in by_task(grid, outcomes).items()
        for pair in (*against, *grid.also)
        for one in _of_pair(grid, task, of_task, pair, seed)
    ]
    return corrected(found)


def corrected(found: Sequence[Comparison]) -> list[Comparison]:
    """Holm's correction within each measure: over its tasks, groups and pairs of methods."""
    adjusted: dict[int, float] = {}
    for name in MEASURES:
        places = [place for place, one in enumerate(found) if one.measure == name]
        adjusted |= dict(zip(places, holm([found[place].p for place in places]), strict=True))
    return [replace(one, p_holm=adjusted[place]) for place, one in enumerate(found)]


def levels(grid: Grid, outcomes: Sequence[Outcome]) -> list[Level]:
    """Each method's own figures after training, and those before any: of all groups, those that are compared first."""
    found = []
    for task, of_task in by_task(grid, outcomes).items():
        k = k_of(of_task, grid.k)
        compared = groups_of(grid, of_task)
        for group in [*compared, *sorted(common_groups(of_task) - set(compared))]:
            for name in MEASURES:
                for method in (BEFORE, *grid.methods):
                    chosen = _first_of_units(of_task) if method == BEFORE else _of(of_task, method)
                    when = "before" if method == BEFORE else "after"
                    values = [_figure(one, group, name, k, when) for one in chosen]
                    if values and not all(math.isnan(value) for value in values):
                        mean = float(np.mean(values))
                        found.append(Level(task, group, name, k, method, mean, len(values)))
    return found


def by_task(grid: Grid, outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """The outcomes of each task that has any."""
    found = {task: [one for one in outcomes if one.cell.task == task] for task in grid.tasks}
    return {task: of_task for task, of_task in found.items() if of_task}


def groups_of(grid: Grid, outcomes: Sequence[Outcome]) -> list[str]:
    """Groups that every outcome of a task has, and the grid compares."""
    common = common_groups(outcomes)
    return sorted(common & set(grid.groups) if grid.groups else common)


def common_groups(outcomes: Sequence[Outcome]) -> set[str]:
    """Groups that every outcome of a task has."""
    return set.intersection(*(set(one.groups) for one in outcomes))


def _of_pair(
    grid: Grid, task: str, outcomes: Sequence[Outcome], pair: tuple[str, str], seed: int
) -> Iterator[Comparison]:
    method, baseline = pair
    others = {one.cell.unit: one for one in _of(outcomes, baseline)}
    pairs = [(others[one.cell.unit], one) for one in _of(outcomes, method) if one.cell.unit in others]
    if not pairs:
        return
    units = tuple((other.cell.checkpoint, other.cell.seed) for _, other in pairs)
    k = k_of(outcomes, grid.k)
    for group in groups_of(grid, outcomes):
        for name in MEASURES:
            measured = _measured(pairs, group, name, k)
            if measured is None:
                continue
            # Each comparison by itself: one more method or task leaves the others' intervals as they are.
            rng = np.random.default_rng(seed)
            found = paired_difference(measured, rng)
            p = sign_flip_p(found.by_seed, rng)
            over = _over_checkpoints(measured, units, seed)
            yield Comparison(task, group, name, k, method, baseline, units, found, over, p)


def _over_checkpoints(measured: Sequence[Pair], units: Sequence[tuple[str, int]], seed: int) -> PairedDifference | None:
    """The difference with the interval of the two-level bootstrap; None where there is one checkpoint to draw."""
    checkpoints = [checkpoint for checkpoint, _ in units]
    if len(set(checkpoints)) < 2:
        return None
    return paired_difference(measured, np.random.default_rng(seed), clusters=checkpoints)


def _measured(pairs: Sequence[tuple[Outcome, Outcome]], group: str, name: str, k: int) -> list[Pair] | None:
    found = []
    for a, b in pairs:
        left, right = (measure(one.problems(group), name, k) for one in (a, b))
        if left is None or right is None:
            return None
        found.append((left, right))
    return found


def _figure(outcome: Outcome, group: str, name: str, k: int, when: str) -> float:
    found = measure(outcome.problems(group, when), name, k)
    return math.nan if found is None else figure(found)


def _of(outcomes: Sequence[Outcome], method: str) -> list[Outcome]:
    return [one for one in outcomes if one.cell.method == method]


def _first_of_units(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """One outcome of each unit: all of them began from the same model."""
    units: Mapping[tuple[str, str, int], Outcome] = {one.cell.unit: one for one in reversed(outcomes)}
    return list(units.values())


# ---- Evaluations during training, by step, over the units that all methods have finished.

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
        grid: has k and groups.
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
