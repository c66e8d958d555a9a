"""The tables of a folder of samples: figures of each problem, their quartiles, lambda, and what a memory adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple

import numpy as np
from numpy.typing import NDArray

from meds_lab.regime.figures import DRAWN, GROUP, NAMES, UNDECIDED, VISITS, Sampled, figures, lottery
from meds_lab.regime.knowledge import SIMULATED, Knowledge, errors, knowledge, most_visits, simulated
from meds_rl.evaluation.intervals import Estimate

WAYS = ("steps", "answer")
QUARTILES = (25, 50, 75)
ALL = "all"


def report(problems: Sequence[Sampled]) -> str:
    """Markdown: one section of problems, one of quartiles, one of lambda, one of the memory."""
    return "\n".join([*_problems(problems), *_quartiles(problems), *_lotteries(problems), *_memories(problems)]) + "\n"


def _problems(problems: Sequence[Sampled]) -> Iterator[str]:
    yield "## Problems\n"
    yield _row("set", "problem", "samples", "eps", *(f"{name}, {by}" for by in WAYS for name in NAMES[1:4]), *NAMES[4:])
    yield _line(6 + 3 * len(WAYS))
    for one in problems:
        by = [astuple(figures(one, way)) for way in WAYS]
        values = [by[0][0], *(value for found in by for value in found[1:4]), *by[0][4:]]
        yield _row(_short(one.source), one.problem_id, str(len(one.is_correct)), *map(_number, values))


def _quartiles(problems: Sequence[Sampled]) -> Iterator[str]:
    yield f"\n## Quartiles over problems (lam is lambda of {VISITS} visits of {GROUP})\n"
    yield _row("set", "errors by", *NAMES)
    yield _line(2 + len(NAMES))
    for name, chosen in by_set(problems):
        for way in WAYS:
            found = np.array([astuple(figures(one, way)) for one in chosen])
            cells = [" / ".join(map(_number, np.percentile(column, QUARTILES))) for column in found.T]
            yield _row(name, way, *cells)


def _lotteries(problems: Sequence[Sampled]) -> Iterator[str]:
    low, high = UNDECIDED
    yield f"\n## Prompts with lambda from {low:g} to {high:g}\n"
    yield _row("set", "prompts", "as sampled", "fitted", "none right", "then eps is at most", "rule of three", "lam")
    yield _line(8)
    for name, chosen in by_set(problems):
        found = lottery([int(one.is_correct.sum()) for one in chosen], [len(one.is_correct) for one in chosen])
        cells = (found.undecided, found.fitted, found.none_right, found.upper, found.rule_of_three)
        yield _row(name, str(len(chosen)), *map(_number, cells), f"at most {found.upper * DRAWN:.1f}")


def _memories(problems: Sequence[Sampled]) -> Iterator[str]:
    yield "\n## How much of ln p the batch and the memory explain (R squared, cross-validated by problem)\n"
    yield _row("set", "errors by", "visits", "of", "batch", "memory", "both", "gain", "alone", "of these known")
    yield _line(10)
    for name, chosen in by_set(problems):
        for way in WAYS:
            yield from _memory_rows(name, way, [one.modes[way] for one in chosen if not one.is_correct.all()])
    size = min(len(one.is_correct) for one in problems)
    for name in SIMULATED:
        yield from _memory_rows("simulated", name, simulated(name, len(problems), size))
    yield (
        f"\nof: all differences of ln p, or those within groups. alone: share of errors that are the only one of their "
        f"kind in the batch of {GROUP}; known: share of these that the memory has."
    )


def _memory_rows(name: str, way: str, modes: Sequence[NDArray[np.int64]]) -> Iterator[str]:
    if len(modes) < 2:
        return
    available = min(VISITS, *(most_visits(len(one)) for one in modes))
    for visits, replace in dict.fromkeys([(available, False), (VISITS, available < VISITS)]):
        rows = errors(modes, visits=visits, replace=replace)
        for within in (False, True):
            cells = [f"{visits}{' drawn again' if replace else ''}", "groups" if within else "all"]
            yield _row(name, way, *cells, *_known(knowledge(rows, within=within)))


def _known(found: Knowledge) -> list[str]:
    shares = [_number(one.value) for one in (found.batch, found.memory, found.both)]
    return [*shares, _interval(found.gain), _number(found.alone), _number(found.known)]


def by_set(problems: Sequence[Sampled]) -> Iterator[tuple[str, list[Sampled]]]:
    """The problems of each set, then all."""
    names = list(dict.fromkeys(one.source for one in problems))
    for name in names:
        yield _short(name), [one for one in problems if one.source == name]
    if len(names) > 1:
        yield ALL, list(problems)


def _short(source: str) -> str:
    return source.removeprefix("reasoning_gym:")


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:+.3f}"
    return f"{estimate.value:+.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _number(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _line(columns: int) -> str:
    return _row(*["---"] * columns)
