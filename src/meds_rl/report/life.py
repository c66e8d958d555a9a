"""The life of an error: born, grew, died out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

State: TypeAlias = Literal["growing", "steady", "fading", "died out", "not asked again", "too short to tell"]

MAX_BINS = 40
"""The course of an error has at most so many stretches of steps."""

LEAST_BATCHES = 3
"""Of fewer batches there are no thirds, and no state is told."""

FACTOR = 1.5
"""From which ratio on more is "growing", and its inverse "fading"."""

STATES: dict[str, str] = {
    "growing": f"in the last third of the run's batches at least {FACTOR} times as often as before, or new",
    "steady": "about as often as before",
    "fading": f"at most 1/{FACTOR} as often as before",
    "died out": "its prompt was asked in the last third of the run's batches, and this error did not come",
    "not asked again": "its prompt was not asked in the last third of the run's batches",
    "too short to tell": f"the run has fewer than {LEAST_BATCHES} batches, or its prompt was asked in their last third "
    "only",
}
"""What each state means. How often: of the prompt's completions in these batches, right and wrong. Batches are counted,
not optimiser steps: a batch may serve many of them."""


@dataclass(frozen=True)
class Life:
    """When an error came and went, in optimiser steps.

    Attributes:
        born, last: first and last step with a member.
        peak: first step of the stretch with the most members.
        state: what became of it (`STATES`).
        course: members in each stretch of the run (`stretches`).
    """

    born: int
    last: int
    peak: int
    state: State
    course: list[int]

    def to_dict(self) -> dict[str, Any]:
        """As the report's data has it."""
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
        >>> found = life(np.array([0, 0, 1]), np.array([0, 0, 1, 1, 8, 8]), np.arange(9), num_steps=9)
        >>> found.state, found.born, found.last
        ('died out', 0, 1)
    """
    starts = stretches(num_steps)
    course = np.bincount(np.searchsorted(starts, steps, side="right") - 1, minlength=len(starts))
    return Life(
        born=int(steps.min()),
        last=int(steps.max()),
        peak=int(starts[course.argmax()]),
        state=_state(steps, prompt_steps, batch_steps),
        course=course.tolist(),
    )


def stretches(num_steps: int) -> NDArray[np.int64]:
    """First step of each of at most `MAX_BINS` stretches of equal length (the last may be shorter)."""
    length = max(1, -(-num_steps // MAX_BINS))
    return np.arange(0, max(1, num_steps), length)


def thirds(count: int) -> tuple[int, int]:
    """Where the middle and the last third of so many things in order begin.

    Example:
        >>> thirds(9), thirds(10)
        ((3, 6), (4, 7))
    """
    return -(-count // 3), -(-2 * count // 3)


def _state(
    steps: NDArray[np.int64], prompt_steps: NDArray[np.int64], batch_steps: NDArray[np.int64]
) -> State:
    if len(batch_steps) < LEAST_BATCHES:
        return "too short to tell"
    begin = batch_steps[thirds(len(batch_steps))[1]]
    members, asked = int((steps >= begin).sum()), int((prompt_steps >= begin).sum())
    members_before, asked_before = len(steps) - members, len(prompt_steps) - asked
    if not asked:
        return "not asked again"
    if not asked_before:
        return "too short to tell"
    if not members:
        return "died out"
    if not members_before:
        return "growing"
    ratio = (members / asked) / (members_before / asked_before)
    if ratio >= FACTOR:
        return "growing"
    return "fading" if ratio <= 1 / FACTOR else "steady"
