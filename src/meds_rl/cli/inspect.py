"""Show what is in a run's memory: the prompts with the most errors, their clusters, sizes, and an example of each.

Without a memory, it shows the prompts with the most wrong completions, by answer, or by working where no answer was
found.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from meds_rl.cli.sources import PATHS, add_read_options, read_options
from meds_rl.labels import NO_ANSWER, NOISE
from meds_rl.report.text import Template, one_line, printable, prompt_words, template_of

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from meds_rl.memory.entry import EntryKey
    from meds_rl.report.source import RunData
    from meds_rl.rollouts import RunFolder

NAMES = {NOISE: "noise", NO_ANSWER: "no answer"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, and how much of it to show."""
    parser.add_argument("run", metavar="PATH", help=f"a memory file (.safetensors); {PATHS}")
    parser.add_argument(
        "--prompts", type=int, default=5, metavar="N", help="show the N prompts with the most errors (default: 5)"
    )
    parser.add_argument(
        "--clusters", type=int, default=4, metavar="N", help="show the N largest clusters of each (default: 4)"
    )
    parser.add_argument("--prompt-id", metavar="ID", help="show this prompt only, with all its clusters")
    parser.add_argument("--full", action="store_true", help="show examples in full")
    add_read_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print the tables.

    Raises:
        ValueError: a number below 1, or a prompt that is not there.
        RunFolderError: the path leads to no run and no rollouts.
        MemoryFileError: the memory does not load.
    """
    for name in ("prompts", "clusters"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} must be at least 1; got {getattr(args, name)}.")
    from meds_rl.cli.tables import console

    out = console()
    for view in views(args):
        _show(view, args, out)
    return 0


def _show(view: View, args: argparse.Namespace, out: Console) -> None:
    out.print(view.headline(), soft_wrap=True)
    prompts = view.prompts[: args.prompts] if args.prompt_id is None else view.find(args.prompt_id)
    for prompt in prompts:
        shown = prompt if args.full else replace(prompt, text=view.template.question(prompt_words(prompt.text)))
        out.print(_table(shown, args.clusters if args.prompt_id is None else None, args.full))
    if args.prompt_id is None and len(view.prompts) > len(prompts):
        out.print(f"… and {len(view.prompts) - len(prompts)} more prompts (--prompts N, --prompt-id ID).")


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

    ``answers`` and ``strategies`` count over all clusters, because one error may be in several. Of rollouts without a
    memory the clusters are answers or workings (`grouped_by`), whose name is in the place of the cluster's answers.
    """

    prompt_id: str
    is_correct: bool
    text: str
    size: int
    answers: str
    strategies: str
    clusters: list[Cluster]
    grouped_by: Literal["cluster", "answer", "working"] = "cluster"

    @property
    def is_remembered(self) -> bool:
        """Whether a memory has the completions."""
        return self.grouped_by == "cluster"


@dataclass(frozen=True)
class View:
    """What is shown of a memory or of rollouts, the prompts with the most completions first.

    Attributes:
        path: of the memory or the rollouts.
        summary: one or a few lines about it.
        prompts: the prompts.
        template: what the prompts have in common.
    """

    path: Path
    summary: str
    prompts: list[Prompt]
    template: Template

    def headline(self) -> str:
        """What it is."""
        return f"{self.path}: {self.summary}"

    def find(self, prompt_id: str) -> list[Prompt]:
        """One prompt: its wrong completions, its right ones, or both.

        Raises:
            ValueError: it is not among the prompts.
        """
        found = [prompt for prompt in self.prompts if prompt.prompt_id == prompt_id]
        if not found:
            raise ValueError(f"Prompt {prompt_id!r} is not among the {len(self.prompts)} prompts of {self.path}.")
        return found


def views(args: argparse.Namespace) -> Iterator[View]:
    """What is shown of a path: of each run its memory, or its rollouts if it has none."""
    from meds_rl.rollouts.dumps import find_sources, is_data
    from meds_rl.rollouts.reading import opened

    if Path(args.run).is_file() and not is_data(Path(args.run)):
        yield view_of_memory(Path(args.run), None)
        return
    with opened(find_sources([args.run]), read_options(args), show_progress=True) as runs:
        for run in runs:
            path = run.memory_path()
            yield view_of_rollouts(run, args.prompts, args.prompt_id) if path is None else view_of_memory(path, run)


def view_of_memory(path: Path, folder: RunFolder | None) -> View:
    """A memory, with examples where its run folder is there."""
    from meds_rl.memory.memory import ErrorMemory
    from meds_rl.rollouts.remembered import remembered

    memory = ErrorMemory.load(path)
    columns = ["memory_id", "prompt", "completion", "answer", "strategy"]
    rollouts = None if folder is None else folder.rollouts(columns)
    joined = remembered(memory, None if rollouts is None else rollouts["memory_id"].to_numpy())
    prompts = [
        _prompt(joined.keys[int(members["entry"].to_numpy()[0])], members, rollouts)
        for _, members in joined.table.groupby("entry", sort=True)
    ]
    size = sum(prompt.size for prompt in prompts)
    clusters = sum(cluster.name not in NAMES.values() for prompt in prompts for cluster in prompt.clusters)
    summary = (
        f"{size} remembered completions of {len(prompts)} prompts in {clusters} clusters, after {memory.step} batches."
    )
    template = Template() if rollouts is None else template_of(rollouts["prompt"].dropna().unique())
    return View(path, summary, sorted(prompts, key=lambda prompt: -prompt.size), template)


def view_of_rollouts(folder: RunFolder, most: int, prompt_id: str | None) -> View:
    """Wrong completions by answer or by working, of the prompts with the most, or of one prompt."""
    from meds_rl.report.completions import prompt_template
    from meds_rl.report.source import read_run

    run = read_run(folder.path)
    by: Literal["answer", "working"] = "answer" if run.rollouts["answer"].notna().any() else "working"
    wrong = run.rollouts.iloc[run.wrong].assign(name=_names(run, by))
    counts = wrong["prompt_id"].value_counts()
    shown = list(counts.index[:most]) if prompt_id is None else [one for one in counts.index if one == prompt_id]
    summary = f"{len(wrong):,} of {len(run.rollouts):,} completions are wrong, of {len(counts):,} prompts."
    known = {name: wrong[wrong["prompt_id"] == name] for name in shown}
    prompts = [_wrong_of_prompt(run, name, members, by) for name, members in known.items()]
    unread = [
        Prompt(str(name), False, "", int(count), "", "", [], by) for name, count in counts.items() if name not in known
    ]
    return View(run.path, "\n".join([summary, *run.notes]), [*prompts, *unread], prompt_template(run))


def _names(run: RunData, by: Literal["answer", "working"]) -> list[str]:
    """The answer or the working of each wrong completion; "" for all if no working could be read."""
    from meds_rl.report.workings import read_workings

    if by == "answer":
        return [NAMES[NO_ANSWER] if one is None else str(one) for one in run.rollouts["answer"].iloc[run.wrong]]
    found = read_workings(run)
    if found.by is None:
        return [""] * len(run.wrong)
    of_row = dict(zip(found.rows.tolist(), found.groups.tolist(), strict=True))
    groups = (of_row.get(row, -1) for row in run.wrong.tolist())
    return [found.names[group] if group >= 0 else found.rest for group in groups]


def _wrong_of_prompt(run: RunData, name: str, members: pd.DataFrame, by: Literal["answer", "working"]) -> Prompt:
    from meds_rl.report.completions import read_texts

    groups = [(str(each), rows) for each, rows in members.groupby("name", sort=False)]
    groups.sort(key=lambda pair: -len(pair[1]))
    newest = {int(rows.index[-1]) for _, rows in groups}
    examples = dict(read_texts(run, "completion", newest))
    (_, text), *_ = [*read_texts(run, "prompt", [int(members.index[0])]), (0, name)]
    clusters = [
        Cluster(
            name="",
            size=len(rows),
            first=int(rows["step"].min()),
            last=int(rows["step"].max()),
            answers=each,
            strategies=_most(rows["strategy"]),
            example=examples.get(int(rows.index[-1]), ""),
        )
        for each, rows in groups
    ]
    return Prompt(name, False, text, len(members), "", _most(members["strategy"]), clusters, by)


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
    return _most(_values(rollouts, members, column))


def _most(column: pd.Series) -> str:
    values = Counter(column.dropna())
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
    kind = f"remembered {kind}" if prompt.is_remembered else kind
    title = f"{prompt.size} {kind} completions of {prompt.prompt_id}: {short(prompt.text, 160)}"
    for name, counts in (("answers", prompt.answers), ("strategies", prompt.strategies)):
        if counts:
            title += f"\n{name} over all clusters: {short(counts, 160)}"
    table = Table(title=Text(printable(title)), title_justify="left", show_lines=True)
    if prompt.is_remembered:
        table.add_column("cluster")
    table.add_column("size" if prompt.is_remembered else "times", justify="right")
    table.add_column("batches" if prompt.is_remembered else "steps", justify="right")
    has_names = any(cluster.answers for cluster in prompt.clusters)
    if has_names or prompt.is_remembered:
        table.add_column("answers" if prompt.is_remembered else prompt.grouped_by)
    has_strategies = any(cluster.strategies for cluster in prompt.clusters)
    if has_strategies:
        table.add_column("strategies")
    table.add_column("example", overflow="fold")
    shown = prompt.clusters if limit is None else prompt.clusters[:limit]
    for cluster in shown:
        strategies = [Text(short(cluster.strategies, 60))] if has_strategies else []
        answers = [Text(short(cluster.answers, 60))] if has_names or prompt.is_remembered else []
        example = Text(short(cluster.example, 240))
        batches = f"{cluster.first}–{cluster.last}"
        names = [cluster.name] if prompt.is_remembered else []
        table.add_row(*names, str(cluster.size), batches, *answers, *strategies, example)
    if len(prompt.clusters) > len(shown):
        rest = prompt.clusters[len(shown) :]
        more = ["…"] if prompt.is_remembered else []
        what = f"{prompt.grouped_by}s"
        table.add_row(*more, str(sum(cluster.size for cluster in rest)), "", f"{len(rest)} more {what}")
    return table
