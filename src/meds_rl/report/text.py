"""Long texts where only a name is wanted."""

from __future__ import annotations

import json
from typing import Any

# ---- Makes data of anything that was read fit for JSON in UTF-8.


def plain(value: Any) -> Any:
    """The same with None for what is no finite number, which JSON does not know, and `encodable` texts.

    Example:
        >>> plain({"a": [float("nan"), "b\\udcff"]})
        {'a': [None, 'b\\\\udcff']}
    """
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, float) and not -float("inf") < value < float("inf"):
        return None
    return value


def encodable(text: str) -> str:
    """The text with half characters (lone surrogates, as of a file name that is no UTF-8) spelled out."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


MAX_NAME = 200
"""Longest answer that is shown in full in a table, in characters."""


def shortened(text: str, limit: int = MAX_NAME) -> str:
    """The text, or its beginning and how long it is: nothing is cut silently.

    Example:
        >>> shortened("60"), shortened("x" * 1000, limit=5)
        ('60', 'xxxxx… (1,000 characters)')
    """
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def prompt_words(prompt: str) -> str:
    """A prompt as a reader wants it: of chat messages in JSON, as the rollouts have them, what the last one says.

    A message's content is a text or a list of parts; of a part that is no text its kind is named.

    Example:
        >>> prompt_words('[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]')
        '2 + 2?'
        >>> prompt_words('[{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]')
        '[image]\\nWhat is it?'
    """
    if not prompt.startswith("["):
        return prompt
    try:
        messages = json.loads(prompt)
    except (ValueError, RecursionError):  # no JSON, or brackets within brackets without end
        return prompt
    last = messages[-1] if isinstance(messages, list) and messages else None
    content = last.get("content") if isinstance(last, dict) else None
    if isinstance(content, str):
        return content
    parts = [_part(part) for part in content] if isinstance(content, list) else []
    return "\n".join(part for part in parts if part) or prompt


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    text, kind = part.get("text"), part.get("type")
    if isinstance(text, str):
        return text
    return f"[{kind}]" if isinstance(kind, str) else ""


def times(count: int) -> str:
    """How often.

    Example:
        >>> times(1), times(1200)
        ('once', '1,200 times')
    """
    return "once" if count == 1 else f"{count:,} times"


def one_line(text: str, width: int | None = None) -> str:
    """One line without control characters: in a terminal a completion must not move the cursor or ring the bell.

    Half characters (lone surrogates), which no terminal can be sent, are spelled out.

    Args:
        text: Any text.
        width: Most characters, the last one "…" where more were cut; None for no bound.

    Example:
        >>> one_line("a\\x1b[2J\\n\\tb"), one_line("abcdef", width=4)
        ('a [2J b', 'abc…')
    """
    # A little more than is shown is enough: megabytes are not walked through for a cell of a table.
    some = encodable(text if width is None else text[: 20 * width])
    clean = " ".join("".join(letter if letter.isprintable() else " " for letter in some).split())
    if width is None or (len(clean) <= width and len(text) <= 20 * width):
        return clean
    return clean[: width - 1] + "…"


# ---- Numbers of files that anyone may have written.

LARGEST = 1e100
"""A larger figure is damage; sums and charts of such numbers overflow."""


def finite(value: object) -> float | None:
    """The value as a float; None where it is no number, not finite, or beyond `LARGEST`.

    Example:
        >>> finite(3), finite(float("nan")), finite("3"), finite(10**400)
        (3.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -LARGEST <= value <= LARGEST else None
