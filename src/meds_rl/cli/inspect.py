"""Show what is in a run's memory: prompts, their error clusters, sizes, and an example of each."""

import argparse
from typing import Any

from meds_rl.report.text import one_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, and how much of it to show."""
    parser.add_argument("run", metavar="RUN", help="a run folder, or a memory file (.safetensors)")
    parser.add_argument(
        "--prompts", type=int, default=5, metavar="N", help="show N prompts, the most errors first"
    )
    parser.add_argument(
        "--clusters", type=int, default=4, metavar="N", help="show N clusters of each, the largest first"
    )
    parser.add_argument("--prompt-id", metavar="ID", help="show this prompt only, with all its clusters")
    parser.add_argument("--full", action="store_true", help="show examples in full")


def run(args: argparse.Namespace) -> int:
    """Print the tables."""
    for name in ("prompts", "clusters"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} must be at least 1; got {getattr(args, name)}.")
    from meds_rl.cli.memory_view import load_view
    from meds_rl.cli.tables import console

    view = load_view(args.run)
    out = console()
    out.print(view.headline())
    prompts = view.largest(args.prompts) if args.prompt_id is None else view.find(args.prompt_id)
    for prompt in prompts:
        out.print(_table(prompt, args.clusters if args.prompt_id is None else None, args.full))
    if args.prompt_id is None and len(view.prompts) > len(prompts):
        out.print(f"… and {len(view.prompts) - len(prompts)} more prompts (--prompts N, --prompt-id ID).")
    return 0


def _table(prompt: Any, limit: int | None, full: bool) -> Any:
    from rich.table import Table
    from rich.text import Text

    side = "right" if prompt.is_correct else "wrong"
    title = f"{prompt.size} remembered {side} completions of {prompt.prompt_id}: {_shorten(prompt.text, 160, full)}"
    for name, counts in (("answers", prompt.answers), ("strategies", prompt.strategies)):
        if counts:
            title += f"\n{name} over all clusters: {_shorten(counts, 160, full)}"
    table = Table(title=Text(title), title_justify="left", show_lines=True)
    table.add_column("cluster")
    table.add_column("size", justify="right")
    table.add_column("batches", justify="right")
    table.add_column("answers")
    has_strategies = any(cluster.strategies for cluster in prompt.clusters)
    if has_strategies:
        table.add_column("strategies")
    table.add_column("example", overflow="fold")
    shown = prompt.clusters if limit is None else prompt.clusters[:limit]
    for cluster in shown:
        table.add_row(
            cluster.name,
            str(cluster.size),
            f"{cluster.first}–{cluster.last}",
            Text(_shorten(cluster.answers, 60, full)),
            *([Text(_shorten(cluster.strategies, 60, full))] if has_strategies else []),
            Text(_shorten(cluster.example, 240, full)),
        )
    if len(prompt.clusters) > len(shown):
        rest = prompt.clusters[len(shown) :]
        size = str(sum(cluster.size for cluster in rest))
        table.add_row("…", size, "", f"{len(rest)} more clusters")
    return table


def _shorten(text: str, width: int, full: bool) -> str:
    """One line; a completion must not move the cursor or ring the bell."""
    return one_line(text, None if full else width)
