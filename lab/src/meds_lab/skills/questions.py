"""The questions that the grid `skills` answers, named before it runs."""

from __future__ import annotations

from dataclasses import dataclass

BASELINE = "none"
"""The method with a penalty of 0. Multipliers are taken over it."""


@dataclass(frozen=True)
class Question:
    """`method` minus `other`.

    Attributes:
        name: of the question.
        method, other: as the table names them.
        subset: which hard skills count, as `DataFrame.query` reads it; empty for all.
        margin: if the 90 % interval of the difference in the share found lies within +-margin, the two are as good as
            each other. None if the question asks for a difference only.
    """

    name: str
    method: str
    other: str
    subset: str = ""
    margin: float | None = None

    def __post_init__(self) -> None:
        if self.margin is not None and not self.margin > 0:
            raise ValueError(f"margin of the question {self.name!r} must be above 0 or None, got {self.margin}.")


QUESTIONS = (
    Question("Does history matter?", "memory", "batch", margin=0.08),
    Question("Does knowing the working matter?", "memory", "answers", subset="not tells", margin=0.08),
    Question("Do errors add to successes?", "recall", "replay", margin=0.08),
)
"""Tested, with Holm's correction. Everything else is described."""
