"""What a step of each method took, relative to the baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from meds_rl.experiments.drawing.panels import ONE_COLOUR, facetted, rows_axis
from meds_rl.experiments.results import MethodCost
from meds_rl.report.drawing.figure import Figure, category

_ROW = 24


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
    spec = facetted(panels, _layer(methods), _ROW * len(methods))
    return [Figure("cost", f"Seconds a step, relative to {baseline}", words, spec, rows, words)]


def _layer(methods: Sequence[str]) -> list[dict[str, Any]]:
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
