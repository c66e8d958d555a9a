"""The questions of the grid `skills`, named before it runs."""

from __future__ import annotations

from dataclasses import dataclass

BASELINE = "none"
"""The method with a penalty of 0. Multipliers of discovery are relative to it."""

MARGIN = 0.08
"""Of "as good as", in the share of skills found."""


@dataclass(frozen=True)
class Question:
    """`method` minus `other`.

    Attributes:
        name: the question in words.
        method, other: names of methods in the table.
        subset: which hard skills count, as `DataFrame.query` reads it; empty for all.
        margin: the two are as good as each other if the 90 % interval of the difference in the share found lies within
            +-margin. None if the question is only whether they differ.
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
    Question("Does history matter?", "memory", "batch", margin=MARGIN),
    Question("Does knowing the working matter?", "memory", "answers", subset="not tells", margin=MARGIN),
    Question("Do errors add to successes?", "recall", "replay", margin=MARGIN),
)
"""These are tested, with Holm's correction. All other comparisons are described and not tested."""
