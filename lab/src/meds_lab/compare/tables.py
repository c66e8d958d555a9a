"""What the tables of `meds-lab compare` say, as text: the terminal's and the Markdown's cells are the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

from meds_lab.compare.comparison import Comparison, Level
from meds_lab.compare.outcomes import MEASURES, title_of
from meds_lab.compare.results import MethodCost, Results
from meds_rl.evaluation.paired import PairedDifference

_PERCENT = ("repeated", "no_answer")
_DIFFERENCE = ("diff", "95 % interval", "> 0", "p", "Holm")
_SECOND = "95 % interval (checkpoints)"
_NONE = "–"


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are text.

    Attributes:
        title: of the table.
        columns: their names, without that of the rows' names.
        sections: heading (a measure; empty for none) and rows, each a name and one cell a column.
    """

    title: str
    columns: tuple[str, ...]
    sections: Sequence[tuple[str, Sequence[tuple[str, ...]]]]


def text_tables(results: Results, baseline: str, over_checkpoints: bool = False) -> Iterator[TextTable]:
    """For each task and group the measures and the other pairs, and for each task the cost.

    Args:
        results: of the grid.
        baseline: its.
        over_checkpoints: with the second interval, in tables that have one.
    """
    for task in dict.fromkeys(cost.task for cost in results.costs):
        for group in dict.fromkeys(level.group for level in results.levels if level.task == task):
            here = (task, group)
            levels = [level for level in results.levels if (level.task, level.group) == here]
            compared = [one for one in results.comparisons if (one.task, one.group) == here]
            second = over_checkpoints and any(one.over_checkpoints for one in compared)
            against = [one for one in compared if one.against == baseline]
            others = [one for one in compared if one.against != baseline]
            title = f"{task}: {group}, minus {baseline}" if compared else f"{task}: {group}, not compared"
            yield _measures(title, levels, against, second)
            if others:
                yield _other_pairs(f"{task}: {group}, other pairs", others, second)
        yield _cost(
            f"{task}: cost of training, relative to {baseline}",
            [cost for cost in results.costs if cost.task == task],
        )


def _measures(title: str, levels: Sequence[Level], compared: Sequence[Comparison], second: bool) -> TextTable:
    found = {(one.measure, one.method): one for one in compared}
    sections = []
    for name in MEASURES:
        rows = [level for level in levels if level.measure == name]
        if rows:
            cells = [
                (
                    level.method,
                    _number(name, level.value),
                    str(level.num_units),
                    *_cells(found.get((name, level.method)), second),
                )
                for level in rows
            ]
            sections.append((title_of(name, rows[0].k), cells))
    return TextTable(title, ("mean", "n", *_columns(second)), sections)


def _other_pairs(title: str, compared: Sequence[Comparison], second: bool) -> TextTable:
    sections = []
    for name in MEASURES:
        of_measure = [one for one in compared if one.measure == name]
        if of_measure:
            rows = [(f"{one.method} minus {one.against}", *_cells(one, second)) for one in of_measure]
            sections.append((title_of(name, of_measure[0].k), rows))
    return TextTable(title, _columns(second), sections)


def _columns(second: bool) -> tuple[str, ...]:
    return (*_DIFFERENCE[:2], *([_SECOND] if second else []), *_DIFFERENCE[2:])


def _cells(found: Comparison | None, second: bool) -> list[str]:
    number = len(_columns(second))
    if found is None:
        return [""] * number
    difference = found.difference
    if math.isnan(difference.difference):
        return [_NONE] * number
    name = found.measure
    return [
        _signed(name, difference.difference),
        _interval(name, difference),
        *([_interval(name, found.over_checkpoints)] if second else []),
        f"{difference.num_positive}/{len(found.units)}",
        _p(found.p),
        _p(found.p_holm),
    ]


def _interval(name: str, difference: PairedDifference | None) -> str:
    if difference is None:
        return _NONE
    return f"[{_signed(name, difference.low)}, {_signed(name, difference.high)}]"


def _cost(title: str, costs: Sequence[MethodCost]) -> TextTable:
    rows = [
        (
            cost.method,
            str(cost.num_units),
            _known(cost.seconds_per_step, ".2f"),
            _known(cost.relative, ".2f"),
            _NONE if math.isnan(cost.relative) else f"{cost.lowest:.2f}-{cost.highest:.2f}",
            _known(cost.updates, ",.0f"),
            _known(cost.samples_generated, ",.0f"),
            ", ".join(str(jobs) for jobs in cost.jobs) or _NONE,
        )
        for cost in costs
    ]
    columns = ("cells", "s/step", "relative", "range", "updates", "samples", "jobs")
    return TextTable(title, columns, [("", rows)])


def _known(value: float, form: str) -> str:
    return _NONE if math.isnan(value) else format(value, form)


def _number(name: str, value: float) -> str:
    if math.isnan(value):
        return _NONE
    if name in _PERCENT:
        return f"{value:.1%}"
    return f"{value:.2f}" if name == "distinct" else f"{value:.3f}"


def _signed(name: str, value: float) -> str:
    if math.isnan(value):
        return _NONE
    if name in _PERCENT:
        return f"{value:+.1%}"
    return f"{value:+.2f}" if name == "distinct" else f"{value:+.3f}"


def _p(value: float) -> str:
    if math.isnan(value):
        return _NONE
    return f"{value:.3f}" if value >= 0.001 else "<.001"


# ---- The tables of `meds-lab compare` in the terminal.


def tables(results: Results, baseline: str) -> Iterator[Table]:
    """For each task and group the measures and the other pairs, and for each task the cost."""
    return (_table(table) for table in text_tables(results, baseline))


def _table(given: TextTable) -> Table:
    """The first column holds names; the others hold numbers and keep their width."""
    table = Table(title=given.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("", overflow="fold")
    for name in given.columns:
        table.add_column(name, no_wrap=True, justify="right")
    for heading, rows in given.sections:
        if heading:
            table.add_row(heading)
        indent = "  " if heading else ""
        for place, (name, *cells) in enumerate(rows):
            table.add_row(f"{indent}{name}", *cells, end_section=bool(heading) and place == len(rows) - 1)
    return table
