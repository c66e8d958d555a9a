"""Decides after the last row of a dump: what is right, how answers are marked, in which order the rows were sampled."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meds_rl.rollouts.answers import GUESSES
from meds_rl.rollouts.collect import OWN, Collector, ReadOptions
from meds_rl.rollouts.compare import Comparison, compare
from meds_rl.rollouts.dumps import ACCEPTED, Dump
from meds_rl.rollouts.formats import FORMATS, listed
from meds_rl.rollouts.grading import Grading, grade
from meds_rl.rollouts.rows import GRADE_WORDS
from meds_rl.rollouts.table import RunFolderError

LEAST_ANSWERS = 0.1
"""A marker is used if it finds an answer in at least this fraction of the completions."""

LEAST_GUESSED = 0.5
"""The same for `GUESSES`, which may take other words for an answer."""


class NotRecognisedError(RunFolderError):
    """The format of the files is not recognised."""


@dataclass(frozen=True)
class Settled:
    """What is decided after the last row.

    Attributes:
        order: (n,) the rows that are kept, in the order of training.
        steps, generations: (n,) in this order.
        grading: of all N rows.
        answers: which of `Collected.answers` are used, by their key; None without answers.
        answer_share: fraction of the completions that have one.
        has_steps: whether the dump says at which step completions were sampled.
        filter: the filter whose grades are read; empty if the dump has fewer than two.
        comparison: of the completions that the program did not grade with the right answers.
    """

    order: NDArray[np.int64]
    steps: NDArray[np.int64]
    generations: NDArray[np.int64]
    grading: Grading
    answers: str | None
    answer_share: float
    has_steps: bool
    filter: str
    comparison: Comparison

    def continues(self, before: Settled) -> bool:
        """Whether the rows written before stay as they are: the decisions are the same, and only later batches came."""
        n = len(before.order)
        if n == len(self.order):
            return np.array_equal(self.order, before.order) and self._meaning == before._meaning
        later = n == 0 or self.steps[n] > before.steps[-1]
        return bool(later) and self._meaning == before._meaning and np.array_equal(self.order[:n], before.order)

    @property
    def _meaning(self) -> tuple[Any, ...]:
        return self.grading.sentence, self.answers, self.filter, self.comparison.used.files


def check(collector: Collector, dump: Dump, options: ReadOptions) -> None:
    """Raise NotRecognisedError for an unknown format, RunFolderError without completions or without rewards."""
    if collector.format is None:
        raise NotRecognisedError(_unrecognised(collector, dump))
    if not len(collector.rows):
        raise RunFolderError(
            f"{dump.path} holds no completion; rows without a prompt, a completion or a step: {collector.incomplete:,}."
        )
    if not collector.rows.rewards:
        raise RunFolderError(
            f"{dump.path}: no column says right or wrong; the columns are {listed(collector.names)}. "
            "Name one with --reward."
        )
    name = options.columns.get("reward", next(iter(collector.rows.rewards)))
    if "reward" in collector.unread and not np.isfinite(collector.rows.rewards[name]).any():
        words = ", ".join(("true", "false", *GRADE_WORDS))
        raise RunFolderError(
            f"{dump.path}: {name} has no numbers, but {collector.unread['reward']}. A reward is a number, or one of "
            f"{words}. Name another column with --reward."
        )


def _unrecognised(collector: Collector, dump: Dump) -> str:
    known = ", ".join(dict.fromkeys(each.name for each in FORMATS))
    ask = f"Name the columns with --prompt, --completion and --reward. Recognised without: {known}."
    for path, names in collector.others.items():
        return f"{path} is not recognised; its columns are {listed(names)}. {ask}"
    whys = [damage.why for damage in collector.damages.values() if damage.why]
    bad = sum(damage.lines for damage in collector.damages.values())
    lines = [f"lines that are no rows: {bad:,}"] if bad else []
    return f"{dump.path} holds no rows: {'; '.join([*whys[:1], *lines]) or 'it is empty'}. Accepted is {ACCEPTED}."


def settle(collector: Collector, dump: Dump, options: ReadOptions) -> Settled:
    """Decide with the filter that found most answers, or with the next whose grades agree with the right answers."""
    names = filters(collector) if len(collector.filters) > 1 else [""]
    first = _settle_filter(collector, dump, options, names[0])
    if not first.comparison.refused.completions:
        return first
    for name in names[1:]:
        with suppress(RunFolderError):
            other = _settle_filter(collector, dump, options, name)
            if not other.comparison.refused.completions:
                return other
    return first


def _settle_filter(collector: Collector, dump: Dump, options: ReadOptions, name: str) -> Settled:
    rows, answers = collector.rows, collector.rows.answers
    kept = ~np.isin(rows.number("file"), list(collector.repeated))
    if name:
        kept &= rows.number("filter") == collector.filters[name]
    places = np.flatnonzero(kept)
    rewards = {each: np.where(kept, values, np.nan) for each, values in rows.rewards.items()}
    try:
        sums_all = collector.format is not None and collector.format.sums_all
        grading = grade(rewards, collector.grade, collector.total, options.correct_above, sums_all=sums_all)
    except RunFolderError as error:
        raise RunFolderError(f"{dump.path}: {error}") from None
    steps = rows.number("step")[places]
    has_steps = bool(np.isfinite(steps).any())
    whole = np.where(np.isfinite(steps), steps, 0).astype(np.int64)
    order = np.argsort(whole, kind="stable")
    has_answer = {label: np.array(found.is_valid()) for label, found in answers.items()}
    shares = {label: float(has[places].mean()) for label, has in has_answer.items()}
    rest = kept & (rows.number("reference") >= 0) & np.isnan(grading.is_correct)
    shares_of_rest = {label: float(has[rest].mean()) if rest.any() else 1.0 for label, has in has_answer.items()}
    label = _which_answers(shares, shares_of_rest, options)
    comparison = _compare(collector, grading, label, kept)
    return Settled(
        order=places[order],
        steps=whole[order],
        generations=np.unique(whole[order], return_inverse=True)[1].astype(np.int64),
        grading=comparison.complete(grading),
        answers=label,
        answer_share=0.0 if label is None else shares[label],
        has_steps=has_steps,
        filter=name,
        comparison=comparison,
    )


def filters(collector: Collector) -> list[str]:
    """The filters, the one that found most answers first."""
    places = collector.rows.number("filter").astype(np.int64)
    has_answer = np.array(collector.rows.answers[OWN].is_valid())
    counts = np.bincount(places[has_answer], minlength=len(collector.filters))
    return [name for name, place in sorted(collector.filters.items(), key=lambda item: -counts[item[1]])]


def _which_answers(shares: dict[str, float], shares_of_rest: dict[str, float], options: ReadOptions) -> str | None:
    """The key of the answers to use: the file's own, else the marker or pattern that finds most, else a guess.

    Args:
        shares: key -> fraction of the completions that have an answer.
        shares_of_rest: the same among the completions that are compared with a reference.
        options: of the user.
    """
    asked = options.answer_marker is not None or options.answer_pattern is not None
    found = {label: share for label, share in shares.items() if label not in (OWN, *GUESSES)}
    best = max(found, key=lambda label: found[label], default=OWN)
    is_marked = found.get(best, 0.0) >= LEAST_ANSWERS
    guess = next((label for label in GUESSES if shares.get(label, 0.0) >= LEAST_GUESSED), None)
    if guess is not None and not is_marked:
        best, is_marked = guess, True
    if "answer" in options.columns:
        return OWN
    if asked or (is_marked and shares_of_rest[OWN] == 0):  # the file has only those of completions that it grades
        return best
    if shares[OWN] >= LEAST_ANSWERS or (shares_of_rest[OWN] == 0 < shares[OWN]):
        return OWN
    return best if is_marked else None


def _compare(collector: Collector, grading: Grading, label: str | None, kept: NDArray[np.bool_]) -> Comparison:
    """Compare the completions that are kept with the references."""
    rows = collector.rows
    numbers = {name: rows.number(name) for name in ("reference", "file", "document", "figure", "k")}
    numbers["reference"] = np.where(kept, numbers["reference"], -1)
    answers = [None] * len(kept) if label is None or not collector.references else rows.answers[label].to_pylist()
    return compare(grading.is_correct, answers, list(collector.references), numbers)
