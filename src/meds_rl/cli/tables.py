"""What the subcommands share in the terminal: the console, tables, and quiet libraries."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from meds_rl.report.text import printable

if TYPE_CHECKING:
    from meds_rl.evaluation.figures import Summary
    from meds_rl.train.evaluation import Evaluation


class _Console(Console):
    """Prints texts without terminal escapes: a path, an id or an answer may hold any."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(printable(one) if isinstance(one, str) else one for one in objects), **options)


def console() -> Console:
    """The console that results are printed on (standard output)."""
    return _Console(highlight=False, markup=False)


def plain_table(title: Any = None, caption: str | None = None) -> Table:
    """An empty table without a frame, with a title above and a caption below, both on the left."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.caption, table.caption_justify = caption, "left"
    return table


def figures_table(
    title: str, labels: Sequence[str], groups: Mapping[str, Sequence[Summary]], caption: str = ""
) -> Table:
    """For each group of problems one row for each label, with the figures of a ``Summary``."""
    meaning = (
        "distinct: different wrong answers a problem; repeated: wrong answers that\n"
        "were already given to the problem, of all wrong; none: no final answer"
    )
    table = plain_table(title, "\n".join(filter(None, (meaning, caption))))
    table.add_column("problems", no_wrap=True)
    table.add_column("", no_wrap=True)
    k = next(iter(groups.values()))[0].k
    for name in ("pass@1", f"pass@{k}", "distinct", "repeated", "none"):
        table.add_column(name, justify="right", no_wrap=True)
    for group, summaries in groups.items():
        for number, (label, summary) in enumerate(zip(labels, summaries, strict=True)):
            name = f"{group} ({summary.num_problems})" if number == 0 else ""
            table.add_row(name, label, *_cells(summary), end_section=number == len(labels) - 1)
    return table


def before_after_table(method: str, before: Sequence[Evaluation], after: Sequence[Evaluation]) -> Table:
    """Evaluations before and after training."""
    labels = [label for label, found in (("before", before), (f"after {method}", after)) if found]
    groups: dict[str, list[Summary]] = {}
    for evaluation in (*before, *after):
        groups.setdefault(evaluation.group, []).append(evaluation.summary)
    return figures_table("Before and after training", labels, groups)


def _cells(summary: Summary) -> list[str]:
    return [
        f"{summary.pass_at_1:.3f}",
        f"{summary.pass_at_k:.3f}",
        f"{summary.distinct_wrong:.1f}",
        f"{summary.repeated_errors:.0%}",
        f"{summary.no_answer:.0%}",
    ]


def shown_name(name: str) -> str:
    """A file name for the terminal: bytes that are no text, and control characters, are spelled out."""
    text = name.encode("utf-8", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def quieten() -> None:
    """Turn off the libraries' own progress bars and notes.

    The log level of transformers stays: a higher one would also turn off the progress bar of the training.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    # TRL calls a function that transformers has renamed. A user can do nothing about it.
    warnings.filterwarnings("ignore", message=r"`(is_)?gradient_checkpointing", category=FutureWarning)
    import datasets
    import transformers

    transformers.utils.logging.disable_progress_bar()
    datasets.utils.logging.disable_progress_bar()
