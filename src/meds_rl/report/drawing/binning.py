"""Fewer points for a line that is too long to be drawn: the means of equal stretches."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any


def bin_means(rows: Sequence[Mapping[str, Any]], by: Sequence[str], limit: int) -> list[dict[str, Any]]:
    """Average ``value`` and ``step`` over stretches of a line, so that no line has more than ``limit`` points.

    Args:
        rows: each with ``step``, ``value`` and the columns ``by``, which tell the lines apart.
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
