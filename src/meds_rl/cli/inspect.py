"""Show what is in a run's memory: prompts, their error clusters, sizes, and an example of each."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meds_rl.labels import NO_ANSWER, NOISE
from meds_rl.report.text import one_line, printable

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from meds_rl.memory.entry import EntryKey

NAMES = {NOISE: "noise", NO_ANSWER: "no answer"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, and how much of it to show."""
    parser.add_argument("run", metavar="RUN", help="a run folder, or a memory file (.safetensors)")
    parser.add_argument("--prompts", type=int, default=5, metavar="N", help="show N prompts, the most errors first")
    parser.add_argument(
        "--clusters", type=int, default=4, metavar="N", help="show N clusters of each, the largest first"
    )
    parser.add_argument("--prompt-id", metavar="ID", help="show this prompt only, with all its clusters")
    parser.add_argument("--full", action="store_true", help="show examples in full")


def run(args: argparse.Namespace) -> int:
    """Print the tables.

    Raises:
        ValueError: a number below 1, or a prompt that is not in the memory.
        RunFolderError: the folder is not a run, or its method has no memory.
        MemoryFileError: the memory does not load.
    """
    for name in ("prompts", "clusters"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} must be at least 1; got {getattr(args, name)}.")
    from meds_rl.cli.tables import console

    view = load_view(args.run)
    out = console()
    out.print(view.headline())
    prompts = view.prompts[: args.prompts] if args.prompt_id is None else view.find(args.prompt_id)
    for prompt in prompts:
        out.print(_table(prompt, args.clusters if args.prompt_id is None else None, args.full))
    if args.prompt_id is None and len(view.prompts) > len(prompts):
        out.print(f"… and {len(view.prompts) - len(prompts)} more prompts (--prompts N, --prompt-id ID).")
    return 0


@dataclass(frozen=True)
class Cluster:
    """One cluster: its name, size, first and last batch, most frequent answers and strategies, newest completion."""

    name: str
    size: int
    first: int
    last: int
    answers: str
    strategies: str
    example: str


@dataclass(frozen=True)
class Prompt:
    """The remembered wrong (or right) completions of a prompt, by cluster, the largest first.

    ``answers`` and ``strategies`` count over all clusters, because one error may be in several.
    """

    prompt_id: str
    is_correct: bool
    text: str
    size: int
    answers: str
    strategies: str
    clusters: list[Cluster]


@dataclass(frozen=True)
class MemoryView:
    """A memory, the prompts with the most remembered completions first."""

    path: Path
    steps: int
    prompts: list[Prompt]

    def headline(self) -> str:
        """One line: how much is remembered."""
        remembered = sum(prompt.size for prompt in self.prompts)
        clusters = sum(c.name not in NAMES.values() for prompt in self.prompts for c in prompt.clusters)
        return (
            f"{self.path}: {remembered} remembered completions of {len(self.prompts)} prompts in {clusters} clusters, "
            f"after {self.steps} batches."
        )

    def find(self, prompt_id: str) -> list[Prompt]:
        """One prompt: its wrong completions, its right ones, or both.

        Raises:
            ValueError: it is not in the memory.
        """
        found = [prompt for prompt in self.prompts if prompt.prompt_id == prompt_id]
        if not found:
            raise ValueError(f"Prompt {prompt_id!r} is not in this memory of {len(self.prompts)} prompts.")
        return found


def load_view(path: str) -> MemoryView:
    """Read the memory of a run folder, or a memory file alone (then without examples)."""
    from meds_rl.memory.memory import ErrorMemory
    from meds_rl.rollouts import RunFolder, RunFolderError
    from meds_rl.rollouts.remembered import remembered

    memory_path, rollouts = Path(path), None
    if not memory_path.is_file():
        folder = RunFolder(path)
        folder.check()
        found = folder.memory_path()
        if found is None:
            raise RunFolderError(f"{path} has no memory: its method is not 'meds', or it has saved nothing yet.")
        memory_path = found
        rollouts = folder.rollouts(["memory_id", "prompt", "completion", "answer", "strategy"])
    memory = ErrorMemory.load(memory_path)
    joined = remembered(memory, None if rollouts is None else rollouts["memory_id"].to_numpy())
    prompts = [
        _prompt(joined.keys[int(members["entry"].to_numpy()[0])], members, rollouts)
        for _, members in joined.table.groupby("entry", sort=True)
    ]
    return MemoryView(memory_path, memory.step, sorted(prompts, key=lambda prompt: -prompt.size))


def _prompt(key: EntryKey, members: pd.DataFrame, rollouts: pd.DataFrame | None) -> Prompt:
    clusters = [_cluster(cluster, rollouts) for _, cluster in members.groupby("cluster", sort=True)]
    return Prompt(
        prompt_id=str(key.prompt_id),
        is_correct=key.is_correct,
        text=_first(rollouts, members, "prompt"),
        size=len(members),
        answers=_counts(rollouts, members, "answer"),
        strategies=_counts(rollouts, members, "strategy"),
        clusters=sorted(clusters, key=lambda c: (-c.size, c.name)),
    )


def _cluster(members: pd.DataFrame, rollouts: pd.DataFrame | None) -> Cluster:
    label = int(members["cluster"].to_numpy()[0])
    newest_first = members.sort_values("memory_step", ascending=False, kind="stable")
    return Cluster(
        name=NAMES.get(label, str(label)),
        size=len(members),
        first=int(members["memory_step"].min()),
        last=int(members["memory_step"].max()),
        answers=_counts(rollouts, members, "answer"),
        strategies=_counts(rollouts, members, "strategy"),
        example=_first(rollouts, newest_first, "completion"),
    )


def _first(rollouts: pd.DataFrame | None, members: pd.DataFrame, column: str) -> str:
    """A column of the first member that is among the rollouts."""
    values = _values(rollouts, members, column)
    return str(values.iat[0]) if len(values) else ""


def _counts(rollouts: pd.DataFrame | None, members: pd.DataFrame, column: str) -> str:
    """The most frequent values of a column and their counts."""
    values = Counter(_values(rollouts, members, column).dropna())
    shown = [f"{value} ×{count}" for value, count in values.most_common(4)]
    return ", ".join([*shown, "…"] if len(values) > len(shown) else shown)


def _values(rollouts: pd.DataFrame | None, members: pd.DataFrame, column: str) -> pd.Series:
    import pandas as pd

    from meds_rl.rollouts.remembered import NOT_FOUND

    rows = members["row"].to_numpy()
    return pd.Series(dtype=object) if rollouts is None else rollouts[column].iloc[rows[rows != NOT_FOUND]]


def _table(prompt: Prompt, limit: int | None, full: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    def short(text: str, width: int) -> str:
        return one_line(text, None if full else width)

    kind = "right" if prompt.is_correct else "wrong"
    title = f"{prompt.size} remembered {kind} completions of {prompt.prompt_id}: {short(prompt.text, 160)}"
    for name, counts in (("answers", prompt.answers), ("strategies", prompt.strategies)):
        if counts:
            title += f"\n{name} over all clusters: {short(counts, 160)}"
    table = Table(title=Text(printable(title)), title_justify="left", show_lines=True)
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
        strategies = [Text(short(cluster.strategies, 60))] if has_strategies else []
        answers, example = Text(short(cluster.answers, 60)), Text(short(cluster.example, 240))
        batches = f"{cluster.first}–{cluster.last}"
        table.add_row(cluster.name, str(cluster.size), batches, answers, *strategies, example)
    if len(prompt.clusters) > len(shown):
        rest = prompt.clusters[len(shown) :]
        table.add_row("…", str(sum(cluster.size for cluster in rest)), "", f"{len(rest)} more clusters")
    return table
