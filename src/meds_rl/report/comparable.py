"""Which evaluations of two runs may be compared: those at the end of training, else those of one and the same step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meds_rl.report.evaluations import end_of_training, read_evaluations
from meds_rl.report.source import RunData

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Trained:
    """A run and its evaluations since training began.

    Attributes:
        run: the run.
        at: the problems evaluated, by optimiser step above 0.
        end: the step of the evaluation at the end of training; None where there is none (yet).
    """

    run: RunData
    at: dict[int, pd.DataFrame]
    end: int | None

    @classmethod
    def of(cls, run: RunData) -> Trained:
        """Read a run's evaluations."""
        at = {step: problems for step, problems in read_evaluations(run) if step > 0}
        return cls(run, at, end_of_training(run, list(at)))

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.run.folder.path.name


Pair = tuple[Trained, Trained]
"""Baseline and other, of the same seed, model and task."""


@dataclass(frozen=True, eq=False)
class Compared:
    """A pair, and the evaluations that are compared.

    Attributes:
        runs: baseline and other.
        problems: of each the problems evaluated.
    """

    runs: tuple[RunData, RunData]
    problems: tuple[pd.DataFrame, pd.DataFrame]


def comparable(pairs: Sequence[Pair], notes: list[str]) -> tuple[list[Compared], int | None]:
    """The pairs of one variant that may stand in one row, and the step they are compared at.

    Where both runs of some pair have ended, those pairs are compared at the end of training (None). Else all are
    compared at one step: the one at which the most pairs were evaluated, of several the last. The others are left out.

    Args:
        pairs: The pairs.
        notes: Is told what was left out, and why.
    """
    ended = [pair for pair in pairs if pair[0].end is not None and pair[1].end is not None]
    if ended:
        step = None
        chosen = [_compared(pair, pair[0].end or 0, pair[1].end or 0) for pair in ended]
        left_out = [pair for pair in pairs if pair not in ended]
    else:
        common = Counter(step for a, b in pairs for step in a.at.keys() & b.at.keys())
        step = max(common, key=lambda at: (common[at], at), default=None)
        chosen = [_compared(pair, step, step) for pair in pairs if step is not None and _has(pair, step)]
        left_out = [pair for pair in pairs if step is None or not _has(pair, step)]
    notes += [_why_left_out(pair, step) for pair in left_out]
    if step is not None:
        names = "; ".join(" and ".join(run.name for run in pair) for pair in pairs if _has(pair, step))
        notes.append(f"Compared at step {step:,}, as not both have an evaluation after training: {names}.")
    return chosen, step


def _has(pair: Pair, step: int) -> bool:
    return step in pair[0].at and step in pair[1].at


def _compared(pair: Pair, first: int, second: int) -> Compared:
    return Compared((pair[0].run, pair[1].run), (pair[0].at[first], pair[1].at[second]))


def _why_left_out(pair: Pair, step: int | None) -> str:
    names = " and ".join(run.name for run in pair)
    if step is not None:
        return f"{names} are in no comparison: not both were evaluated at step {step:,}, as the other seeds were."
    unfinished = " and ".join(run.name for run in pair if run.end is None)
    return f"{names} are in no comparison: {unfinished} {_has_none(pair)} no evaluation after training."


def _has_none(pair: Pair) -> str:
    return "has" if sum(run.end is None for run in pair) == 1 else "have"
