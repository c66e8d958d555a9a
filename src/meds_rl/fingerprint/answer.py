"""The final answer of a completion: its position in the token ids, and its text.

The paper's fingerprint is read at p, the token with the last character of the LAST marker (the `{` of `\\boxed{`),
and uses t, the next token (paper, section on the fingerprint).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

from meds_rl.fingerprint.code import find_program
from meds_rl.fingerprint.locate import MARKER_NAMES, Tokenizer, locate, locate_text, named


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
TextAnswerFinder = Callable[[str], "str | None"]
"""From a completion's text to its answer."""


def extract_answer(text: str, marker: str = "boxed") -> str | None:
    """The text of the last marked answer in `text`, stripped of surrounding spaces.

    Only the last marker counts: if it is empty or not closed (`\\boxed{1` may be a truncated 12), there is no
    answer (None), even if an earlier one was complete.

    Args:
        text: a completion.
        marker: "boxed" (`\\boxed{...}`, braces balanced), "answer_tag" (`<answer>...</answer>`), "hashes" (the rest
            of the line after `####`), "code" (the program that `code.find_program` finds), or the text before answers,
            such as "Answer:" (then the rest of the sentence); others raise a ValueError.

    Example:
        >>> extract_answer(r"so \\boxed{3}, no: \\boxed{\\frac{1}{2}}.")
        '\\\\frac{1}{2}'
        >>> extract_answer(r"\\boxed{12") is None
        True
        >>> extract_answer("6 * 7 = 42\\n#### 42\\n", marker="hashes")
        '42'
        >>> extract_answer("**Answer:** 42. I am sure.", marker="Answer:")
        '42'
    """
    if marker == "code":
        return find_program(text)
    found = named(marker)
    _, opening, rest = text.rpartition(found.opening)
    if not opening:
        return None
    answer, closed = found.read(rest)
    if found.must_close and not closed:
        return None
    return answer.strip() or None


def answer_finder(marker: str | AnswerFinder | TextAnswerFinder = "boxed") -> AnswerFinder:
    """A function that finds the answer's first and last token in a completion's token ids.

    p is the token with the last character of the last marker and t the next token. Tokens of white space between
    marker and answer are skipped; then p is the token just before t. If p's own token closes the box (`{4}` as one
    token) or is the last one of the completion, t is that token and p the one before it.

    The end is the token with the answer's last character, not counting white space and what closes the answer, and
    never before t. If the answer was cut off, it is the last token of the completion.

    There is no answer (None) without a marker, if the marked text is empty, if the completion ends at the marker, or
    if a special token (end of text, padding) follows.

    With "code", p is the last token of the program and t the next one, such as the closing fence. So a fingerprint that
    reads up to p reads the whole program.

    Args:
        marker: "boxed", "answer_tag", "hashes", "code", the text before answers ("Answer:"), or a function of
            your own: `(completion_ids, tokenizer) -> AnswerPosition | None`, whose results are checked (it may leave
            the `end` out), or `(text) -> answer | None`. The answer's tokens are then those of its last verbatim
            occurrence in the text, or the last token if there is none.

    ValueError for an unknown name, TypeError for anything but a name or a function of one or two arguments. The finder
    raises a ValueError if your function's result does not fit the completion (`check_position`).
    """
    if marker == "code":
        return _find_program
    if isinstance(marker, str):
        found = named(marker)

        def find(completion_ids: Sequence[int], tokenizer: Tokenizer) -> AnswerPosition | None:
            ids = list(completion_ids)
            tokens = locate(found, ids, tokenizer)
            return None if tokens is None else AnswerPosition(tokens[0] - 1, ids[tokens[0]], tokens[1])

        return find
    if not callable(marker):
        raise TypeError(f"marker must be one of {sorted(MARKER_NAMES)} or a function, got {marker!r}")
    return _from_text(marker) if _reads_text(marker) else _checked(cast(AnswerFinder, marker))


def _find_program(completion_ids: Sequence[int], tokenizer: Tokenizer) -> AnswerPosition | None:
    """p is the program's last token, or the one before it if the completion ends with the program."""
    ids = list(completion_ids)
    program = find_program(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
    if program is None or len(ids) < 2:
        return None
    position = min(locate_text(program, ids, tokenizer)[1], len(ids) - 2)
    return AnswerPosition(position, ids[position + 1])


def answer_text(
    finder: str | AnswerFinder | TextAnswerFinder,
    text: str,
    ids: Sequence[int] = (),
    tokenizer: Tokenizer | None = None,
) -> str | None:
    """The text of a completion's answer, None if it has none.

    Where a function of the token ids finds an answer that has no text (special tokens, a space), it is "".

    Args:
        finder: as in `answer_finder`.
        text: of the completion.
        ids, tokenizer: used if the finder reads token ids; without them it is a TypeError.

    Example:
        >>> answer_text("hashes", "6 * 7 = 42 #### 42")
        '42'
        >>> answer_text(lambda text: text.split()[-1], "it is 42")
        '42'
    """
    if isinstance(finder, str):
        return extract_answer(text, finder)
    if _reads_text(finder):
        return _answer_of(finder, text)
    if tokenizer is None:
        raise TypeError(f"here an answer finder is called with a text; {finder!r} reads token ids")
    found = answer_finder(finder)(ids, tokenizer)
    if found is None:
        return None
    return str(tokenizer.decode(list(ids[found.position + 1 : found.end + 1]), skip_special_tokens=True)).strip()


def _reads_text(finder: Callable[..., object]) -> bool:
    """Whether a function takes a text: it has one positional parameter.

    TypeError if it can be called neither with a text nor with token ids and a tokenizer.
    """
    try:
        signature = inspect.signature(finder)
    except (TypeError, ValueError):  # some built-in functions have no signature
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [one.kind for one in signature.parameters.values() if one.default is inspect.Parameter.empty]
    if len(needed) == 1 and needed[0] in positional:
        return True
    if _takes(signature, 2):
        return False
    if _takes(signature, 1):
        return True
    raise TypeError(f"an answer finder is called with a text, or with token ids and a tokenizer; got {finder!r}")


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _answer_of(finder: Callable[..., object], text: str) -> str | None:
    answer = finder(text)
    if answer is not None and not isinstance(answer, str):
        raise TypeError(f"the answer finder must return a text or None; got {answer!r}")
    return (answer or "").strip() or None


def _from_text(finder: Callable[..., object]) -> AnswerFinder:
    def find(completion_ids: Sequence[int], tokenizer: Tokenizer) -> AnswerPosition | None:
        ids = list(completion_ids)
        answer = _answer_of(finder, tokenizer.decode(ids, skip_special_tokens=True))
        if answer is None or len(ids) < 2:
            return None
        first, last = locate_text(answer, ids, tokenizer)
        return AnswerPosition(first - 1, ids[first], last)

    return find


def _checked(finder: AnswerFinder) -> AnswerFinder:
    def find(completion_ids: Sequence[int], tokenizer: Tokenizer) -> AnswerPosition | None:
        found = finder(completion_ids, tokenizer)
        if found is None:
            return None
        answer = AnswerPosition(*found)  # a plain tuple, too
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


def find_written(
    find: AnswerFinder, completion_ids: Sequence[int], is_written: Sequence[bool], tokenizer: Tokenizer
) -> AnswerPosition | None:
    """The answer among the tokens that the model wrote itself, without those of tools or users in between.

    Each run of the model's own tokens is searched, the last one first. In a single-turn task there is one run only, and
    this is `find` on it. `is_written` has one value for each of the `completion_ids` (verl's response mask, TRL's tool
    mask).

    Example:
        >>> def find(ids, tokenizer):  # a token 9 comes before every answer
        ...     places = [i for i, token in enumerate(ids[:-1]) if token == 9]
        ...     return AnswerPosition(places[-1], ids[places[-1] + 1]) if places else None
        >>> find_written(find, [9, 4, 5, 9, 6, 7], [True, True, True, False, False, True], tokenizer=None)
        AnswerPosition(position=0, target_id=4, end=1)
    """
    for start, stop in reversed(written_runs(is_written)):
        found = find(completion_ids[start:stop], tokenizer)
        if found is not None:
            return AnswerPosition(start + found.position, found.target_id, start + found.end)
    return None


def written_runs(is_written: Sequence[bool]) -> list[tuple[int, int]]:
    """Where the runs of True begin and end: [False, True, True, False, True] has (1, 3) and (4, 5)."""
    padded = [False, *is_written, False]
    edges = [i for i in range(len(padded) - 1) if padded[i] != padded[i + 1]]
    return list(zip(edges[::2], edges[1::2], strict=True))
