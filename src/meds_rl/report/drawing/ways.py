"""Ways of going wrong over training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meds_rl.report.drawing.figure import MAX_KINDS, SHAPES, SHORT, Figure, category, legend

MAX_STRETCHES = 20


def ways_figures(data: Mapping[str, Any]) -> list[Figure]:
    """For each run, what share of its wrong completions each way of going wrong had over training."""
    figures = []
    for run in data["runs"]:
        ways = [way for way in data["ways"] if way["run"] == run["id"]]
        (all_wrong, *ways), steps = _merged([{"course": run["wrong_course"]}, *ways], run["stretches"])
        named = ways[: MAX_KINDS - 1]
        if not named or len(steps) < 2:
            continue
        names = [category(way["name"]) for way in named]
        totals = all_wrong["course"]
        rows = [
            {
                "way": name,
                "step": step,
                "share": way["course"][place] / totals[place],
                "count": way["course"][place],
            }
            for name, way in zip(names, named, strict=True)
            for place, step in enumerate(steps)
            if totals[place]
        ]
        spec = {
            "width": "container",
            "height": 220,
            "data": {"name": "values"},
            "mark": {"type": "line", "point": {"size": 22}},
            "encoding": {
                "x": {
                    "field": "step",
                    "type": "quantitative",
                    "title": "step",
                    "axis": {"grid": False, **SHORT},
                },
                "y": {
                    "field": "share",
                    "type": "quantitative",
                    "title": "of the wrong completions",
                    "axis": {"format": ".0%", "tickCount": 5, "domain": False, "ticks": False},
                },
                "color": {
                    "field": "way",
                    "type": "nominal",
                    "scale": {"domain": names},
                    "legend": legend(names),
                },
                "shape": {
                    "field": "way",
                    "type": "nominal",
                    "scale": {"domain": names, "range": list(SHAPES)},
                    "legend": legend(names),
                },
                "tooltip": [
                    {"field": "way", "type": "nominal", "title": "way"},
                    {"field": "step", "type": "quantitative", "title": "from step", "format": ",.0f"},
                    {"field": "share", "type": "quantitative", "title": "share", "format": ".1%"},
                    {"field": "count", "type": "quantitative", "title": "completions", "format": ","},
                ],
            },
        }
        figures.append(
            Figure(
                f"ways-{run['id']}",
                "Ways of going wrong over training",
                "Share of the wrong completions of each stretch of training that went wrong in this way.",
                spec,
                rows,
                run["name"],
            )
        )
    return figures


def _merged(
    rows: Sequence[Mapping[str, Any]], steps: Sequence[int]
) -> tuple[list[dict[str, Any]], list[int]]:
    """Courses in at most ``MAX_STRETCHES`` stretches, neighbours added up, and the first step of each."""
    width = -(-len(steps) // MAX_STRETCHES)
    starts = range(0, len(steps), width)
    merged = [
        {**row, "course": [sum(row["course"][start : start + width]) for start in starts]} for row in rows
    ]
    return merged, [steps[start] for start in starts]
