"""Every figure of a grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meds_lab.compare.comparison import COURSE_MEASURES, Comparison, CoursePoint, courses
from meds_lab.compare.grid import Grid
from meds_lab.compare.outcomes import Outcome, title_of
from meds_lab.compare.results import MethodCost, Results
from meds_rl.report.drawing.figure import MUTED, SHAPES, SHORT, Figure, category, legend
from meds_rl.report.drawing.forest import SMALLEST_DIFFERENCE

# ---- Small panels side by side: what the figures of a grid have in common.

COLUMNS = 2

WIDTH, ALONE = 250, 400
"""Of a panel, in points; of one that is alone."""

SIGNED = {"labelExpr": "datum.value == 0 ? '0' : format(datum.value, '+~g')"}
"""Differences on an axis."""

ONE_COLOUR = {"datum": "mean", "type": "nominal", "scale": {"domain": ["mean"]}, "legend": None}
"""The theme's first colour."""


TWO_LINES = "split(replace(datum.label, ' minus ', '\\nminus '), '\\n')"
"""Labels of pairs: viewers whose letters are wider than the theme's would cut a long one off."""


def facetted(panels: Sequence[str], layer: Sequence[Mapping[str, Any]], height: int) -> dict[str, Any]:
    """A specification with one panel for each value of the column ``panel``, two in a row, on the same axes.

    Args:
        panels: their names, in order.
        layer: what each shows.
        height: of a panel, in points.
    """
    width = ALONE if len(panels) == 1 else WIDTH
    return {
        "data": {"name": "values"},
        "facet": {
            "field": "panel",
            "type": "nominal",
            "title": None,
            "sort": list(panels),
            "header": {"labelAnchor": "start", "labelLimit": width},
        },
        "columns": min(COLUMNS, len(panels)),
        "spacing": {"row": 26, "column": 22},
        "spec": {"width": width, "height": height, "layer": list(layer)},
    }


def rows_axis(names: Sequence[str]) -> dict[str, Any]:
    """The axis of methods, one a row."""
    return {
        "field": "method",
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(names)},
        "axis": {"domain": False, "ticks": False, "grid": False, "labelLimit": 220, "labelExpr": TWO_LINES},
    }


# ---- Paired differences of a grid's methods: a row a method, with the units that they are the mean of.

DRAWN = ("pass@1", "pass@k", "exact pass@k", "distinct")
"""Measures; of those that a grid's tasks have, each has a figure."""

_ROW = 34
_BELOW = 11
"""Points from a method's mean down to its units."""


def forest_figures(comparisons: Sequence[Comparison], baseline: str) -> list[Figure]:
    """For each measure one figure of the methods minus the baseline, and one of the other pairs."""
    against = [(one.method, one) for one in comparisons if one.against == baseline]
    others = [(f"{one.method} minus {one.against}", one) for one in comparisons if one.against != baseline]
    return [
        *_of_measures(against, "difference", f"minus {baseline}"),
        *_of_measures(others, "pairs", "other pairs"),
    ]


def figure_name(kind: str, measure: str) -> str:
    """Of a file.

    Example:
        >>> figure_name("pairs", "exact pass@k")
        'pairs-exact-pass@k'
    """
    return f"{kind}-{measure.replace(' ', '-')}"


def _of_measures(named: Sequence[tuple[str, Comparison]], name: str, what: str) -> Iterator[Figure]:
    for measure in DRAWN:
        chosen = [
            (label, one) for label, one in named if one.measure == measure and not math.isnan(one.difference.difference)
        ]
        if chosen:
            different = {one.k for _, one in chosen}  # tasks may have their own
            k = different.pop() if len(different) == 1 else "k"
            title = f"{title_of(measure, k)}, {what}"
            yield _forest(figure_name(name, measure), title, chosen)


def _forest(name: str, title: str, chosen: Sequence[tuple[str, Comparison]]) -> Figure:
    rows = [row for label, one in chosen for row in _rows(category(label), one)]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    panels = list(dict.fromkeys(row["panel"] for row in rows))
    checkpoints = list(dict.fromkeys(row["checkpoint"] for row in rows if "checkpoint" in row))
    second = any(one.over_checkpoints for _, one in chosen)
    layer = [*_means(methods, _axis(rows), second), _units(methods, _axis(rows), checkpoints)]
    bars = "bar: 95 % interval, thin: checkpoints drawn too" if second else "bar: 95 % interval"
    words = f"Point: mean over units; {bars}; small marks: the units"
    return Figure(name, title, words, facetted(panels, layer, _ROW * len(methods)), rows, words)


def _rows(label: str, one: Comparison) -> Iterator[dict[str, Any]]:
    """The mean with its intervals, and each unit."""
    same = {"panel": category(f"{one.task}: {one.group}"), "method": label}
    yield {**same, "difference": one.difference.difference, **_ends(one)}
    for (checkpoint, seed), value in zip(one.units, one.difference.by_seed, strict=True):
        yield {**same, "unit": value, "checkpoint": category(checkpoint), "seed": seed}


def _ends(one: Comparison) -> dict[str, float | None]:
    over = one.over_checkpoints
    ends = {"low": one.difference.low, "high": one.difference.high}
    ends |= {} if over is None else {"low2": over.low, "high2": over.high}
    return {name: None if math.isnan(value) else value for name, value in ends.items()}


def _axis(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of differences; such as are next to nothing are not blown up to the width of the panel."""
    names = ("difference", "low", "high", "low2", "high2", "unit")
    largest = max(abs(row[name]) for row in rows for name in names if row.get(name) is not None)
    scale = {"domain": [-SMALLEST_DIFFERENCE, SMALLEST_DIFFERENCE]} if largest < SMALLEST_DIFFERENCE else {}
    return {
        "type": "quantitative",
        "title": "difference",
        "scale": scale,
        "axis": {"tickCount": 4, **SIGNED},
    }


def _means(methods: Sequence[str], x: dict[str, Any], second: bool) -> list[dict[str, Any]]:
    same = {"y": rows_axis(methods), "color": ONE_COLOUR}
    bars = [*([("low2", "high2", 1.2)] if second else []), ("low", "high", 4.0)]
    return [
        {"mark": {"type": "rule", "strokeDash": [3, 3]}, "encoding": {"x": {"datum": 0}}},
        *(
            {
                "mark": {"type": "rule", "strokeWidth": width},
                "encoding": {**same, "x": {"field": low, **x}, "x2": {"field": high}},
            }
            for low, high, width in bars
        ),
        {
            "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
            "encoding": {**same, "x": {"field": "difference", **x}},
        },
    ]


def _units(methods: Sequence[str], x: dict[str, Any], checkpoints: Sequence[str]) -> dict[str, Any]:
    """A small mark a unit, its shape by checkpoint as far as there are shapes."""
    encoding: dict[str, Any] = {"y": rows_axis(methods), "x": {"field": "unit", **x}}
    if 1 < len(checkpoints) <= len(SHAPES):
        encoding["shape"] = {
            "field": "checkpoint",
            "type": "nominal",
            "scale": {"domain": list(checkpoints), "range": list(SHAPES)},
            "legend": {**legend(checkpoints), "values": list(checkpoints), "symbolStrokeColor": MUTED},
        }
    mark = {
        "type": "point",
        "size": 22,
        "strokeWidth": 1.2,
        "color": MUTED,
        "yOffset": _BELOW,
        "opacity": 0.9,
    }
    return {"mark": mark, "encoding": encoding, "transform": [{"filter": "isValid(datum.unit)"}]}


# ---- Evaluations in training: a line a method, with the spread over units.

MAX_LINES = 4
"""Of a figure: the bands of more could not be distinguished. Each further figure has the baseline again."""


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
    words = f"Mean of {number} units" + ("; the band is one standard deviation of the units" if several else "")
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


# ---- What a step of each method took, relative to the baseline.

_ROW_cost = 24


def cost_figures(costs: Sequence[MethodCost], baseline: str) -> list[Figure]:
    """One figure, a panel a task; none where nothing is timed in pairs."""
    rows = [
        {
            "panel": category(cost.task),
            "method": category(cost.method),
            "relative": cost.relative,
            "low": cost.lowest,
            "high": cost.highest,
        }
        for cost in costs
        if cost.method != baseline and not math.isnan(cost.relative)
    ]
    if not rows:
        return []
    methods = list(dict.fromkeys(str(row["method"]) for row in rows))
    panels = list(dict.fromkeys(str(row["panel"]) for row in rows))
    words = "Point: geometric mean over units; bar: least to greatest"
    spec = facetted(panels, _layer_cost(methods), _ROW_cost * len(methods))
    return [Figure("cost", f"Seconds a step, relative to {baseline}", words, spec, rows, words)]


def _layer_cost(methods: Sequence[str]) -> list[dict[str, Any]]:
    same = {"y": rows_axis(methods), "color": ONE_COLOUR}
    x = {
        "type": "quantitative",
        "title": "times the baseline",
        "scale": {"zero": False},
        "axis": {"tickCount": 5, "format": "~g"},
    }
    return [
        {"mark": {"type": "rule", "strokeDash": [3, 3]}, "encoding": {"x": {"datum": 1}}},
        {
            "mark": {"type": "rule", "strokeWidth": 3},
            "encoding": {**same, "x": {"field": "low", **x}, "x2": {"field": "high"}},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
            "encoding": {**same, "x": {"field": "relative", **x}},
        },
    ]


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
