"""The tables of `meds diversity`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from meds_rl.evaluation.agreement_by_prompt import PromptAgreement
    from meds_rl.evaluation.diversity.measure import Diversity

ROWS = {
    "answer_entropy": ("answer entropy, nats", ".2f"),
    "answer_entropy_normalized": ("answer entropy, of the most possible", ".2f"),
    "distinct_answers": ("distinct answers a problem", ".1f"),
    "repeated_share": ("share that repeat an answer", ".0%"),
    "distinct_1": ("distinct-1", ".3f"),
    "distinct_2": ("distinct-2", ".3f"),
    "self_bleu": ("self-BLEU (low: diverse)", ".3f"),
    "vendi_wording": ("Vendi score of the wording", ".2f"),
    "vendi_fingerprints": ("Vendi score of the fingerprints", ".2f"),
    "top1_eigenvalue_ratio": ("top-1 eigenvalue ratio (low: diverse)", ".3f"),
    "clusters": ("clusters a problem", ".1f"),
    "cluster_entropy": ("cluster entropy, nats", ".2f"),
}
SCORE = "annotator's score, 1 to 5"


def diversity_table(
    title: str, found: Mapping[str, Diversity], scores: Mapping[str, float] | None = None
) -> Table:
    """One column a part, one row a measure that any part has."""
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    if len({one.num_completions for one in found.values()}) > 1:
        table.caption = (
            "Most measures depend on how many completions a problem has; --per-problem N makes them equal."
        )
        table.caption_justify = "left"
    table.add_column("", no_wrap=True)
    for name in found:
        table.add_column(Text(name), justify="right")
    table.add_row("problems", *(f"{one.num_problems:,}" for one in found.values()))
    table.add_row("completions", *(f"{one.num_completions:,}" for one in found.values()), end_section=True)
    for name, (shown, form) in ROWS.items():
        values = [one.figures[name].value if name in one.figures else math.nan for one in found.values()]
        if not all(map(math.isnan, values)):
            table.add_row(shown, *(_cell(value, form) for value in values))
    if scores is not None:
        table.add_row(SCORE, *(_cell(scores.get(name, math.nan), ".2f") for name in found))
    return table


def agreement_table(compared: Mapping[str, Mapping[str, PromptAgreement]]) -> Table:
    """Clusters against labels, within problems, weighted by completions."""
    table = Table(
        title="Agreement of the clusters with labels, within problems",
        caption="Rand: adjusted Rand index; NMI equals the V-measure; agree %: one-to-one matching (docs/diversity.md)",
        caption_justify="left",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in ("label", "part"):
        table.add_column(name, no_wrap=True)
    for name in ("wrong", "Rand", "NMI", "purity", "splits", "agree %"):
        table.add_column(name, justify="right", no_wrap=True)
    for kind, by_part in compared.items():
        for number, (part, one) in enumerate(by_part.items()):
            found = one.agreement
            table.add_row(
                kind if number == 0 else "",
                Text(part),
                f"{one.num_completions:,}",
                *(f"{value:.2f}" for value in (found.adjusted_rand, found.nmi, found.purity)),
                f"{found.splits:.1f}",
                f"{found.percentage:.1f}",
                end_section=number == len(by_part) - 1,
            )
    return table


def _cell(value: float, form: str) -> str:
    return "–" if math.isnan(value) else format(value, form)
