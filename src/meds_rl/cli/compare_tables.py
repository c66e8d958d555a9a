"""The tables of `meds compare`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table

from meds_rl.experiments.comparison import Comparison, Level
from meds_rl.experiments.measures import MEASURES, title_of
from meds_rl.experiments.results import MethodCost, Results

_PERCENT = ("repeated", "no_answer")


def tables(results: Results, baseline: str) -> Iterator[Table]:
    """For each task and group the measures, and for each task the cost."""
    for task in dict.fromkeys(level.task for level in results.levels):
        of_task = [level for level in results.levels if level.task == task]
        for group in dict.fromkeys(level.group for level in of_task):
            yield _measures(
                f"{task}: {group}",
                [level for level in of_task if level.group == group],
                {
                    (one.measure, one.method): one
                    for one in results.comparisons
                    if (one.task, one.group) == (task, group)
                },
                baseline,
            )
        yield _cost(
            f"{task}: cost of training", [cost for cost in results.costs if cost.task == task], baseline
        )


def _table(title: str, *columns: str) -> Table:
    """The first column holds names; the others hold numbers and keep their width."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", overflow="fold")
    for name in columns:
        table.add_column(name, no_wrap=True, justify="right")
    return table


def _measures(
    title: str, levels: Sequence[Level], comparisons: dict[tuple[str, str], Comparison], baseline: str
) -> Table:
    table = _table(f"{title}, less {baseline}", "mean", "diff", "95 % interval", "> 0", "p", "Holm")
    for name in MEASURES:
        rows = [level for level in levels if level.measure == name]
        if rows:
            table.add_row(title_of(name, rows[0].k))
        for place, level in enumerate(rows):
            found = comparisons.get((name, level.method))
            value = "–" if math.isnan(level.value) else _number(name, level.value)
            table.add_row(
                f"  {level.method}", value, *_difference(name, found), end_section=place == len(rows) - 1
            )
    return table


def _difference(name: str, found: Comparison | None) -> list[str]:
    if found is None:
        return [""] * 5
    difference = found.difference
    if math.isnan(difference.difference):
        return ["–"] * 5
    interval = f"[{_signed(name, difference.low)}, {_signed(name, difference.high)}]"
    positive = f"{difference.num_positive}/{len(found.units)}"
    return [_signed(name, difference.difference), interval, positive, _p(found.p), _p(found.p_holm)]


def _cost(title: str, costs: Sequence[MethodCost], baseline: str) -> Table:
    table = _table(
        f"{title}, relative to {baseline}",
        "cells",
        "s/step",
        "relative",
        "range",
        "updates",
        "samples",
        "jobs",
    )
    for cost in costs:
        known = not math.isnan(cost.relative)
        table.add_row(
            cost.method,
            str(cost.num_units),
            f"{cost.seconds_per_step:.2f}",
            f"{cost.relative:.2f}" if known else "–",
            f"{cost.lowest:.2f}-{cost.highest:.2f}" if known else "–",
            f"{cost.updates:,.0f}",
            f"{cost.samples_generated:,.0f}",
            ", ".join(str(jobs) for jobs in cost.jobs) or "–",
        )
    return table


def _number(name: str, value: float) -> str:
    if name in _PERCENT:
        return f"{value:.1%}"
    return f"{value:.2f}" if name == "distinct" else f"{value:.3f}"


def _signed(name: str, value: float) -> str:
    if math.isnan(value):
        return "–"
    if name in _PERCENT:
        return f"{value:+.1%}"
    return f"{value:+.2f}" if name == "distinct" else f"{value:+.3f}"


def _p(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.3f}" if value >= 0.001 else "<.001"
