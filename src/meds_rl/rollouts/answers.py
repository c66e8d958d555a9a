"""Finds the final answers in completions by a marker or a regular expression, for files without a column of answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from meds_rl.fingerprint.answer import extract_answer
from meds_rl.fingerprint.locate import MARKERS

Search: TypeAlias = Callable[[Sequence[str]], list[str | None]]
"""From B completions to their answers; None for no answer."""

SHOWN = {"boxed": "\\boxed{...}", "answer_tag": "<answer>...</answer>", "hashes": "#### ..."}
"""Marker -> how the reader sees it."""

_BEGIN, _END = "\U000f1a7e", "\U000f1a7f"
"""Put around each match: two private characters that texts do not use."""


def searches(marker: str | None, pattern: str | None) -> Mapping[str, Search]:
    """How to look for answers: by the given marker or pattern; without either, by each marker.

    Returns a name for the reader -> `Search`. ValueError for an unknown marker, an invalid pattern, or both.
    """
    if marker is not None and pattern is not None:
        raise ValueError("Give --answer-marker or --answer-pattern, not both.")
    if pattern is not None:
        return {pattern: by_pattern(pattern)}
    if marker is not None and marker not in MARKERS:
        raise ValueError(f"--answer-marker must be one of {', '.join(MARKERS)}; got {marker!r}.")
    return {SHOWN[name]: _by_marker(name) for name in ([marker] if marker else MARKERS)}


def _by_marker(name: str) -> Search:
    opening = MARKERS[name].opening
    return lambda texts: [extract_answer(text, name) if opening in text else None for text in texts]


def by_pattern(pattern: str) -> Search:
    """Look for a regular expression. The answer is the last match: its first group, or all of it without a group.

    The syntax is RE2's, which has no look-ahead and no back-references and takes linear time. ValueError for a pattern
    that RE2 refuses.

    Example:
        >>> by_pattern("answer is ([0-9]+)")(["The answer is 3. No, the answer is 42.", "I give up."])
        ['42', None]
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    def marked(texts: Sequence[str], group: int) -> pa.Array:
        replacement = f"{_BEGIN}\\{group}{_END}"
        array = pa.array(texts, pa.large_string())
        return pc.replace_substring_regex(array, pattern=f"({pattern})", replacement=replacement)

    try:
        marked([""], 1)
    except pa.ArrowInvalid as error:
        raise ValueError(f"--answer-pattern {pattern!r} is no regular expression of RE2: {error}") from None
    try:
        marked(["_"], 2)
        group = 2
    except pa.ArrowInvalid:  # the pattern has no group of its own
        group = 1
    return lambda texts: [_last(text) for text in marked(texts, group).to_pylist()]


def _last(text: str) -> str | None:
    """The last marked piece that is not empty."""
    pieces = (piece.partition(_END)[0].strip() for piece in reversed(text.split(_BEGIN)[1:]))
    return next((piece for piece in pieces if piece), None)
