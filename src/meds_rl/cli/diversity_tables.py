"""The tables of `meds diversity`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from meds_rl.evaluation.agreement import Agreement
    from meds_rl.evaluation.diversity.measure import Compared, Diversity
    from meds_rl.evaluation.diversity.read import Completions

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


def diversity_table(title: str, found: Mapping[str, Diversity]) -> Table:
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
    return table


def notes(completions: Completions) -> Iterator[str]:
    """What the table does not show: what was left out, and which completions a training kept."""
    for what, rows in completions.left_out.items():
        first = ", ".join(str(row) for row in rows[:5])
        yield f"Left out: {len(rows):,} {what} (rows counted from 0: {first}{', …' if len(rows) > 5 else ''})."
    if completions.population is not None:
        groups, wrong, fillers = completions.population
        yield (
            f"Rollouts are what training kept: {groups:,} groups, {wrong / max(1, groups):.0%} of them all wrong; "
            f"{fillers:,} more that only filled up batches are left out above. Dynamic sampling keeps others for each "
            "method: compare methods by the samples of meds eval, not by rollouts."
        )


def shown_name(name: str) -> str:
    """The name of a file for the terminal: it need not be a text, nor printable."""
    text = name.encode("utf-8", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def agreement_table(compared: Mapping[str, Mapping[str, Compared]]) -> Table:
    """Clusters against labels, within problems, weighted by completions; below each, what chance does."""
    table = Table(
        title="Agreement of the clusters with labels, within problems",
        caption="By chance: labels shuffled within problems. Rand: adjusted Rand index; NMI equals the V-measure; "
        "agree %: one-to-one matching (docs/diversity.md).",
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
            num = f"{one.found.num_completions:,}"
            table.add_row(kind if number == 0 else "", Text(part), num, *_figures(one.found.agreement))
            last = number == len(by_part) - 1
            table.add_row(
                "", "  by chance", "", *_figures(one.chance.agreement), end_section=last, style="dim"
            )
    return table


def _figures(found: Agreement) -> list[str]:
    values = [f"{value:.2f}" for value in (found.adjusted_rand, found.nmi, found.purity)]
    shown = [*values, f"{found.splits:.1f}", f"{found.percentage:.1f}"]
    return ["0.00" if text == "-0.00" else text for text in shown]


def _cell(value: float, form: str) -> str:
    return "–" if math.isnan(value) else format(value, form)
