"""Where the answer begins, found in token ids, and what it says, found in text.

The fingerprint is read at p, the token that holds the last character of the LAST marker (the `{` of
`\\boxed{`), and looks at t, the next token (paper, section on the fingerprint). Tokenizers cut `\\boxed{4` in
many ways, so nothing here knows tokens: everything goes through `decode`, and a token is judged by the text
that appears when it is added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Tokenizer(Protocol):
    """What is needed of a tokenizer; every Hugging Face tokenizer has it."""

    @property
    def all_special_ids(self) -> Sequence[int]: ...

    def decode(
        self,
        token_ids: list[int],
        skip_special_tokens: bool = ...,
        *,
        clean_up_tokenization_spaces: bool = ...,
    ) -> str: ...


class AnswerPosition(NamedTuple):
    """The place of an answer in one completion.

    Attributes:
        position: index p into the completion's token ids; the state read there predicts the answer's first
            token.
        target_id: token id t of the answer's first token, `completion_ids[position + 1]`.
    """

    position: int
    target_id: int


AnswerFinder = Callable[[Sequence[int], Tokenizer], "AnswerPosition | None"]


@dataclass(frozen=True)
class _Marker:
    """How an answer is marked.

    Attributes:
        opening: the text before the answer; the last one in a completion counts.
        skip: characters that, like white space, may stand between the opening and the answer.
        read: from the text after the opening to the answer and whether the answer was closed.
        must_close: False if the end of the text closes the answer too.
    """

    opening: str
    skip: str
    read: Callable[[str], tuple[str, bool]]
    must_close: bool = True


def _read_braces(text: str) -> tuple[str, bool]:
    """Up to the brace that closes the box; `\\{` and `\\}` are LaTeX's printed braces and do not count."""
    depth = 1
    escaped = False
    for i, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return text[:i], True
    return text, False


def _read_tag(text: str) -> tuple[str, bool]:
    answer, closing, _ = text.partition("</answer>")
    return answer, bool(closing)


def _read_line(text: str) -> tuple[str, bool]:
    answer, line_end, _ = text.lstrip("# \t\r\n").partition("\n")
    return answer, bool(line_end)


_MARKERS = {
    "boxed": _Marker("\\boxed{", "", _read_braces),
    "answer_tag": _Marker("<answer>", "", _read_tag),
    "hashes": _Marker("####", "#", _read_line, must_close=False),
}


def extract_answer(text: str, marker: str = "boxed") -> str | None:
    """The text of the last marked answer in `text`, stripped of surrounding spaces.

    Only the last marker counts: if it is empty or was never closed (a truncated completion, where
    `\\boxed{1` may have become 12), there is no answer, even if an earlier one was complete.

    Args:
        text: a completion.
        marker: "boxed" (`\\boxed{...}`, braces balanced), "answer_tag" (`<answer>...</answer>`) or "hashes"
            (the rest of the line after `####`).

    Returns:
        The answer, or None.

    Raises:
        ValueError: if there is no marker of that name.

    Example:
        >>> extract_answer(r"so \\boxed{3}, no: \\boxed{\\frac{1}{2}}.")
        '\\\\frac{1}{2}'
        >>> extract_answer(r"\\boxed{12") is None
        True
        >>> extract_answer("6 * 7 = 42\\n#### 42\\n", marker="hashes")
        '42'
    """
    found = _marker(marker)
    _, opening, rest = text.rpartition(found.opening)
    if not opening:
        return None
    answer, closed = found.read(rest)
    if found.must_close and not closed:
        return None
    return answer.strip() or None


def answer_finder(marker: str | AnswerFinder = "boxed") -> AnswerFinder:
    """The function that finds the answer's first token in a completion's token ids.

    p is the token that holds the last character of the last marker and t the next one, whatever else these
    two tokens hold. White space between marker and answer is stepped over; then p is the token just before t.
    Where nothing of the answer can come later, because p's own token closes the box (`{4}` as one token) or
    is the last one that was written, t is that token and p the one before it.

    There is no answer (None) without a marker, if the marked text is empty, if the completion ends at the
    marker, or if the next token is an end-of-text, padding or other special token. An answer that was cut off
    after its first token does have a position: the model had begun to give it.

    Args:
        marker: "boxed", "answer_tag", "hashes", or a function `(completion_ids, tokenizer) -> AnswerPosition
            | None` of your own, whose results are checked.

    Raises:
        ValueError: if there is no marker of that name; by the finder, if a function of your own returns a
            position outside the completion or a target that is not the token after it.
        TypeError: if `marker` is neither a name nor a function.
    """
    if isinstance(marker, str):
        found = _marker(marker)
        return lambda completion_ids, tokenizer: _find(found, list(completion_ids), tokenizer)
    if not callable(marker):
        raise TypeError(f"marker must be one of {sorted(_MARKERS)} or a function, got {marker!r}")
    return _checked(marker)


def _marker(name: str) -> _Marker:
    if name not in _MARKERS:
        raise ValueError(
            f"answer marker must be one of {sorted(_MARKERS)} or a function of your own, got {name!r}"
        )
    return _MARKERS[name]


def _checked(finder: AnswerFinder) -> AnswerFinder:
    def find(completion_ids: Sequence[int], tokenizer: Tokenizer) -> AnswerPosition | None:
        found = finder(completion_ids, tokenizer)
        if found is None:
            return None
        position, target_id = found
        if not 0 <= position < len(completion_ids) - 1:
            raise ValueError(
                f"the answer finder returned position {position} of {len(completion_ids)} tokens; "
                f"allowed is 0 to {len(completion_ids) - 2}, as the answer's first token comes after it"
            )
        if completion_ids[position + 1] != target_id:
            raise ValueError(
                f"the answer finder returned target {target_id}, but the token after position {position} is "
                f"{completion_ids[position + 1]}"
            )
        return AnswerPosition(position, target_id)

    return find


def _find(marker: _Marker, ids: list[int], tokenizer: Tokenizer) -> AnswerPosition | None:
    found = _window(marker.opening, ids, tokenizer)
    if found is None:
        return None
    start, text = found
    if _is_blank(marker.read(text.rpartition(marker.opening)[2])[0], marker.skip):
        return None
    length = _tokens_to_last(marker.opening, ids[start:], text.count(marker.opening), tokenizer)
    held, closed = marker.read(_decode(ids[start : start + length], tokenizer).rpartition(marker.opening)[2])
    holder = (
        start + length - 1
    )  # the token with the end of the marker, and perhaps with the start of the answer
    target = None
    if _is_blank(held, marker.skip) or not closed:
        target = _next_visible(ids, holder + 1, marker.skip, tokenizer)
    if target is None and not _is_blank(held, marker.skip):
        target = holder
    return AnswerPosition(target - 1, ids[target]) if target else None


def _next_visible(ids: list[int], start: int, skip: str, tokenizer: Tokenizer) -> int | None:
    """The first token from `start` that shows something; None if a special token or the end comes first."""
    for i in range(start, len(ids)):
        if _is_special(ids[i], tokenizer):
            return None
        if not _is_blank(_decode([ids[i]], tokenizer), skip):
            return i
    return None


def _is_blank(text: str, skip: str) -> bool:
    return all(character.isspace() or character in skip for character in text)


def _window(opening: str, ids: list[int], tokenizer: Tokenizer) -> tuple[int, str] | None:
    """Where a tail of the completion begins that has the last marker, and the tail's text.

    Answers stand near the end, so a short tail is tried first: decoding is all that this costs, and there are
    thousands of completions in a step.
    """
    for length in (64, 512, len(ids)):
        start = max(len(ids) - length, 0)
        text = _decode(ids[start:], tokenizer)
        if opening in text:
            return start, text
    return None


def _tokens_to_last(opening: str, ids: list[int], wanted: int, tokenizer: Tokenizer) -> int:
    """The smallest number of tokens whose text has `wanted` markers, which is what the text of all has."""

    def enough(length: int) -> bool:
        return _decode(ids[:length], tokenizer).count(opening) >= wanted

    low, high = 0, len(ids)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    # With byte fallback, a character that is still incomplete spoils the bytes before it, the `{` among them,
    # so more tokens can show fewer markers; a UTF-8 character has at most three incomplete prefixes.
    while earlier := [n for n in range(max(high - 4, 1), high) if enough(n)]:
        high = earlier[0]
    return high


def _is_special(token_id: int, tokenizer: Tokenizer) -> bool:
    """End of text, padding and the like; `all_special_ids` lists but some of a chat model's."""
    if token_id in tokenizer.all_special_ids:
        return True
    visible = tokenizer.decode([token_id], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return not visible and bool(_decode([token_id], tokenizer))


def _decode(ids: list[int], tokenizer: Tokenizer) -> str:
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
