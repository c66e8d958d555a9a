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
"""Most files or steps that a note names."""

LEAST_COMPARED = 4
"""Fewest steps or files to compare one with most of them."""

FEWER = 0.9
"""A file with less than this fraction of the usual number of completions is named."""


def notes(collector: Collector, settled: Settled, dump: Dump) -> list[str]:
    """All notes. First comes what was recognised, or that no answers were found."""
    return [*_no_answers(collector, settled), _recognised(collector, settled, dump), *_further(collector, settled)]


def _recognised(collector: Collector, settled: Settled, dump: Dump) -> str:
    """What was recognised, in one or two sentences."""
    num_files, num = len(collector.files) - len(collector.repeated), len(settled.order)
    num_prompts = len(np.unique(collector.rows.number("prompt")[settled.order]))
    name = "" if collector.format is None else collector.format.name
    place = f"{dump.name}/" if dump.path.is_dir() else dump.name
    batches = len(np.unique(settled.generations))
    when = f" in {_count(batches, 'batch', 'batches')}" if settled.has_steps else ""
    return (
        f"{place}: {name}, {_count(num_files, 'file')}, {_count(num, 'completion')} of {_count(num_prompts, 'prompt')}"
        f"{when}. {settled.grading.sentence}{_answers_sentence(settled)}"
    )


def _no_answers(collector: Collector, settled: Settled) -> list[str]:
    """A note if neither answers nor outcomes were found: figures by answer then mean nothing."""
    outcomes = collector.rows.outcomes
    if settled.answer_share or outcomes.null_count < len(outcomes):
        return []
    return ["No answers were found: name them with --answer-marker, --answer-pattern or --answer."]


def _answers_sentence(settled: Settled) -> str:
    if settled.answers is None:
        return ""
    where = "as the file has them" if settled.answers == OWN else settled.answers
    return f" Answers: {where}, in {100 * settled.answer_share:.0f} % of the completions."


def _further(collector: Collector, settled: Settled) -> list[str]:
    graded = np.isfinite(settled.grading.is_correct[settled.order])
    is_evaluation = collector.format is not None and collector.format.is_evaluation
    ungraded = _count(int((~graded).sum()), "completion")
    others = [f"{path.name} ({listed(names, 5)})" for path, names in collector.others.items()]
    notes = [
        _left_out(collector.incomplete, "row", "without a prompt, a completion or a step"),
        _left_out(len(collector.repeated), "file", "with the same completions as an earlier one"),
        *_grade_words(collector),
        *settled.comparison.notes(),
        f"Not graded, neither right nor wrong: {ungraded}{_unread(collector, 'reward')}." if not graded.all() else "",
        f"Filters: {', '.join(collector.filters)}; {settled.filter} is read, {_why_filter(collector, settled)}."
        if settled.filter
        else "",
        f"Files left out, as they are of another format: {'; '.join(others[:MAX_NAMED])}." if others else "",
        ""
        if settled.has_steps or (is_evaluation and "step" not in collector.unread)
        else f"Nothing says when the completions were sampled: all are shown as one batch{_unread(collector, 'step')}.",
        *_damages(collector.damages),
        *_small_files(collector),
        *_missing_steps(collector),
        *_weights(collector),
        *_evaluation(collector),
    ]
    return [note for note in notes if note]


def _evaluation(collector: Collector) -> Iterator[str]:
    if collector.format is not None and collector.format.is_evaluation:
        yield "These completions are of an evaluation: training did not see them."


def _missing_steps(collector: Collector) -> Iterator[str]:
    """Steps that are missing between others, if most follow each other evenly."""
    if collector.format is None or collector.format.is_evaluation:
        return
    numbers = collector.rows.number("step")
    steps = np.unique(numbers[np.isfinite(numbers)]).astype(np.int64)
    if len(steps) < LEAST_COMPARED:
        return
    gaps = np.diff(steps)
    values, counts = np.unique(gaps, return_counts=True)
    usual = int(values[counts.argmax()])
    if 2 * counts.max() <= len(gaps):
        return
    if usual > 1 and collector.format.logs_again:  # TRL
        yield (
            f"The steps are {usual} apart. With logging_steps above 1, TRL saves only the newest batch at each log: "
            f"{usual - 1} of {usual} batches may be lost. logging_steps=1 saves all."
        )
    lost = [(int(steps[place]) + usual, int(steps[place + 1]) - usual) for place in np.flatnonzero(gaps > usual)]
    named = [f"{first:,}" if first >= last else f"{first:,} to {last:,}" for first, last in lost[:MAX_NAMED]]
    more = f" and in {len(lost) - MAX_NAMED:,} more places" if len(lost) > MAX_NAMED else ""
    if lost:
        yield f"Missing: step {', '.join(named)}{more}."


def _small_files(collector: Collector) -> Iterator[str]:
    """Files with fewer rows than most, if most have the same number."""
    counts = np.bincount(collector.rows.number("file").astype(np.int64), minlength=len(collector.files))
    values, times = np.unique(counts, return_counts=True)
    usual, few = values[times.argmax()], np.flatnonzero(counts < FEWER * values[times.argmax()])
    if len(counts) >= LEAST_COMPARED and 2 * times.max() > len(counts) and len(few):
        named = [f"{collector.files[place].name} ({counts[place]:,})" for place in few[:MAX_NAMED]]
        more = f" and {len(few) - MAX_NAMED:,} more" if len(few) > MAX_NAMED else ""
        yield f"Fewer completions than most files have ({usual:,}): {', '.join(named)}{more}."


def _weights(collector: Collector) -> Iterator[str]:
    if collector.format is not None and collector.format.sums_all and len(collector.rows.rewards) > 1:
        yield f"{collector.format.name} have no reward_weights: a sum of rewards counts each once."


def _grade_words(collector: Collector) -> Iterator[str]:
    """How words in the place of rewards are read."""
    for name, words in collector.words.items():
        if words:
            read = [f"“{word}” as {value:g}" for word, value in sorted(words.items())]
            yield f"{name} has words, which are read as numbers: {', '.join(read[:MAX_NAMED])}."


def _why_filter(collector: Collector, settled: Settled) -> str:
    fullest = settled.filter == filters(collector)[0]
    return "which found the most answers" if fullest else "whose grades the comparison confirms"


def _unread(collector: Collector, what: str) -> str:
    """The first value that is no number, for a note."""
    return f"; a {what} is {collector.unread[what]}, which is no number" if what in collector.unread else ""


def _damages(damages: dict[Path, Damage]) -> Iterator[str]:
    bad = {path: damage for path, damage in damages.items() if damage.lines}
    if bad:
        path, damage = next(iter(bad.items()))
        first = f", first in line {damage.first:,} of {path.name}" if damage.first else f" in {path.name}"
        yield f"{_count(sum(each.lines for each in bad.values()), 'line')} left out, as they are no rows{first}."
    whys = [damage.why for damage in damages.values() if damage.why]
    if whys:
        yield f"{_count(len(whys), 'file')} cannot be read to the end: {' '.join(whys[:MAX_NAMED])}"


def _left_out(count: int, what: str, why: str) -> str:
    return f"Left out: {_count(count, what)} {why}." if count else ""


def _count(count: int, one: str, several: str = "") -> str:
    return f"{count:,} {one if count == 1 else several or one + 's'}"
