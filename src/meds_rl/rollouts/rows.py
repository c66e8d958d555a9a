"""A file's rows, and how their values are read: numbers, grades, answers and outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from meds_rl.files import encodable
from meds_rl.fingerprint.outcome import outcome_text
from meds_rl.rollouts.compare import Reference
from meds_rl.rollouts.grading import Numbers

Values = list[Any]


@dataclass
class Rows:
    """N completions as the file has them. Each list has N values, or none if the file does not have them.

    Attributes:
        prompts: text or chat messages.
        completions: text or chat messages.
        rewards: name -> values that grade the completions.
        grade: the name among `rewards` that says right or wrong; empty if the format does not fix it.
        total: the name among `rewards` that is the reward; empty for their sum.
        steps, answers, groups, lengths, advantages: optimiser steps, final answers, which completions were compared,
            tokens, and the weight in the update.
        outcomes: what the grader reports beside its grade, texts or lists.
        golds: the right answers.
        filters: which of several gradings of the same completion a row is.
        references: the `Reference` of a document with several samples; None for none.
    """

    prompts: Values
    completions: Values
    rewards: dict[str, Values] = field(default_factory=dict)
    grade: str = ""
    total: str = ""
    steps: Values = field(default_factory=list)
    answers: Values = field(default_factory=list)
    groups: Values = field(default_factory=list)
    lengths: Values = field(default_factory=list)
    advantages: Values = field(default_factory=list)
    outcomes: Values = field(default_factory=list)
    golds: Values = field(default_factory=list)
    filters: Values = field(default_factory=list)
    references: Sequence[Reference | None] = field(default_factory=list)


# ---- Values.

GRADE_WORDS = {
    **dict.fromkeys(("correct", "right", "yes", "pass", "passed"), 1.0),
    **dict.fromkeys(("incorrect", "wrong", "no", "fail", "failed"), 0.0),
}
"""Words that a column of rewards may have instead of numbers."""

NO_ANSWER_WORDS = ("", "[invalid]", "[invalidanswer]", "[no match]")
"""What programs write if there is no answer, in lower case."""


def at(value: Any, *names: str) -> Any:
    """A value deep in mappings; None where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def float_of(value: Any) -> float | None:
    """A number as a float; None for anything else, and for an integer that no float can hold."""
    try:
        return float(value) if isinstance(value, int | float) else None
    except OverflowError:
        return None


def numbers_of(values: Values, num: int) -> Numbers:
    """(N,) the values as numbers; NaN for what is none, and for all of an empty list.

    Example:
        >>> numbers_of([1, None, "0.5", "True", {}], 5).tolist()
        [1.0, nan, 0.5, 1.0, nan]
    """
    if not values:
        return np.full(num, np.nan)
    try:
        return np.array(values, dtype=np.float64).reshape(num)
    except (TypeError, ValueError, OverflowError):
        return np.array([_number(value) for value in values])


def _number(value: Any) -> float:
    words = {"true": 1.0, "false": 0.0}
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def is_empty(value: Any) -> bool:
    """Whether a value that is no number is empty: the only float that is no number is NaN."""
    return value is None or value == "" or isinstance(value, float)


def outcome_of(value: Any) -> str | None:
    """An outcome as text; None for a grade, and for anything but text or a list of plain values.

    Example:
        >>> outcome_of(["ok", "got 5"]), outcome_of("lost by timeout"), outcome_of("wrong"), outcome_of(1.0)
        ('ok, got 5', 'lost by timeout', None, None)
    """
    if isinstance(value, str) and value.strip().lower() not in ("", *GRADE_WORDS):
        return outcome_text(value)
    if isinstance(value, list) and value and all(isinstance(item, str | int | float | None) for item in value):
        return outcome_text(tuple(value))
    return None


def answer_of(value: Any) -> str | None:
    """An answer as text; None for `NO_ANSWER_WORDS`, and for anything but a text or a number.

    Example:
        >>> answer_of(" 42 "), answer_of(7), answer_of("[INVALID]"), answer_of("None"), answer_of(None)
        ('42', '7', None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = encodable(str(value)).strip()
    return None if text.lower() in NO_ANSWER_WORDS or text == "None" else text
