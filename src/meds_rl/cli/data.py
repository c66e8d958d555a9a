"""`meds data`: write the paper's training set, unified and deduplicated, as one parquet file."""

from __future__ import annotations

import argparse
from pathlib import Path

from meds_rl.tasks.mathematics import (
    DAPO_HUB,
    MATH_HUB,
    PAPER_LEVELS,
    SourceCounts,
    check_output,
    collect,
    write_parquet,
)

DESCRIPTION = """\
Write the paper's training set as one parquet file that `task: math` (TRL) and verl read: DAPO-Math-17K and
MATH levels 3 to 5, one prompt format, answers extracted, duplicates and contradictory answers left out.
Without --dapo and --math both come from the hub; with one of them only what you name is read. Nothing is
overwritten."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `meds data`."""
    parser.description = DESCRIPTION
    parser.add_argument("--output", required=True, type=Path, metavar="FILE.parquet", help="the file to write")
    for name, hub in (("dapo", DAPO_HUB), ("math", MATH_HUB)):
        parser.add_argument(
            f"--{name}",
            nargs="?",
            const=hub,
            metavar="SOURCE",
            help=f"parquet, jsonl, json or csv file, folder or hub name; without a value: {hub}",
        )
    parser.add_argument(
        "--levels",
        nargs="+",
        type=int,
        choices=range(1, 6),
        default=list(PAPER_LEVELS),
        metavar="LEVEL",
        help="levels of MATH to keep, 1 to 5 (default: 3 4 5)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="keep at most N problems of each source")


def run(args: argparse.Namespace) -> int:
    """Read, unify and write the rows, and print how many were kept and left out.

    Raises:
        ValueError: bad input; `main` prints the message.
    """
    _print_counts(_write(args), args.output)
    return 0


def _write(args: argparse.Namespace) -> list[SourceCounts]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    check_output(args.output)  # before anything is downloaded
    dapo, math = args.dapo, args.math
    if dapo is None and math is None:
        dapo, math = DAPO_HUB, MATH_HUB
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bars = {source: progress.add_task(source, total=None) for source in (dapo, math) if source is not None}

        def on_progress(source: str, done: int, total: int) -> None:
            progress.update(bars[source], completed=done, total=total)

        rows, counts = collect(dapo, math, levels=args.levels, limit=args.limit, on_progress=on_progress)
    write_parquet(rows, args.output)
    return counts


def _print_counts(counts: list[SourceCounts], output: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Problems")
    table.add_column("source", overflow="fold")
    columns = {
        "read": [count.read for count in counts],
        "other level": [count.other_level for count in counts],
        "no problem": [count.no_problem for count in counts],
        "no answer": [count.no_answer for count in counts],
        "duplicates": [count.duplicates for count in counts],
        "contradictory": [count.contradictory for count in counts],
        "kept": [count.kept for count in counts],
    }
    for name in columns:
        table.add_column(name, justify="right")
    for index, count in enumerate(counts):
        table.add_row(count.source, *(f"{numbers[index]:,}" for numbers in columns.values()))
    table.add_section()
    table.add_row("all", *(f"{sum(numbers):,}" for numbers in columns.values()))
    console = Console()
    console.print(table)
    console.print(f"Written: {output}", soft_wrap=True, markup=False, highlight=False)
