"""The notes on a dump: what was recognised, what was left out, and what is not known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from meds_rl.rollouts.blocks import Damage
from meds_rl.rollouts.collect import OWN, Collector
from meds_rl.rollouts.dumps import Dump
from meds_rl.rollouts.formats import listed
from meds_rl.rollouts.settle import Settled, filters

MAX_NAMED = 3
"""Most files that a note names."""


def notes(collector: Collector, settled: Settled, dump: Dump) -> list[str]:
    """All notes; the one that says what was recognised comes first, or after the one that answers are missing."""
    return [*_no_answers(collector, settled), _sentence(collector, settled, dump), *_notes(collector, settled)]


def _sentence(collector: Collector, settled: Settled, dump: Dump) -> str:
    """What was recognised, in one or two sentences."""
    num_files, num = collector.num_files - len(collector.repeated), len(settled.order)
    num_prompts = len(np.unique(collector.rows.number("prompt")[settled.order]))
    name = "" if collector.format is None else collector.format.name
    place = f"{dump.name}/" if dump.path.is_dir() else dump.name
    batches = len(np.unique(settled.generations))
    when = f" in {_many(batches, 'batch', 'batches')}" if settled.has_steps else ""
    return (
        f"{place}: {name}, {_many(num_files, 'file')}, {_many(num, 'completion')} of {_many(num_prompts, 'prompt')}"
        f"{when}. {settled.grading.sentence}{_answers_sentence(settled)}"
    )


def _no_answers(collector: Collector, settled: Settled) -> list[str]:
    """The note that comes first if neither answers nor outcomes were found: figures by answer then mean nothing."""
    outcomes = collector.rows.outcomes
    if settled.answer_share or outcomes.null_count < len(outcomes):
        return []
    return ["No answers were found: name them with --answer-marker, --answer-pattern or --answer."]


def _answers_sentence(settled: Settled) -> str:
    if settled.answers is None:
        return ""
    where = "as the file has them" if settled.answers == OWN else settled.answers
    return f" Answers: {where}, in {100 * settled.answer_share:.0f} % of the completions."


def _notes(collector: Collector, settled: Settled) -> list[str]:
    graded = np.isfinite(settled.grading.is_correct[settled.order])
    others = [f"{path.name} ({listed(names, 5)})" for path, names in collector.others.items()]
    notes = [
        _many_left_out(collector.incomplete, "row", "without a prompt, a completion or a step"),
        _many_left_out(len(collector.repeated), "file", "with the same completions as an earlier one"),
        *_words(collector),
        *settled.comparison.notes(),
        f"Not graded, neither right nor wrong: {_many(int((~graded).sum()), 'completion')}{_such(collector, 'reward')}."
        if not graded.all()
        else "",
        f"Filters: {', '.join(collector.filters)}; {settled.filter} is read, {_why_filter(collector, settled)}."
        if settled.filter
        else "",
        f"Files left out, as they are of another format: {'; '.join(others[:MAX_NAMED])}." if others else "",
        ""
        if settled.has_steps
        else f"Nothing says when the completions were sampled: all are shown as one batch{_such(collector, 'step')}.",
        *_damages(collector.damages),
    ]
    return [note for note in notes if note]


def _words(collector: Collector) -> Iterator[str]:
    """How words in the place of rewards are read."""
    for name, words in collector.words.items():
        if words:
            read = [f"“{word}” as {value:g}" for word, value in sorted(words.items())]
            yield f"{name} has words, which are read as numbers: {', '.join(read[:MAX_NAMED])}."


def _why_filter(collector: Collector, settled: Settled) -> str:
    fullest = settled.filter == filters(collector)[0]
    return "which found the most answers" if fullest else "whose grades the comparison confirms"


def _such(collector: Collector, what: str) -> str:
    """What stands in the place of a number."""
    return f"; a {what} is {collector.unread[what]}, which is no number" if what in collector.unread else ""


def _damages(damages: dict[Path, Damage]) -> Iterator[str]:
    bad = {path: damage for path, damage in damages.items() if damage.lines}
    if bad:
        path, damage = next(iter(bad.items()))
        first = f", first in line {damage.first:,} of {path.name}" if damage.first else f" in {path.name}"
        yield f"{_many(sum(each.lines for each in bad.values()), 'line')} left out, as they are no rows{first}."
    whys = [damage.why for damage in damages.values() if damage.why]
    if whys:
        yield f"{_many(len(whys), 'file')} cannot be read to the end: {' '.join(whys[:MAX_NAMED])}"


def _many_left_out(count: int, what: str, why: str) -> str:
    return f"Left out: {_many(count, what)} {why}." if count else ""


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count:,} {one if count == 1 else several or one + 's'}"
