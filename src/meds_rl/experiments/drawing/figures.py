"""Every figure of a grid."""

from __future__ import annotations

from collections.abc import Sequence

from meds_rl.experiments.course import courses
from meds_rl.experiments.drawing.cost import cost_figures
from meds_rl.experiments.drawing.course import course_figures
from meds_rl.experiments.drawing.forest import forest_figures
from meds_rl.experiments.grid import Grid
from meds_rl.experiments.outcomes import Outcome
from meds_rl.experiments.results import Results
from meds_rl.report.drawing.figure import Figure


def grid_figures(grid: Grid, outcomes: Sequence[Outcome], results: Results) -> tuple[list[Figure], list[str]]:
    """Differences, course of training and cost, and what had to be left out and why."""
    points, notes = courses(grid, outcomes)
    return [
        *forest_figures(results.comparisons, grid.baseline),
        *course_figures(points, list(grid.methods), grid.baseline),
        *cost_figures(results.costs, grid.baseline),
    ], notes
