"""The terminal tables that several subcommands show."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def console() -> Console:
    """The console that results are printed on (standard output)."""
    return Console(highlight=False)


def figures_table(title: str, rows: Mapping[str, Any], by_group: Mapping[str, Sequence[Any]]) -> Table:
    """One row for each group and each entry of ``rows`` (a label), with the figures of a ``Summary``."""
    table = Table(title=title, title_justify="left")
    table.add_column("problems")
    table.add_column("")
    k = next((s.k for summaries in by_group.values() for s in summaries if s is not None), 0)
    for name in ("pass@1", f"pass@{k}", "distinct wrong answers", "repeated errors", "no answer"):
        table.add_column(name, justify="right")
    for group, summaries in by_group.items():
        for number, (label, summary) in enumerate(zip(rows, summaries, strict=True)):
            name = f"{group} ({summary.num_problems})" if number == 0 else ""
            table.add_row(name, label, *_cells(summary), end_section=number == len(rows) - 1)
    return table


def before_after_table(method: str, before: Sequence[Any], after: Sequence[Any]) -> Table:
    """Evaluations before and after training."""
    labels = {label: None for label, there in (("before", before), (f"after {method}", after)) if there}
    groups: dict[str, list[Any]] = {}
    for evaluations in (before, after):
        for evaluation in evaluations:
            groups.setdefault(evaluation.group, []).append(evaluation.summary)
    return figures_table("Before and after training", labels, groups)


def _cells(summary: Any) -> list[str]:
    return [
        f"{summary.pass_at_1:.3f}",
        f"{summary.pass_at_k:.3f}",
        f"{summary.distinct_wrong:.1f}",
        f"{summary.repeated_errors:.1%}",
        f"{summary.no_answer:.1%}",
    ]
