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

    Args:
        end: by default `position + 1`: an answer of one token.

    Attributes:
        position: index p into the completion's token ids; the state at p predicts the answer's first token.
        target_id: token id t of the answer's first token, `completion_ids[position + 1]`.
        end: index of the answer's last token, at least `position + 1`.

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
            of the line after `####`).

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

    The end is the token with the answer's last character. The brace, tag or line end that closes the answer, and
    white space before it, do not count, unless they share that token. If the answer was cut off, the end is the last
    token of the completion. It never comes before t.

    There is no answer (None) without a marker, if the marked text is empty, if the completion ends at the marker, or
    if the next token is an end-of-text, padding or other special token. An answer that was cut off after its first
    token does have a position.

    Args:
        marker: "boxed", "answer_tag", "hashes", or a function `(completion_ids, tokenizer) -> AnswerPosition
            | None` of your own, whose results are checked; it may leave the `end` out.

    Raises:
        ValueError: if there is no marker of that name. The finder raises it if your function returns a position or
            an end outside the completion, or a target that is not the token after the position.
        TypeError: if `marker` is neither a name nor a function.
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
        position, target_id, end = AnswerPosition(*found)  # a plain pair will do
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
        if not position < end < len(completion_ids):
            raise ValueError(
                f"the answer finder returned position {position} and end {end} of {len(completion_ids)} tokens; "
                f"allowed ends are {position + 1} to {len(completion_ids) - 1}"
            )
        return AnswerPosition(position, target_id, end)

    return find
