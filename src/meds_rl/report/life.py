"""When an error was made: its course over the training, and whether it grows, fades or has died out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

State: TypeAlias = Literal["growing", "steady", "fading", "died out", "not asked again"]

MAX_BINS = 40
"""Most stretches of steps in the course of an error."""

LEAST_BATCHES = 3
"""In a run, or of its prompt; with fewer an error has no state."""

LEAST_MADE = 20
"""An error made fewer times has no state: it is too rare to tell whether it grows."""

FACTOR = 1.5
"""The ratio from which an error is "growing"; its inverse is for "fading"."""

UNSURE = 0.02
"""A change counts only if Fisher's exact test of the completions shows it: p is below this."""

STATES: dict[str, str] = {
    "growing": f"in the last third of the run's batches at least {FACTOR} times as often as before, or new",
    "steady": "about as often as before, or too few completions show a change",
    "fading": f"at most 1/{FACTOR} as often as before",
    "died out": "its prompt came in the last third of the run's batches, and this error did not",
    "not asked again": "its prompt did not come in the last third of the run's batches",
}
"""What each state means. "How often" is a fraction of the prompt's completions, right and wrong, in these batches.
Batches are counted rather than optimiser steps, because a batch may serve many steps. An error has no state if it was
made fewer than `LEAST_MADE` times, or if its prompt came in fewer than `LEAST_BATCHES` batches or in their last third
only."""


@dataclass(frozen=True)
class Life:
    """When an error was made, in optimiser steps.

    Attributes:
        born, last: first and last step with a member.
        peak: first step of the stretch with the most members.
        state: one of `STATES`; None if that cannot be known, and for completions that are no error.
        course: members in each stretch of the run (`stretches`).
    """

    born: int
    last: int
    peak: int
    state: State | None
    course: list[int]

    def to_dict(self) -> dict[str, Any]:
        """The life in the report's data."""
        return asdict(self)


def life(
    steps: NDArray[np.int64], prompt_steps: NDArray[np.int64], batch_steps: NDArray[np.int64], num_steps: int
) -> Life:
    """The life of an error.

    Args:
        steps: (n,) of its members, n at least 1.
        prompt_steps: (m,) of all completions of its prompt.
        batch_steps: (b,) steps at which the run sampled batches, in order, each once.
        num_steps: of the run.

    Example:
        >>> early, late = np.arange(20) % 2, np.full(9, 8)
        >>> found = life(early, np.concatenate([early, [2], late]), np.arange(9), num_steps=9)
        >>> found.state, found.born, found.last
        ('died out', 0, 1)
    """
    course = course_of(steps, num_steps)
    return Life(
        born=int(steps.min()),
        last=int(steps.max()),
        peak=int(stretches(num_steps)[np.argmax(course)]),
        state=_state(steps, prompt_steps, batch_steps),
        course=course,
    )


def course_of(steps: NDArray[np.int64], num_steps: int) -> list[int]:
    """How many of these steps are in each stretch of a run (`stretches`)."""
    starts = stretches(num_steps)
    counts: list[int] = np.bincount(np.searchsorted(starts, steps, side="right") - 1, minlength=len(starts)).tolist()
    return counts


def stretches(num_steps: int) -> NDArray[np.int64]:
    """First step of each of at most `MAX_BINS` stretches of equal length (the last may be shorter)."""
    length = max(1, -(-num_steps // MAX_BINS))
    return np.arange(0, max(1, num_steps), length)


def thirds(count: int) -> tuple[int, int]:
    """Where the middle and the last third of ``count`` ordered things begin.

    Example:
        >>> thirds(9), thirds(10)
        ((3, 6), (4, 7))
    """
    return -(-count // 3), -(-2 * count // 3)


def _state(steps: NDArray[np.int64], prompt_steps: NDArray[np.int64], batch_steps: NDArray[np.int64]) -> State | None:
    if len(batch_steps) < LEAST_BATCHES:
        return None
    begin = batch_steps[thirds(len(batch_steps))[1]]
    members, asked = int((steps >= begin).sum()), int((prompt_steps >= begin).sum())
    members_before, asked_before = len(steps) - members, len(prompt_steps) - asked
    if not asked:
        return "not asked again"
    if not asked_before or len(np.unique(prompt_steps)) < LEAST_BATCHES or len(steps) < LEAST_MADE:
        return None
    ratio = (members / asked) / (members_before / asked_before) if members_before else np.inf
    if 1 / FACTOR < ratio < FACTOR or not _differ((members, asked), (members_before, asked_before)):
        return "steady"
    return "growing" if ratio > 1 else "fading" if members else "died out"


def _differ(last: tuple[int, int], before: tuple[int, int]) -> bool:
    """Whether a fraction (members, completions) of the last third differs from that before."""
    from scipy.stats import fisher_exact

    table = [[members, asked - members] for members, asked in (last, before)]
    return bool(fisher_exact(table).pvalue < UNSURE)
