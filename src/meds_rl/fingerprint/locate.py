"""Finds a marked answer in text and in token ids.

Tokenizers split `\\boxed{4` in many ways, so this code never compares tokens: it decodes prefixes of the token ids
and looks at the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Marker:
    """How an answer is marked in a completion's text.

    Attributes:
        opening: the text before the answer; the last one in a completion counts.
        skip: characters that, like white space, may come between the opening and the answer.
        read: from the text after the opening to the answer and whether the answer was closed.
        must_close: False if the end of the text closes the answer too.
    """

    opening: str
    skip: str
    read: Callable[[str], tuple[str, bool]]
    must_close: bool = True

    def is_blank(self, text: str) -> bool:
        """Whether `text`, which follows the opening, contains nothing of an answer."""
        return all(character.isspace() or character in self.skip for character in text)


def named(name: str) -> Marker:
    """The marker of that name, or of a text before the answer (`is_wording`); ValueError if it is neither."""
    if name in MARKERS:
        return MARKERS[name]
    if not is_wording(name):
        raise ValueError(
            f"answer marker must be one of {sorted(MARKER_NAMES)}, {WORDING}, or a function of your own, got {name!r}"
        )
    return Marker(name.strip(), f"{MARKUP}:=", _read_sentence, must_close=False)


def is_wording(text: str) -> bool:
    """Whether a text can come before answers: a name that is misspelt cannot.

    Example:
        >>> is_wording("Answer:"), is_wording("the answer is"), is_wording("boxd")
        (True, True, False)
    """
    return re.fullmatch(r".*\S[ \t]*(?:[:=]|\bis)\s*", text) is not None


# A regular expression reads megabytes in milliseconds.
_ESCAPED_OR_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def _read_braces(text: str) -> tuple[str, bool]:
    """Up to the brace that closes the box; `\\{` and `\\}` are LaTeX's printed braces and do not count."""
    depth = 1
    for match in _ESCAPED_OR_BRACE.finditer(text):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return text[: match.start()], True
    return text, False


def _read_tag(text: str) -> tuple[str, bool]:
    answer, closing, _ = text.partition("</answer>")
    return answer, bool(closing)


def _read_line(text: str) -> tuple[str, bool]:
    answer, line_end, _ = text.lstrip("# \t\r\n").partition("\n")
    return answer, bool(line_end)


def _read_sentence(text: str) -> tuple[str, bool]:
    """Up to the end of the line or sentence, without markup around it; "3." may be cut off from "3.5"."""
    text = text.lstrip(f" \t\r\n{MARKUP}:=")
    end = re.search(r"\n|[.!?;](?=\s)", text)
    answer = text if end is None else text[: end.start()]
    return answer.rstrip(f" \t\r.!?;{MARKUP}"), end is not None


MARKUP = "*_`$"
WORDING = 'the text before answers, ending with ":", "=" or "is" ("Answer:")'

MARKERS = {
    "boxed": Marker("\\boxed{", "", _read_braces),
    "answer_tag": Marker("<answer>", "", _read_tag),
    "hashes": Marker("####", "#", _read_line, must_close=False),
}
MARKER_NAMES = (*MARKERS, "code")
"""How answers are marked, by name. With "code" the program is answer and working (`code.find_program`)."""


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that is used here."""

    @property
    def all_special_ids(self) -> Sequence[int]: ...

    def decode(
        self, token_ids: list[int], skip_special_tokens: bool = ..., *, clean_up_tokenization_spaces: bool = ...
    ) -> Any: ...  # a text; transformers' annotation also has lists of texts


def locate(marker: Marker, ids: list[int], tokenizer: Tokenizer) -> tuple[int, int] | None:
    """The indices of the answer's first token (at least 1) and last token; None if there is no answer."""
    found = _window(marker.opening, ids, tokenizer)
    if found is None:
        return None
    start, text = found
    if marker.is_blank(marker.read(text.rpartition(marker.opening)[2])[0]):
        return None
    tail = _Tail(marker, ids[start:], text, tokenizer)
    first = tail.first()
    # The token before the first one may lie outside of the tail.
    return (start + first, start + tail.last(first)) if first is not None and start + first else None


def locate_text(answer: str, ids: list[int], tokenizer: Tokenizer) -> tuple[int, int]:
    """The indices of the first token (at least 1) and last token of the last place where `answer` is in the text.

    The text is that without special tokens. If the answer is nowhere, both are that of the last token that is not
    special. There are two tokens at least.
    """

    def shown(n: int) -> str:
        return str(tokenizer.decode(ids[:n], skip_special_tokens=True, clean_up_tokenization_spaces=False))

    text = shown(len(ids))
    start = text.rfind(answer)
    if start < 0:
        visible = [i for i in range(1, len(ids)) if not _is_special(ids[i], tokenizer)]
        last = visible[-1] if visible else len(ids) - 1
        return last, last
    first = _fewest(lambda n: len(shown(n)) > start, 1, len(ids)) - 1
    # Whole characters: the first bytes of one are shown as a character, too.
    last = _fewest(lambda n: shown(n).startswith(text[: start + len(answer)]), 1, len(ids)) - 1
    return max(first, 1), max(last, first, 1)


class _Tail:
    """The last n tokens of a completion, whose `text` contains the last marker."""

    def __init__(self, marker: Marker, ids: list[int], text: str, tokenizer: Tokenizer) -> None:
        self._marker, self._ids, self._text, self._tokenizer = marker, ids, text, tokenizer
        self._count = text.count(marker.opening)

    def first(self) -> int | None:
        """The answer's first token; None if a special token or the end comes before it."""
        length = _fewest(lambda n: self._marked(n) is not None, 1, len(self._ids))
        answer, closed = self._read(length)  # what the token with the marker's end has of the answer
        blank = self._marker.is_blank(answer)
        following = self._next_visible(length) if blank or not closed else None
        return length - 1 if following is None and not blank else following

    def last(self, first: int) -> int:
        """The answer's last token, not before its `first`."""
        closing = len(self._ids)
        if self._marker.read(self._text.rpartition(self._marker.opening)[2])[1]:
            closing = _fewest(lambda n: self._read(n)[1], first + 1, closing)
        special = {token for token in set(self._ids[first:closing]) if _is_special(token, self._tokenizer)}
        stop = next((n for n in range(first, closing) if self._ids[n] in special), closing)
        answer, closed = self._read(stop)
        if self._marker.must_close and not closed:  # cut off
            return stop - 1
        answer = answer.strip()
        # The prefixes that contain the whole answer, perhaps with the first part of `</answer>` after it.
        return _fewest(lambda n: self._read(n)[0].strip().startswith(answer), first + 1, stop) - 1

    def _marked(self, n: int) -> str | None:
        """The text of the first n tokens after the last marker; None if they end before it."""
        text = _decode(self._ids[:n], self._tokenizer)
        opening = self._marker.opening
        return text.rpartition(opening)[2] if text.count(opening) >= self._count else None

    def _read(self, n: int) -> tuple[str, bool]:
        """The answer in the first n tokens, and whether it is closed."""
        return self._marker.read(self._marked(n) or "")

    def _next_visible(self, begin: int) -> int | None:
        """The first token from `begin` on that is not blank; None if a special token or the end comes first."""
        for i in range(begin, len(self._ids)):
            if _is_special(self._ids[i], self._tokenizer):
                return None
            if not self._marker.is_blank(_decode([self._ids[i]], self._tokenizer)):
                return i
        return None


def _window(opening: str, ids: list[int], tokenizer: Tokenizer) -> tuple[int, str] | None:
    """The start of a tail of the completion that contains the last marker, and the tail's text."""
    # Answers are near the end, and decoding thousands of completions per step is slow: try a short tail first.
    for length in (64, 512, len(ids)):
        start = max(len(ids) - length, 0)
        text = _decode(ids[start:], tokenizer)
        if opening in text:
            return start, text
    return None


def _fewest(enough: Callable[[int], bool], least: int, most: int) -> int:
    """The smallest number of tokens, `least` to `most`, that is enough; `most` if none is."""
    low, high, step = least, least, 1
    while high < most and not enough(high):
        low, high, step = high + 1, min(high + step, most), 2 * step
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    # With byte fallback, an incomplete character garbles the bytes before it, such as the `{`, so that more tokens can
    # show fewer markers; a UTF-8 character has at most three incomplete prefixes.
    while earlier := [n for n in range(max(high - 4, least), high) if enough(n)]:
        high = earlier[0]
    return high


def _is_special(token_id: int, tokenizer: Tokenizer) -> bool:
    """End of text, padding and the like; `all_special_ids` lists only some of a chat model's."""
    if token_id in tokenizer.all_special_ids:
        return True
    visible = tokenizer.decode([token_id], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return not visible and bool(_decode([token_id], tokenizer))


def _decode(ids: list[int], tokenizer: Tokenizer) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
