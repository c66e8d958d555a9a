"""The course of training of several runs: for each panel and line, values by optimiser step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from meds_rl.report.batches import BatchFigures, Line
from meds_rl.report.logged import PREFERRED, logged_figures
from meds_rl.report.panels import PANELS
from meds_rl.report.remembered_course import eigenvalue_ratios, repeated_clusters
from meds_rl.report.source import RunData

Course: TypeAlias = dict[Line, dict[int, float]]
"""Panel and line -> optimiser steps done when the batch was sampled -> value."""

MAX_POINTS = 1000
"""Of a line; a longer one is averaged over stretches of equal length."""

OF_THE_MEMORY = {"penalty", "memory", "time", "time_share"}


def course_table(courses: Mapping[int, Course], group_size: int | None = None) -> dict[str, Any]:
    """Panels and values of several runs, as the report's data has them.

    A line that no run has is left out, and so is a panel without lines.

    Args:
        courses: The number of each run, and its course.
        group_size: G, where all runs have the same; pass@G is then called by its number.
    """
    values: dict[str, list[Any]] = {name: [] for name in ("run", "panel", "line", "step", "value")}
    for run, lines in courses.items():
        for (panel, line), points in lines.items():
            for step, value in thinned(points):
                for column, item in zip(values.values(), (run, panel, line, step, value), strict=True):
                    column.append(item)
    there = {line for lines in courses.values() for line in lines}
    panels = [
        panel.with_lines([line for line, _ in panel.lines if (panel.id, line) in there]) for panel in PANELS
    ]
    shown = [panel.with_group_size(group_size).to_dict() for panel in panels if panel.lines]
    return {"panels": shown, "values": values}


def run_course(run: RunData) -> Course:
    """One run's course: from its rollouts where they tell, else from what was logged, else from its memory."""
    sampled = _sampled(run)
    logged = logged_course(run.metrics)
    lines = {**eigenvalue_ratios(run), **repeated_clusters(run), **logged, **sampled}
    lines |= {line: points for line, points in logged.items() if line[0] in PREFERRED}
    if not has_memory(run):
        lines = {line: points for line, points in lines.items() if not _of_the_memory(line)}
    return lines


def logged_course(metrics: Sequence[Mapping[str, Any]]) -> Course:
    """What ``metrics.jsonl`` tells. A row is written after the step whose batch it describes: that step less one."""
    lines: Course = {}
    for row in metrics:
        for line, value in logged_figures(row).items():
            lines.setdefault(line, {})[max(0, int(row["step"]) - 1)] = value
    return lines


def has_memory(run: RunData) -> bool:
    """Whether a memory shaped its rewards."""
    if run.memory is not None or any("meds/memory_size" in row for row in run.metrics):
        return True
    return bool(len(run.rollouts)) and bool((run.rollouts["reason"] != "no_memory").any())


def thinned(points: Mapping[int, float]) -> Iterator[tuple[int, float]]:
    """The points in order; of more than `MAX_POINTS` the means of equal stretches, each at its first step."""
    steps = sorted(points)
    size = -(-len(steps) // MAX_POINTS) or 1
    for start in range(0, len(steps), size):
        stretch = steps[start : start + size]
        yield stretch[0], float(np.mean([points[step] for step in stretch]))


def _sampled(run: RunData) -> Course:
    figures = BatchFigures()
    sums: dict[Line, dict[int, list[float]]] = {}
    for _, batch in run.rollouts.groupby("generation", sort=True):
        step = int(batch["step"].iloc[0])
        for line, value in figures.add(batch).items():
            sums.setdefault(line, {}).setdefault(step, []).append(value)
    return {
        line: {step: float(np.mean(values)) for step, values in steps.items()} for line, steps in sums.items()
    }


def _of_the_memory(line: Line) -> bool:
    return line[0] in OF_THE_MEMORY or line == ("reward", "shaped")
