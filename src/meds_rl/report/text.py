"""Long texts where only a name is wanted."""

import json

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

    Example:
        >>> prompt_words('[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]')
        '2 + 2?'
    """
    if not prompt.startswith("["):
        return prompt
    try:
        messages = json.loads(prompt)
    except ValueError:
        return prompt
    last = messages[-1] if isinstance(messages, list) and messages else None
    content = last.get("content") if isinstance(last, dict) else None
    return content if isinstance(content, str) else prompt


def one_line(text: str, width: int | None = None) -> str:
    """One line without control characters: in a terminal a completion must not move the cursor or ring the bell.

    Args:
        text: Any text.
        width: Most characters, the last one "…" where more were cut; None for no bound.

    Example:
        >>> one_line("a\\x1b[2J\\n\\tb"), one_line("abcdef", width=4)
        ('a [2J b', 'abc…')
    """
    # A little more than is shown is enough: megabytes are not walked through for a cell of a table.
    some = text if width is None else text[: 20 * width]
    clean = " ".join("".join(letter if letter.isprintable() else " " for letter in some).split())
    if width is None or (len(clean) <= width and len(some) == len(text)):
        return clean
    return clean[: width - 1] + "…"
