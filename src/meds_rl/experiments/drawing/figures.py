"""Every figure of a grid."""

from __future__ import annotations

from collections.abc import Sequence

from meds_rl.experiments.course import courses
from meds_rl.experiments.drawing.cost import cost_figures
from meds_rl.experiments.drawing.course import course_figures, course_names
from meds_rl.experiments.drawing.forest import DRAWN, figure_name, forest_figures
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


def figure_names(grid: Grid, with_courses: bool) -> list[str]:
    """Names of the figures that `grid_figures` may draw of a grid, once its cells are done.

    Args:
        grid: the grid.
        with_courses: whether there are evaluations in training.
    """
    kinds = ["difference", *(["pairs"] if grid.also else [])]
    forests = [figure_name(kind, measure) for kind in kinds for measure in DRAWN]
    return [*forests, *(course_names(len(grid.methods)) if with_courses else []), "cost"]
