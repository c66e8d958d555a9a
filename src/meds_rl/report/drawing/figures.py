"""Every figure of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meds_rl.report.drawing.figure import Figure
from meds_rl.report.drawing.forest import difference_figures
from meds_rl.report.drawing.lines import course_figures, evaluation_figures
from meds_rl.report.drawing.map import map_figures
from meds_rl.report.drawing.strips import error_figures
from meds_rl.report.drawing.ways import ways_figures


def all_figures(data: Mapping[str, Any]) -> list[Figure]:
    """Every figure of a report, in the order of the page."""
    return [
        *ways_figures(data),
        *error_figures(data),
        *map_figures(data),
        *course_figures(data),
        *evaluation_figures(data),
        *difference_figures(data),
    ]
