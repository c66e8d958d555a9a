"""Small panels side by side: what the figures of a grid have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = 2

WIDTH, ALONE = 250, 400
"""Of a panel, in points; of one that is alone."""

SIGNED = {"labelExpr": "datum.value == 0 ? '0' : format(datum.value, '+~g')"}
"""Differences on an axis."""

ONE_COLOUR = {"datum": "mean", "type": "nominal", "scale": {"domain": ["mean"]}, "legend": None}
"""The theme's first colour."""


TWO_LINES = "split(replace(datum.label, ' less ', '\\nless '), '\\n')"
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
