"""The tables of `meds diversity`."""

from __future__ import annotations

import argparse
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from meds_rl.evaluation.annotator import (
    Annotations,
    Category,
    Endpoint,
    Question,
    ReplyCache,
    annotate,
    read_categories,
)
from meds_rl.evaluation.annotator.annotate import cached_values
from meds_rl.evaluation.annotator.endpoint import shown_proxy
from meds_rl.evaluation.annotator.questions import LabelJob, ScoreJob, label_job, score_job
from meds_rl.evaluation.diversity.measure import Part
from meds_rl.evaluation.diversity.read import Completions, Of

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


# ---- `meds diversity --annotate`: what is sent, said before it is, and what came back.

CACHE_FOLDER = "annotator_cache"
COMPLETIONS_A_SCORE = 8
LABELS_A_PROBLEM = 16


@dataclass(frozen=True)
class Annotation:
    """What the annotator said of one set of completions.

    Attributes:
        labels: one for each completion, None where it was not asked or failed.
        scores: the mean score of each part; NaN without any.
        result: for JSON.
    """

    labels: list[str | None]
    scores: dict[str, float]
    result: dict[str, Any]

    def score_table(self) -> Table:
        """The mean score of each part."""
        table = Table(
            title="Diversity by the annotator, 1 to 5",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        table.add_column("part", no_wrap=True)
        table.add_column("problems", justify="right")
        table.add_column("mean score", justify="right")
        for name, score in self.scores.items():
            num = len(self.result["scores"][name]["scores"])
            table.add_row(Text(name), str(num), "–" if math.isnan(score) else f"{score:.2f}")
        return table

    def table(self) -> Table:
        """How often each label was given."""
        counts = Counter(label for label in self.labels if label is not None)
        total = sum(counts.values())
        table = Table(
            title=f"What went wrong first, by the annotator, in {total} wrong completions",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        table.add_column("label")
        table.add_column("completions", justify="right")
        table.add_column("share", justify="right")
        for label, count in counts.most_common():
            table.add_row(Text(label), str(count), f"{count / total:.0%}")
        return table


@dataclass(frozen=True)
class Annotator:
    """An endpoint and all that is asked of it.

    Attributes:
        endpoint, categories, cache: as their types say; cache None: beside what is looked at.
        settings: the command line.
    """

    endpoint: Endpoint
    categories: Sequence[Category]
    cache: Path | None
    settings: argparse.Namespace

    def annotate(
        self, path: str, completions: Completions, parts: Sequence[Part], of: Of, out: Any
    ) -> Annotation:
        """Say what will be sent, send it, read the replies."""
        # Generators of their own: another number of one job does not draw others for the next, and so ask anew.
        label_rng, *rngs = np.random.default_rng(self.settings.seed).spawn(1 + len(parts))
        wanted = completions.looked_at(of)
        jobs = {
            part.name: self._score_job(completions.select(part.rows), wanted[part.rows], rng)
            for part, rng in zip(parts, rngs, strict=True)
        }
        labels = label_job(
            completions,
            completions.looked_at("wrong"),
            self.categories,
            max_completions=self.settings.annotate_completions,
            max_per_problem=LABELS_A_PROBLEM,
            rng=label_rng,
        )
        cache = ReplyCache(self.cache or _beside(path))
        questions = [question for job in jobs.values() for question in job.questions] + labels.questions
        out.print(self._announcement(path, questions, cache), soft_wrap=True)
        cache.num_corrupt = 0  # counted again when they are asked
        found = annotate(
            self.endpoint,
            questions,
            cache=cache,
            concurrency=self.settings.concurrency,
            attempts=self.settings.attempts,
            description="annotator",
        )
        out.print(_what_happened(found), soft_wrap=True)
        return self._read(found, jobs, labels, len(completions))

    def check_caches(self, paths: Sequence[str]) -> None:
        """See, before anything is sent, whether replies can be kept.

        Raises:
            OSError: they cannot.
        """
        for path in paths:
            if Path(path).exists():  # else the reader says that it does not
                ReplyCache(self.cache or _beside(path)).check()

    def _announcement(self, path: str, questions: Sequence[Question], cache: ReplyCache) -> str:
        different = list({question.prompt: question for question in questions}.values())
        missing = sum(value is None for value in cached_values(self.endpoint, different, cache))
        characters = sum(len(question.prompt) for question in different)
        proxy = self.endpoint.proxy
        through = "" if proxy is None else f" through the proxy {shown_proxy(proxy)}"
        twice = "" if len(different) == len(questions) else f", {len(different)} of them different,"
        return (
            f"{shown_name(path)}: {len(questions)} questions{twice} to {self.endpoint.model} at {self.endpoint.address}"
            f"{through} ({characters:,} characters); {len(different) - missing} are answered in the cache, "
            f"{missing} requests will be sent, more where one fails."
        )

    def _score_job(self, completions: Completions, wanted: np.ndarray, rng: np.random.Generator) -> ScoreJob:
        return score_job(
            completions,
            wanted,
            max_problems=self.settings.annotate_problems,
            max_completions=COMPLETIONS_A_SCORE,
            rng=rng,
        )

    def _read(
        self, found: Annotations, jobs: dict[str, ScoreJob], labels: LabelJob, num_completions: int
    ) -> Annotation:
        values = iter(found.values)
        scores, by_part = {}, {}
        for name, job in jobs.items():
            known = {
                problem: value
                for problem, value in ((problem, next(values)) for problem in job.problem_ids)
                if value is not None
            }
            scores[name] = math.fsum(known.values()) / len(known) if known else math.nan
            by_part[name] = {"mean": scores[name] if known else None, "scores": known}
        given: list[str | None] = [None] * num_completions
        for row, value in zip(labels.rows, values, strict=True):
            given[row] = None if value is None else self.categories[value].name
        result = {
            "endpoint": self.endpoint.address,
            "model": self.endpoint.model,
            "parameters": dict(self.endpoint.parameters),
            **found.to_dict(),
            "scores": by_part,
            "labels": dict(Counter(label for label in given if label is not None).most_common()),
        }
        return Annotation(given, scores, result)


def make_annotator(args: argparse.Namespace) -> Annotator:
    """An annotator out of the command line.

    Raises:
        ValueError: a number out of range, no such variable, or an address or categories that cannot be.
    """
    for name in ("annotate_problems", "annotate_completions", "concurrency", "attempts"):
        least = 0 if name.startswith("annotate") else 1
        if getattr(args, name) < least:
            raise ValueError(
                f"--{name.replace('_', '-')} must be at least {least}; got {getattr(args, name)}."
            )
    key = None
    if args.api_key_env is not None:
        key = os.environ.get(args.api_key_env)
        if not key:
            raise ValueError(f"--api-key-env: there is no environment variable {args.api_key_env}.")
    parameters = {} if args.parameters is None else {"parameters": args.parameters}
    endpoint = Endpoint(args.endpoint, args.model, timeout=args.timeout, api_key=key, **parameters)
    return Annotator(endpoint, read_categories(args.categories), args.cache, args)


def _beside(path: str) -> Path:
    place = Path(path)
    return (place if place.is_dir() else place.parent) / CACHE_FOLDER


def _what_happened(found: Annotations) -> str:
    text = (
        f"{found.num_sent} requests sent, {found.num_cached} replies from the cache, "
        f"{found.num_failed} questions failed."
    )
    if found.errors:
        text += " Errors: " + ", ".join(f"{kind} ({count})" for kind, count in found.errors.items()) + "."
    if found.num_corrupt:
        text += f" {found.num_corrupt} damaged entries of the cache were ignored."
    if found.num_unsaved:
        text += f" {found.num_unsaved} replies could not be written to the cache."
    return text
