"""Paired differences of a grid's methods: a row a method, with the units that they are the mean of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from meds_rl.experiments.comparison import Comparison
from meds_rl.experiments.drawing.panels import ONE_COLOUR, SIGNED, facetted, rows_axis
from meds_rl.experiments.measures import title_of
from meds_rl.report.drawing.figure import SHAPES, Figure, category, legend
from meds_rl.report.drawing.forest import SMALLEST_DIFFERENCE
from meds_rl.report.drawing.theme import MUTED

DRAWN = ("pass@1", "pass@k", "exact pass@k", "distinct")
"""Measures; of those that a grid's tasks have, each has a figure."""

_ROW = 34
_BELOW = 11
"""Points from a method's mean down to its units."""


def forest_figures(comparisons: Sequence[Comparison], baseline: str) -> list[Figure]:
    """For each measure one figure of the methods less the baseline, and one of the other pairs."""
    against = [(one.method, one) for one in comparisons if one.against == baseline]
    others = [(f"{one.method} less {one.against}", one) for one in comparisons if one.against != baseline]
    return [
        *_of_measures(against, "difference", f"less {baseline}"),
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
            (label, one)
            for label, one in named
            if one.measure == measure and not math.isnan(one.difference.difference)
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
