"""Gold answers as text, from whatever a data set's column holds."""

from __future__ import annotations

import ast
import math
import re
from typing import Any

EXACT_BELOW = 2.0**53
"""Whole numbers from here on are not all floats."""


def answer_text(value: Any) -> str | None:
    """An answer as text: the parts of a list joined by commas, None for NaN and for what holds nothing.

    A text that is a list of texts, as OlympiadBench's answers are in a CSV file, is read as that list. A list of
    numbers in a text stays as it is: it may be an interval or a vector.

    Raises:
        ValueError: a float too large to be exact: the file had an integer, or a number that only text can hold.

    Example:
        >>> answer_text(["$1$", "$x$"]), answer_text("['$1$', '2']"), answer_text("[1, 2]"), answer_text(0.5)
        ('1, x', '1, 2', '[1, 2]', '0.5')
        >>> answer_text(float("nan")) is None
        True
    """
    if isinstance(value, str):
        value = _list_in(value) or value
    if isinstance(value, (list, tuple)):
        from meds_rl.tasks.grading import bare

        parts = [answer_text(part) for part in value]
        return ", ".join(bare(part) for part in parts if part) or None
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and abs(value) >= EXACT_BELOW:
        raise ValueError(
            f"the answer {value!r} was rounded when the file was read: write it as text, in quotes"
        )
    return str(value).strip()


def _list_in(text: str) -> list[str] | None:
    """The list that a text is, if it is one of quoted texts; numpy writes no commas between them."""
    stripped = text.strip()
    if not re.fullmatch(r"\[\s*(['\"]).*\1\s*\]", stripped, re.DOTALL):
        return None
    with_commas = re.sub(r"(['\"])\s+(?=['\"])", r"\1, ", stripped)
    try:
        value = ast.literal_eval(with_commas)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, list) and all(isinstance(part, str) for part in value) else None
