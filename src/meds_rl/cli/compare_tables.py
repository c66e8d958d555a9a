"""The tables of `meds compare` in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.table import Table

from meds_rl.cli.compare_rows import TextTable, text_tables
from meds_rl.experiments.results import Results


def tables(results: Results, baseline: str) -> Iterator[Table]:
    """For each task and group the measures and the other pairs, and for each task the cost."""
    return (_table(table) for table in text_tables(results, baseline))


def _table(given: TextTable) -> Table:
    """The first column holds names; the others hold numbers and keep their width."""
    table = Table(
        title=given.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
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
