"""Paired differences to a baseline, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meds_rl.report.drawing.figure import Figure, category, legend, names, numbers, specification, variants_of

MARGIN = 12
"""Pixels between the axes and what is drawn, so that a dot lies on no label."""

SMALLEST_DIFFERENCE = 0.01
"""Half the width of the axis, at least."""


def difference_figures(data: Mapping[str, Any]) -> list[Figure]:
    """For each measure the paired difference of every variant to the baseline, with its interval, by group."""
    differences = data.get("differences")
    if not differences:
        return []
    variants = variants_of(data["runs"])
    figures = []
    for number, metric in enumerate(dict.fromkeys(row["metric"] for row in differences["rows"])):
        rows = [
            {
                "group": category(row["group"]),
                "variant": category(row["variant"]),
                "difference": row["difference"],
                "low": row["low"],
                "high": row["high"],
                "seeds": f"{row['num_agree']} of {row['num_seeds']}",
            }
            for row in differences["rows"]
            if row["metric"] == metric and row["difference"] is not None
        ]
        if rows:
            name = next(row["title"] for row in differences["rows"] if row["metric"] == metric)
            others = list(dict.fromkeys(row["variant"] for row in rows))
            what = (
                f"{others[0].strip()} − {differences['baseline']}"
                if len(others) == 1
                else f"difference to {differences['baseline']}"
            )
            title = f"{name}, {what}"
            one_each = differences.get("are_evaluations") and all(row["num_seeds"] == 1 for row in differences["rows"])
            paired = "problem" if one_each else "seed and problem"
            help_ = f"Paired by {paired}; the bar is a 95 % interval."
            figures.append(Figure(f"difference-{number}", title, help_, _forest(rows, variants), rows))
    return figures


def _forest(rows: Sequence[Mapping[str, Any]], variants: Sequence[str]) -> dict[str, Any]:
    groups = list(dict.fromkeys(row["group"] for row in rows))
    shown = list(dict.fromkeys(row["variant"] for row in rows))
    axis = {"domain": False, "ticks": False, "grid": False, "labelLimit": 160}
    encoding: dict[str, Any] = {
        "y": names("group", title=None, scale={"domain": groups}, axis=axis),
        "yOffset": names("variant", scale={"domain": shown}),
        "color": names(
            "variant",
            scale={"domain": list(variants)},
            legend={**legend(shown), "values": shown} if len(shown) > 1 else None,
        ),
        "tooltip": [
            names("variant", title="variant"),
            names("group", title="problems"),
            numbers("difference", title="difference", format="+.3f"),
            numbers("low", title="95 % from", format="+.3f"),
            numbers("high", title="to", format="+.3f"),
            names("seeds", title="seeds that agree"),
        ],
    }
    largest = max((abs(row[end]) for row in rows for end in ("low", "high") if row[end] is not None), default=0.0)
    # Do not stretch tiny differences over the width of the figure.
    narrow = {"domain": [-SMALLEST_DIFFERENCE, SMALLEST_DIFFERENCE]} if largest < SMALLEST_DIFFERENCE else {}
    scale = {"padding": MARGIN, **narrow}
    x_axis = {"title": "difference", "scale": scale, "axis": {"tickCount": 5, "format": "+~g"}}
    layer = [
        {"mark": {"type": "rule", "strokeDash": [3, 3]}, "encoding": {"x": {"datum": 0}}},
        {
            "mark": {"type": "rule", "strokeWidth": 3},
            "encoding": {**encoding, "x": numbers("low", **x_axis), "x2": {"field": "high"}},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
            "encoding": {**encoding, "x": numbers("difference", **x_axis)},
        },
    ]
    return specification(len(groups) * max(26, 16 * len(shown)), layer=layer)
