"""Lines over training: the course of training, and evaluations."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

from meds_rl.report.drawing.figure import (
    PERCENT,
    SHORT,
    Figure,
    category,
    legend,
    names,
    numbers,
    specification,
    step_axis,
    variants_of,
)

MAX_POINTS = 300
"""Points of a drawn line."""

FEW_POINTS = 12
"""A line of fewer points has a dot at each: one of a single point would not be seen."""

MARGIN = 12
"""Pixels between the axes and what is drawn, so that a dot lies on no label."""


def course_figures(data: Mapping[str, Any]) -> list[Figure]:
    """One figure for each panel of the course of training."""
    return [
        _course(data, panel, f"course-{panel['id']}", data["course"]["values"]) for panel in data["course"]["panels"]
    ]


def evaluation_figures(data: Mapping[str, Any]) -> list[Figure]:
    """One figure for each measure of the evaluations and group of problems."""
    evaluations = data.get("evaluations")
    if not evaluations:
        return []
    figures = []
    for panel in evaluations["panels"]:
        for line in panel["lines"]:
            only = {**panel, "lines": [line]}
            name = f"evaluation-{panel['id']}-{line['id']}"
            figure = _course(data, only, name, evaluations["values"], points=True, group=line["label"])
            if figure.values:
                figures.append(figure)
    return figures


def _course(
    data: Mapping[str, Any],
    panel: Mapping[str, Any],
    name: str,
    values: Mapping[str, Sequence[Any]],
    *,
    points: bool = False,
    group: str = "",
) -> Figure:
    runs = {run["id"]: run for run in data["runs"]}
    labels = {line["id"]: line["label"] for line in panel["lines"]}
    rows = [
        {
            "run": category(runs[run]["name"]),
            "variant": category(runs[run]["variant"]),
            "line": category(labels[line]),
            "step": x,
            "value": y,
        }
        for run, of, line, x, y in zip(
            *(values[column] for column in ("run", "panel", "line", "step", "value")), strict=True
        )
        if of == panel["id"] and line in labels and y is not None
    ]
    rows = bin_means(rows, ("run", "variant", "line"), MAX_POINTS)
    shown = {row["variant"] for row in rows}
    few = len({row["step"] for row in rows}) <= FEW_POINTS
    if points and len({row["step"] for row in rows}) == 1 and all(run.get("is_evaluation") for run in data["runs"]):
        spec = _dots(data["runs"], panel, shown)
    else:
        spec = _lines(data["runs"], panel, shown, points=points or few, zero=bool(panel["percent"]) and points)
    return Figure(name, str(panel["title"]), str(panel["help"]), spec, rows, group, bool(panel["percent"]))


def _values(panel: Mapping[str, Any], zero: bool) -> dict[str, Any]:
    return numbers(
        "value",
        title=panel["unit"] or None,
        axis={"tickCount": 4, "domain": False, "ticks": False, **(PERCENT if panel["percent"] else SHORT)},
        scale={"zero": zero},
    )


def _lines(
    runs: Sequence[Mapping[str, Any]], panel: Mapping[str, Any], shown: Collection[str], *, points: bool, zero: bool
) -> dict[str, Any]:
    """Lines over training, by variant (colour) and line (dash); several seeds are faint, and their mean is not."""
    lines = [category(line["label"]) for line in panel["lines"]]
    variants = variants_of(runs)
    several_seeds = len(runs) > len(variants)
    colour = "variant" if len(runs) > 1 else "line"
    domain = variants if colour == "variant" else lines
    named = [name for name in variants if name in shown] if colour == "variant" else lines
    y = _values(panel, zero)
    shown_legend = {**legend(named), "values": named, "symbolOpacity": 1} if len(domain) > 1 else None
    encoding = {
        "x": {**step_axis(tickCount=5, tickMinStep=1), **({"scale": {"padding": MARGIN}} if points else {})},
        "y": y,
        "color": names(colour, scale={"domain": domain}, legend=shown_legend),
    }
    if len(lines) > 1 and colour == "variant":
        encoding["strokeDash"] = names(
            "line",
            scale={"domain": lines, "range": [[1, 0], [5, 4], [1, 4], [8, 3, 1, 3]]},
            legend={**legend(lines), "symbolOpacity": 1, "symbolType": "stroke"},
        )
    thin = {"opacity": 0.28, "strokeWidth": 1} if several_seeds else {"opacity": 1, "strokeWidth": 2}
    each: dict[str, Any] = {"mark": {"type": "line", **thin}, "encoding": {"detail": names("run")}}
    mean = {"mark": {"type": "line"}, "encoding": {"y": {**y, "aggregate": "mean"}}}
    select = {"type": "point", "nearest": True, "on": "pointermove", "clear": "pointerout"}
    hover = {
        "mark": {"type": "point", "filled": True, "size": 46},
        "params": [{"name": "near", "select": select}],
        "encoding": {
            "opacity": {"condition": {"param": "near", "empty": False, "value": 1}, "value": 1 if points else 0},
            "tooltip": [
                names("run", title="run"),
                names("line", title="line"),
                numbers("step", title="step", format=",.0f"),
                numbers("value", title=panel["title"], format=".1%" if panel["percent"] else ".3~g"),
            ],
            "detail": names("run"),
        },
    }
    layer = [each, *([mean] if several_seeds else []), hover]
    return specification(170, encoding=encoding, layer=layer)


def _dots(runs: Sequence[Mapping[str, Any]], panel: Mapping[str, Any], shown: Collection[str]) -> dict[str, Any]:
    """Evaluations without steps: a dot for each run, by variant; several seeds are faint, and their mean is not."""
    variants = variants_of(runs)
    rows = [name for name in variants if name in shown]
    several_seeds = len(runs) > len(variants)
    x = _values(panel, zero=True)
    axis = {"domain": False, "ticks": False, "grid": False, "labelLimit": 160, "labelPadding": 8}
    encoding = {
        "y": names("variant", title=None, scale={"domain": rows}, axis=axis),
        "x": x,
        "color": names("variant", scale={"domain": variants}, legend=None),
    }
    value = numbers("value", title=panel["title"], format=".1%" if panel["percent"] else ".3~g")
    each = {
        "mark": {"type": "point", "filled": True, "size": 46, "opacity": 0.4 if several_seeds else 1},
        "encoding": {"tooltip": [names("run", title="run"), value]},
    }
    mean = {
        "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
        "encoding": {"x": {**x, "aggregate": "mean"}, "tooltip": [names("variant"), {**value, "aggregate": "mean"}]},
    }
    return specification(30 * len(rows), encoding=encoding, layer=[each, *([mean] if several_seeds else [])])


def bin_means(rows: Sequence[Mapping[str, Any]], by: Sequence[str], limit: int) -> list[dict[str, Any]]:
    """Average ``value`` and ``step`` over equal stretches of each line with more than ``limit`` points.

    Args:
        rows: each with ``step``, ``value`` and the columns ``by``, which identify a line.
        by: columns.
        limit: points a line, 1 or more.

    Returns:
        Rows of the same columns, line after line, steps ascending; unchanged where a line is short enough.

    Example:
        >>> rows = [{"line": "a", "step": step, "value": float(step)} for step in range(4)]
        >>> bin_means(rows, ["line"], 2)
        [{'line': 'a', 'step': 0.5, 'value': 0.5}, {'line': 'a', 'step': 2.5, 'value': 2.5}]
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1; got {limit}.")
    lines: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        lines.setdefault(tuple(row[name] for name in by), []).append(row)
    return [short for line in lines.values() for short in _shortened(sorted(line, key=_step), limit)]


def _step(row: Mapping[str, Any]) -> float:
    return float(row["step"])


def _shortened(line: Sequence[Mapping[str, Any]], limit: int) -> list[dict[str, Any]]:
    if len(line) <= limit:
        return [dict(row) for row in line]
    edges = [round(place * len(line) / limit) for place in range(limit + 1)]
    return [
        {**line[start], "step": _mean(line[start:end], "step"), "value": _mean(line[start:end], "value")}
        for start, end in pairwise(edges)
    ]


def _mean(rows: Sequence[Mapping[str, Any]], column: str) -> float:
    return sum(float(row[column]) for row in rows) / len(rows)
