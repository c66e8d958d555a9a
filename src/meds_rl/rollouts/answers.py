"""Finds the final answers in completions, for files without a column of answers.

A marker or a regular expression says where they are. Where nothing is marked, `GUESSES` look for usual wordings.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from meds_rl.fingerprint.answer import extract_answer
from meds_rl.fingerprint.locate import MARKERS, WORDING, is_wording

Search: TypeAlias = Callable[[Sequence[str]], list[str | None]]
"""From B completions to their answers; None for no answer."""

SHOWN = {"boxed": "\\boxed{...}", "answer_tag": "<answer>...</answer>", "hashes": "#### ...", "code": "a program"}
"""Marker -> how the reader sees it."""

ENDING = 500
"""Characters at the end of a completion in which the guesses look for an answer."""

LONGEST_GUESS = 80
"""Characters. What follows "answer is" and is longer is no final answer."""

_SAYS = r"[\s*_`]*(?:\bis\b|[:=])[\s*_`:=]*(?=([^\n]*))"
_SENTENCE_END = re.compile(r"[.!?;](?=[\s*_`$\"')]|$)")
_AROUND = " \t\r*_`$\"'"
_NUMBER_OR_LETTER = re.compile(r"[-+]?[0-9][0-9,]*(?:\.[0-9]+)?(?: ?/ ?[0-9]+)?(?: ?%)?|\(?[A-Z]\)?")

_WORDING = re.compile(r"\b(?i:answer|final result)[ \t*_`]*(?:\bis\b|[:=])")

_BEGIN, _END = "\U000f1a7e", "\U000f1a7f"
"""Put around each match: two private characters that texts do not use."""


def searches(marker: str | None, pattern: str | None) -> Mapping[str, Search]:
    """How to look for answers: by the given marker or pattern; without either, by each marker but "code".

    Returns a name for the reader -> `Search`. ValueError for an unknown marker, an invalid pattern, or both.
    """
    if marker is not None and pattern is not None:
        raise ValueError("Give --answer-marker or --answer-pattern, not both.")
    if pattern is not None:
        return {pattern: by_pattern(pattern)}
    if marker is not None and marker not in SHOWN and not is_wording(marker):
        raise ValueError(f"--answer-marker must be one of {', '.join(SHOWN)}, or {WORDING}; got {marker!r}.")
    return {SHOWN.get(name, name): _by_marker(name) for name in ([marker] if marker else MARKERS)}


def _by_marker(name: str) -> Search:
    return lambda texts: [extract_answer(text, name) for text in texts]


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


def _after(words: str) -> Search:
    """What follows words such as "answer" and then "is", ":" or "=": up to the end of the sentence, without markup.

    Example:
        >>> _after("answer")(["The answer is 3. No: **Answer:** $3.5$", "The answer is: 17. I am sure.", "It is 3."])
        ['3.5', '17', None]
    """
    wording = re.compile(rf"\b(?i:{words}){_SAYS}")
    last = words.rpartition(" ")[2]

    def find(text: str) -> str | None:
        ending = text[-ENDING:]
        found = wording.findall(ending) if last in ending.lower() else None  # much faster than the expression
        return _trimmed(found[-1]) if found else None

    return lambda texts: [find(text) for text in texts]


def _trimmed(text: str) -> str | None:
    """A sentence's answer: "**17.** I am sure." is 17; None without one, or if it is too long."""
    end = _SENTENCE_END.search(text)
    answer = (text if end is None else text[: end.start()]).strip(_AROUND).rstrip(",:")
    return answer if 0 < len(answer) <= LONGEST_GUESS else None


def _last_lines(texts: Sequence[str]) -> list[str | None]:
    return [_last_line(text[-ENDING:].rstrip()) for text in texts]


def _last_line(text: str) -> str | None:
    answer = text.rpartition("\n")[2].rstrip(".").strip(_AROUND).rstrip(".")
    return answer if _NUMBER_OR_LETTER.fullmatch(answer) and len(answer) <= LONGEST_GUESS else None


GUESSES: Mapping[str, Search] = {
    'what follows "answer is" or "Answer:"': _after("answer"),
    'what follows "final result is"': _after("final result"),
    "the last line, where it is a number or a letter": _last_lines,
}
"""Name for the reader -> `Search`, the most reliable first. They look at the end of a completion only.

":" and "=" count as "is"."""


def suggest_marker(texts: Sequence[str]) -> tuple[str, int] | None:
    """The marker, or the text before answers, that finds most answers, and how many; None if it finds under half.

    Example:
        >>> suggest_marker(["2 + 3 = 5. Answer: 5", "I guess 6.\\nAnswer: 6", "No."])
        ('Answer:', 2)
    """
    wordings = Counter(found[-1] for text in texts if (found := _WORDING.findall(text[-ENDING:])))
    names = [*MARKERS, *(wording for wording, _ in wordings.most_common(1))]
    counts = {name: sum(answer is not None for answer in _by_marker(name)(texts)) for name in names}
    best = max(names, key=lambda name: counts[name])
    return (best, counts[best]) if counts[best] and 2 * counts[best] >= len(texts) else None


def _last(text: str) -> str | None:
    """The last marked piece that is not empty."""
    pieces = (piece.partition(_END)[0].strip() for piece in reversed(text.split(_BEGIN)[1:]))
    return next((piece for piece in pieces if piece), None)
