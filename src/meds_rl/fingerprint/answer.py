"""The final answer of a completion: its position in the token ids, and its text.

The paper's fingerprint is read at p, the token with the last character of the LAST marker (the `{` of `\\boxed{`),
and uses t, the next token (paper, section on the fingerprint).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from meds_rl.fingerprint.locate import MARKERS, Tokenizer, locate, named


class _Place(NamedTuple):
    position: int
    target_id: int
    end: int


class AnswerPosition(_Place):
    """The position of an answer in one completion.

    Attributes:
        position: index p into the completion's token ids; the state at p predicts the answer's first token.
        target_id: token id t of the answer's first token, `completion_ids[position + 1]`.
        end: index of the answer's last token; by default `position + 1`, an answer of one token.

    Example:
        >>> AnswerPosition(6, 20)
        AnswerPosition(position=6, target_id=20, end=7)
    """

    __slots__ = ()

    def __new__(cls, position: int, target_id: int, end: int | None = None) -> AnswerPosition:
        return super().__new__(cls, position, target_id, position + 1 if end is None else end)


AnswerFinder = Callable[[Sequence[int], Tokenizer], "AnswerPosition | None"]


def extract_answer(text: str, marker: str = "boxed") -> str | None:
    """The text of the last marked answer in `text`, stripped of surrounding spaces.

    Only the last marker counts: if it is empty or not closed (a truncated `\\boxed{1` may have become 12), there is no
    answer (None), even if an earlier one was complete.

    Args:
        text: a completion.
        marker: "boxed" (`\\boxed{...}`, braces balanced), "answer_tag" (`<answer>...</answer>`) or "hashes" (the rest
            of the line after `####`); others are a ValueError.

    Example:
        >>> extract_answer(r"so \\boxed{3}, no: \\boxed{\\frac{1}{2}}.")
        '\\\\frac{1}{2}'
        >>> extract_answer(r"\\boxed{12") is None
        True
        >>> extract_answer("6 * 7 = 42\\n#### 42\\n", marker="hashes")
        '42'
    """
    found = named(marker)
    _, opening, rest = text.rpartition(found.opening)
    if not opening:
        return None
    answer, closed = found.read(rest)
    if found.must_close and not closed:
        return None
    return answer.strip() or None


def answer_finder(marker: str | AnswerFinder = "boxed") -> AnswerFinder:
    """A function that finds the answer's first and last token in a completion's token ids.

    p is the token with the last character of the last marker and t the next token. Tokens of white space between
    marker and answer are skipped; then p is the token just before t. If p's own token closes the box (`{4}` as one
    token) or is the last one of the completion, t is that token and p the one before it.

    The end is the token with the answer's last character, not counting white space and what closes the answer, and
    never before t. If the answer was cut off, it is the last token of the completion.

    There is no answer (None) without a marker, if the marked text is empty, if the completion ends at the marker, or
    if a special token (end of text, padding) follows.

    Args:
        marker: "boxed", "answer_tag", "hashes", or a function `(completion_ids, tokenizer) -> AnswerPosition
            | None` of your own, whose results are checked; it may leave the `end` out.

    ValueError for an unknown name, TypeError for anything but a name or a function. The finder raises a ValueError if
    your function's result does not fit the completion (`check_position`).
    """
    if isinstance(marker, str):
        found = named(marker)

        def find(completion_ids: Sequence[int], tokenizer: Tokenizer) -> AnswerPosition | None:
            ids = list(completion_ids)
            tokens = locate(found, ids, tokenizer)
            return None if tokens is None else AnswerPosition(tokens[0] - 1, ids[tokens[0]], tokens[1])

        return find
    if not callable(marker):
        raise TypeError(f"marker must be one of {sorted(MARKERS)} or a function, got {marker!r}")
    return _checked(marker)


def _checked(finder: AnswerFinder) -> AnswerFinder:
    def find(completion_ids: Sequence[int], tokenizer: Tokenizer) -> AnswerPosition | None:
        found = finder(completion_ids, tokenizer)
        if found is None:
            return None
        answer = AnswerPosition(*found)  # a plain pair will do
        check_position(answer, completion_ids, "the answer finder returned")
        return answer

    return find


def check_position(answer: AnswerPosition, completion_ids: Sequence[int], subject: str) -> None:
    """Raise a ValueError, which begins with `subject`, unless the position fits the completion."""
    (position, target_id, end), length = answer, len(completion_ids)
    if not 0 <= position < length - 1:
        raise ValueError(
            f"{subject} position {position} of {length} tokens; allowed is 0 to {length - 2}, as the answer's first "
            "token comes after it"
        )
    if completion_ids[position + 1] != target_id:
        raise ValueError(
            f"{subject} target {target_id}, but the token after position {position} is {completion_ids[position + 1]}"
        )
    if not position < end < length:
        raise ValueError(
            f"{subject} position {position} and end {end} of {length} tokens; allowed ends are {position + 1} to "
            f"{length - 1}"
        )
