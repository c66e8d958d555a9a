"""Puts text that a model wrote into a prompt so that it stays a quotation."""

import hashlib
import unicodedata
from collections.abc import Iterable

_KEPT = "\n\t"
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories: control, format (writing direction, no width, soft hyphen, tags), surrogates, separators."""
_REPLACEMENT = "\ufffd"


def quoted(text: str, max_characters: int) -> str:
    """A text as it is shown to the annotator: without invisible characters, and shortened with a mark where it is long.

    Control characters (but line breaks and tabs), lone surrogates, the line separators U+2028 and U+2029 and format
    characters (those that turn the writing direction, have no width, or are tags) become U+FFFD. Of a longer text three
    fifths of `max_characters` come from its beginning and the rest from its end, where the answer stands; the mark
    between them comes on top.

    Raises:
        ValueError: `max_characters` below 2.

    Example:
        >>> quoted("ring\\x07", 10)
        'ring�'
        >>> quoted("0123456789abcdef", 10)
        '012345\\n[... 6 characters left out ...]\\ncdef'
    """
    if max_characters < 2:
        raise ValueError(f"max_characters must be 2 or more, got {max_characters}")
    if len(text) > max_characters:
        head = max_characters * 3 // 5
        tail = max_characters - head
        left_out = len(text) - max_characters
        text = f"{text[:head]}\n[... {left_out:,} characters left out ...]\n{text[-tail:]}"
    return "".join(_shown(letter) for letter in text)


def mark_for(texts: Iterable[str]) -> str:
    """A mark for the lines around quotations: made from the texts, so that none of them can hold it but by chance.

    The same texts get the same mark, so that their question is found in the cache.

    Example:
        >>> mark_for(["a"]) == mark_for(["a"]), mark_for(["a"]) == mark_for(["b"]), len(mark_for([]))
        (True, False, 18)
    """
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(f"{len(data)}:".encode() + data)
    return f"#{digest.hexdigest()[:16]}#"


def _shown(letter: str) -> str:
    if letter in _KEPT:
        return letter
    return _REPLACEMENT if unicodedata.category(letter) in _HIDDEN else letter
