"""The largest errors over training, a strip each: born, grew, died out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meds_rl.report.drawing.figure import SHORT, Figure, one_line, words_of

STRIPS = 24


def error_figures(data: Mapping[str, Any]) -> list[Figure]:
    """For each run and kind of error, a strip for each of the largest: when it was made, and how often."""
    figures = []
    for run in data["runs"]:
        for kind in ("cluster", "answer"):
            errors = [
                e for e in data["errors"] if e["run"] == run["id"] and e["by"] == kind and e["kind"] == kind
            ][:STRIPS]
            if errors and len(errors[0]["course"]) > 1:
                figures.append(_strips(data, run, kind, errors))
    return figures


def _strips(
    data: Mapping[str, Any], run: Mapping[str, Any], kind: str, errors: Sequence[Mapping[str, Any]]
) -> Figure:
    steps = run["stretches"]
    end = max(run["num_steps"], steps[-1] + 1)
    names = [_error_name(data, error, rank) for rank, error in enumerate(errors, 1)]
    rows = [
        {"error": name, "step": step, "next": following, "count": error["course"][place]}
        for name, error in zip(names, errors, strict=True)
        for place, (step, following) in enumerate(zip(steps, [*steps[1:], end], strict=True))
        if error["course"][place]
    ]
    spec = {
        "width": "container",
        "height": 19 * len(errors),
        "data": {"name": "values"},
        "mark": {"type": "rect", "cornerRadius": 1},
        "encoding": {
            "x": {
                "field": "step",
                "type": "quantitative",
                "title": "step",
                "axis": {"grid": False, **SHORT},
                "scale": {"domain": [steps[0], end], "nice": False},
            },
            "x2": {"field": "next"},
            "y": {
                "field": "error",
                "type": "nominal",
                "title": None,
                "scale": {"domain": names, "paddingInner": 0.18},
                "axis": {"labelLimit": 250, "domain": False, "ticks": False, "grid": False},
            },
            "color": {
                "field": "count",
                "type": "quantitative",
                "title": "times made",
                "legend": {"orient": "top", "gradientLength": 140, "format": "d", "tickMinStep": 1},
            },
            "tooltip": [
                {"field": "error", "type": "nominal", "title": "error"},
                {"field": "step", "type": "quantitative", "title": "from step", "format": ",.0f"},
                {"field": "count", "type": "quantitative", "title": "times made", "format": ","},
            ],
        },
    }
    what = {"cluster": "error clusters", "answer": "repeated wrong answers"}[kind]
    return Figure(
        f"errors-{kind}-{run['id']}",
        f"The largest {what} over training",
        "A row is one error of one prompt, the most frequent at the top; the darker, the more often it was made then.",
        spec,
        rows,
        run["name"],
    )


def _error_name(data: Mapping[str, Any], error: Mapping[str, Any], rank: int) -> str:
    prompt = one_line(words_of(data["prompts"][error["prompt"]]), 34)
    answer = f" = {one_line(error['answers'][0][0], 12)}" if error["answers"] else ""
    return f"{rank}. {prompt}{answer}"
