"""The tables that `meds eval` shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from meds_rl.cli.tables import console
from meds_rl.evaluation.figures import shown_ks

if TYPE_CHECKING:
    from rich.console import Console

    from meds_rl.evaluation.figures import GroupFigures
    from meds_rl.evaluation.intervals import Estimate

KINDS = ("pass@k", "exact pass@k", "maj@k")
SINGLE = {
    "no_answer": ("no answer", 3),
    "cut_off": ("cut off", 3),
    "repeated_errors": ("repeated", 3),
    "distinct_wrong": ("distinct", 1),
    "mean_tokens": ("tokens", 1),
}
"""Name of a figure -> heading and decimals."""

CAPTION = (
    "Below each figure: its 95 % bootstrap interval over problems. Exact: right\n"
    "answer and right working. Repeated: wrong answers that were already given to\n"
    "the problem, of all wrong ones. Distinct: different wrong answers a problem.\n"
    "Cut off: at the length limit."
)

FILE_WIDTH = 10_000
"""Columns of a page that is no terminal: nothing is cut there."""


def page() -> Console:
    """The console; where its output goes to a file or another program, wide enough for every table."""
    out = console()
    if not out.is_terminal:
        out.width = FILE_WIDTH
    return out


def heading(group: GroupFigures) -> str:
    """What stands above a group's table."""
    problems = "1 problem" if group.num_problems == 1 else f"{group.num_problems} problems"
    return f"{group.benchmark}, {group.group}: {problems} x {group.num_samples} samples"


def at_k_tables(group: GroupFigures, out: Console, ks: Sequence[int] | None = None) -> list[Table]:
    """What depends on k, for one group of problems: a column for each k, the interval below each figure.

    Where the columns do not fit side by side on the console, there are several tables, one below the other.
    """
    left = shown_ks(group.num_samples, ks)
    tables = []
    while left:
        fitting = next(
            (n for n in range(len(left), 1, -1) if _width(_at_k_table(group, left[:n]), out) <= out.width), 1
        )
        tables.append(_at_k_table(group, left[:fitting]))
        left = left[fitting:]
    return tables


def _width(table: Table, out: Console) -> int:
    return out.measure(table, options=out.options.update(width=FILE_WIDTH)).maximum


def _at_k_table(group: GroupFigures, ks: Sequence[int]) -> Table:
    table = _table()
    table.add_column("k", no_wrap=True)
    for k in ks:
        table.add_column(str(k), justify="right", no_wrap=True)
    for kind in KINDS:
        if kind in group.at_k:
            table.add_row(kind, *(_cell(group.at_k[kind][k - 1], 3) for k in ks))
    return table


def single_table(groups: Sequence[GroupFigures]) -> Table:
    """What does not depend on k: a row for each group."""
    table = _table()
    table.add_column("", max_width=24, overflow="fold")
    for title, _ in SINGLE.values():
        table.add_column(title, justify="right", no_wrap=True)
    for group in groups:
        cells = (_cell(group.figures[name], decimals) for name, (_, decimals) in SINGLE.items())
        table.add_row(f"{group.benchmark}\n{group.group}", *cells)
    return table


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False)


def _cell(estimate: Estimate, decimals: int) -> str:
    """The figure and, on a line of its own, the interval: of shares with two decimals, no zero before the point."""
    value = f"{estimate.value:.{decimals}f}"
    if estimate.low is None or estimate.high is None:
        return value
    ends = (f"{end:.{min(decimals, 2)}f}" for end in (estimate.low, estimate.high))
    return f"{value}\n" + "–".join(end.removeprefix("0") if decimals == 3 else end for end in ends)
