"""How the final answer is marked in a completion's text, and where the marked text ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Marker:
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

    def is_blank(self, text: str) -> bool:
        """Whether `text`, written after the opening, has nothing of an answer."""
        return all(character.isspace() or character in self.skip for character in text)


def named(name: str) -> Marker:
    """The marker of that name.

    Raises:
        ValueError: if there is none.
    """
    if name not in MARKERS:
        raise ValueError(
            f"answer marker must be one of {sorted(MARKERS)} or a function of your own, got {name!r}"
        )
    return MARKERS[name]


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


MARKERS = {
    "boxed": Marker("\\boxed{", "", _read_braces),
    "answer_tag": Marker("<answer>", "", _read_tag),
    "hashes": Marker("####", "#", _read_line, must_close=False),
}
