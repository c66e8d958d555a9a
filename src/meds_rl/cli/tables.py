"""The terminal tables that several subcommands show."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from meds_rl.evaluation.figures import Summary
    from meds_rl.train.evaluation import Evaluation


def console() -> Console:
    """The console that results are printed on (standard output)."""
    return Console(highlight=False, markup=False)


def figures_table(title: str, labels: Sequence[str], groups: Mapping[str, Sequence[Summary]]) -> Table:
    """For each group of problems one row for each label, with the figures of a ``Summary``."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.caption = (
        "distinct: different wrong answers a problem; repeated: wrong answers that\n"
        "were already given to the problem, of all wrong; none: no final answer"
    )
    table.caption_justify = "left"
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
    labels = [label for label, there in (("before", before), (f"after {method}", after)) if there]
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


# ---- Keeps libraries' notes out of the terminal that shows our progress and tables.


def quieten() -> None:
    """Turn off loading bars; not transformers' log level, from which it concludes that no progress is wanted."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    # TRL calls what transformers has renamed; nothing that a user can mend.
    warnings.filterwarnings("ignore", message=r"`(is_)?gradient_checkpointing", category=FutureWarning)
    import datasets
    import transformers

    transformers.utils.logging.disable_progress_bar()
    datasets.utils.logging.disable_progress_bar()
