"""The life of an error: born, grew, died out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

State: TypeAlias = Literal["growing", "steady", "fading", "died out", "not asked again"]

MAX_BINS = 40
"""The course of an error has at most so many stretches of steps."""

FACTOR = 1.5
"""From which ratio on more is "growing", and its inverse "fading"."""

STATES: dict[str, str] = {
    "growing": f"in the last third of the run at least {FACTOR} times as often as before, or new",
    "steady": "about as often as before",
    "fading": f"at most 1/{FACTOR} as often as before",
    "died out": "its prompt was asked in the last third of the run, and this error did not come",
    "not asked again": "its prompt was not trained on in the last third of the run",
}
"""What each state means. How often: of the prompt's completions in these steps, right and wrong."""


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


def life(steps: NDArray[np.int64], prompt_steps: NDArray[np.int64], num_steps: int) -> Life:
    """The life of an error.

    Args:
        steps: (n,) of its members, n at least 1.
        prompt_steps: (m,) of all completions of its prompt.
        num_steps: of the run.

    Example:
        >>> found = life(np.array([0, 0, 1]), np.array([0, 0, 1, 1, 8, 8]), num_steps=9)
        >>> found.state, found.born, found.last
        ('died out', 0, 1)
    """
    starts = stretches(num_steps)
    course = np.bincount(np.searchsorted(starts, steps, side="right") - 1, minlength=len(starts))
    return Life(
        born=int(steps.min()),
        last=int(steps.max()),
        peak=int(starts[course.argmax()]),
        state=_state(steps, prompt_steps, num_steps),
        course=course.tolist(),
    )


def stretches(num_steps: int) -> NDArray[np.int64]:
    """First step of each of at most `MAX_BINS` stretches of equal length (the last may be shorter)."""
    length = max(1, -(-num_steps // MAX_BINS))
    return np.arange(0, max(1, num_steps), length)


def _state(steps: NDArray[np.int64], prompt_steps: NDArray[np.int64], num_steps: int) -> State:
    begin = 2 * num_steps / 3
    members, asked = int((steps >= begin).sum()), int((prompt_steps >= begin).sum())
    members_before, asked_before = len(steps) - members, len(prompt_steps) - asked
    if not asked:
        return "not asked again"
    if not members:
        return "died out"
    if not members_before:
        return "growing"
    ratio = (members / asked) / (members_before / asked_before)
    if ratio >= FACTOR:
        return "growing"
    return "fading" if ratio <= 1 / FACTOR else "steady"
