"""Long texts where only a name is wanted."""

from __future__ import annotations

import json
from typing import Any

from meds_rl.report.plain import encodable

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
