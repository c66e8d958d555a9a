"""Evaluations in training: a line a method, with the spread over units."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from meds_rl.experiments.course import COURSE_MEASURES, CoursePoint
from meds_rl.experiments.drawing.panels import facetted
from meds_rl.experiments.measures import title_of
from meds_rl.report.drawing.figure import SHAPES, SHORT, Figure, category, legend

MAX_LINES = 4
"""Of a figure: the bands of more could not be told apart. Each further figure has the baseline again."""


def course_figures(points: Sequence[CoursePoint], methods: Sequence[str], baseline: str) -> list[Figure]:
    """For each measure a figure; several where there are many methods."""
    return [
        figure
        for measure in COURSE_MEASURES
        for figure in _of_measure([one for one in points if one.measure == measure], methods, baseline)
    ]


def _of_measure(points: Sequence[CoursePoint], methods: Sequence[str], baseline: str) -> Iterator[Figure]:
    there = {one.method for one in points}
    first = [baseline] if baseline in there else []
    others = [name for name in methods if name in there and name != baseline]
    size = MAX_LINES - len(first)
    for number, start in enumerate(range(0, len(others) or min(1, len(first)), size)):
        shown = [*first, *others[start : start + size]]
        name = _name(points[0].measure, number)
        yield _course(name, [one for one in points if one.method in shown], shown)


def course_names(num_methods: int) -> list[str]:
    """Names of the figures of so many methods, the baseline among them; where it is not finished there are fewer."""
    number = max(1, -(-(num_methods - 1) // (MAX_LINES - 1)))
    return [_name(measure, place) for measure in COURSE_MEASURES for place in range(number)]


def _name(measure: str, place: int) -> str:
    """Of the figure at a place, counted from 0."""
    return f"course-{measure}" if place == 0 else f"course-{measure}-{place + 1}"


def _course(name: str, points: Sequence[CoursePoint], shown: Sequence[str]) -> Figure:
    rows = [
        {
            "panel": category(f"{one.task}: {one.group}"),
            "method": category(one.method),
            "step": one.step,
            "value": one.value,
            "low": None if math.isnan(one.spread) else max(0.0, one.value - one.spread),
            "high": None if math.isnan(one.spread) else min(1.0, one.value + one.spread),
        }
        for one in points
    ]
    panels = list(dict.fromkeys(str(row["panel"]) for row in rows))
    title = f"{title_of(points[0].measure, points[0].k)} in training"
    units = sorted({one.num_units for one in points})
    number = f"{units[0]}" if len(units) == 1 else f"{units[0]} to {units[-1]}"
    several = units[-1] > 1
    words = f"Mean of {number} units" + (
        "; the band is one standard deviation of the units" if several else ""
    )
    return Figure(name, title, words, facetted(panels, _layer(shown, several), 150), rows, words)


def _layer(shown: Sequence[str], several: bool) -> list[dict[str, Any]]:
    names = [category(name) for name in shown]
    x = {
        "field": "step",
        "type": "quantitative",
        "title": "step",
        "axis": {"grid": False, "tickCount": 5, **SHORT},
    }
    y = {
        "type": "quantitative",
        "title": None,
        "scale": {"zero": False},
        "axis": {"tickCount": 4, "domain": False, "ticks": False, **SHORT},
    }
    key = {**legend(names, 76), "symbolOpacity": 1}  # not the bands'
    colour = {"field": "method", "type": "nominal", "scale": {"domain": names}, "legend": key}
    shape = {**colour, "scale": {"domain": names, "range": list(SHAPES)}}
    band = {
        "mark": {"type": "area", "opacity": 0.13},
        "encoding": {
            "x": x,
            "y": {"field": "low", **y},
            "y2": {"field": "high"},
            "color": colour,
        },
    }
    line = {
        "mark": {"type": "line"},
        "encoding": {"x": x, "y": {"field": "value", **y}, "color": colour},
    }
    points = {
        "mark": {"type": "point", "filled": True, "size": 34, "opacity": 1},
        "encoding": {"x": x, "y": {"field": "value", **y}, "color": colour, "shape": shape},
    }
    return [*([band] if several else []), line, points]
