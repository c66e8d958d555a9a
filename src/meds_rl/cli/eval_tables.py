"""The tables that `meds eval` shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from meds_rl.evaluation.figures import shown_ks

if TYPE_CHECKING:
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
    "Below each figure: its 95 % bootstrap interval over problems. Exact: right answer and right\n"
    "working. Repeated: wrong answers that were already given to the problem, of all wrong ones.\n"
    "Distinct: different wrong answers a problem. Cut off: at the length limit."
)


def heading(group: GroupFigures) -> str:
    """What stands above a group's table."""
    problems = "1 problem" if group.num_problems == 1 else f"{group.num_problems} problems"
    return f"{group.benchmark}, {group.group}: {problems} x {group.num_samples} samples"


def at_k_table(group: GroupFigures, ks: Sequence[int] | None = None) -> Table:
    """What depends on k, for one group of problems: a column for each k, the interval below each figure."""
    table = _table()
    table.add_column("k", no_wrap=True)
    shown = shown_ks(group.num_samples, ks)
    for k in shown:
        table.add_column(str(k), justify="right", no_wrap=True)
    for kind in KINDS:
        if kind in group.at_k:
            table.add_row(kind, *(_cell(group.at_k[kind][k - 1], 3) for k in shown))
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
