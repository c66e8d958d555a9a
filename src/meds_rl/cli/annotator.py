"""`meds diversity --annotate`: announce what will be sent to a language model, send it, read its replies."""

from __future__ import annotations

import argparse
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.text import Text

from meds_rl.cli.tables import plain_table, shown_name
from meds_rl.evaluation.annotator import (
    Annotations,
    Category,
    Endpoint,
    Question,
    ReplyCache,
    annotate,
    read_categories,
)
from meds_rl.evaluation.annotator.asking import cached_values
from meds_rl.evaluation.annotator.endpoint import shown_proxy
from meds_rl.evaluation.annotator.questions import LabelJob, ScoreJob, label_job, score_job
from meds_rl.evaluation.diversity.measure import Part
from meds_rl.evaluation.diversity.read import Completions, Of

if TYPE_CHECKING:
    from rich.table import Table

CACHE_FOLDER = "annotator_cache"
COMPLETIONS_A_SCORE = 8
LABELS_A_PROBLEM = 16


@dataclass(frozen=True)
class Annotation:
    """The annotator's answers about one set of completions.

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
        table = plain_table("Diversity by the annotator, 1 to 5")
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
        table = plain_table(f"What went wrong first, by the annotator, in {total} wrong completions")
        table.add_column("label")
        table.add_column("completions", justify="right")
        table.add_column("share", justify="right")
        for label, count in counts.most_common():
            table.add_row(Text(label), str(count), f"{count / total:.0%}")
        return table


@dataclass(frozen=True)
class Annotator:
    """An endpoint and the questions to it.

    Attributes:
        endpoint, categories, cache: as their types say; without a cache, replies are kept beside the completions.
        settings: the command line.
    """

    endpoint: Endpoint
    categories: Sequence[Category]
    cache: Path | None
    settings: argparse.Namespace

    def annotate(self, path: str, completions: Completions, parts: Sequence[Part], of: Of, out: Any) -> Annotation:
        """Print what will be sent, send it, read the replies."""
        # One generator for each job: changing the size of one job does not change which questions the next one asks.
        label_rng, *rngs = np.random.default_rng(self.settings.seed).spawn(1 + len(parts))
        wanted = completions.looked_at(of)
        jobs = {
            part.name: score_job(
                completions.select(part.rows),
                wanted[part.rows],
                max_problems=self.settings.annotate_problems,
                max_completions=COMPLETIONS_A_SCORE,
                rng=rng,
            )
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
        cache.num_corrupt = 0  # annotate counts them again
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
        """Check, before anything is sent, that replies can be kept.

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
    """An annotator from the command line.

    Raises:
        ValueError: a number out of range, no such variable, or an address or categories that cannot be.
    """
    for name in ("annotate_problems", "annotate_completions", "concurrency", "attempts"):
        least = 0 if name.startswith("annotate") else 1
        if getattr(args, name) < least:
            raise ValueError(f"--{name.replace('_', '-')} must be at least {least}; got {getattr(args, name)}.")
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
