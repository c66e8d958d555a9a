"""Texts and numbers of any origin, made fit to be shown: short, on one line, valid UTF-8, finite."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from meds_rl.files import encodable

MAX_NAME = 200
"""Characters of an answer that a table shows."""

LONGEST = 160
"""Characters of a prompt, an answer or steps in a sentence."""

LARGEST = 1e100
"""A larger number means that the file is damaged; sums and charts of such numbers overflow."""


def plain(value: Any) -> Any:
    """The value for JSON: texts are `encodable`, and numbers that are not finite are None.

    Example:
        >>> plain({"a": [float("nan"), "b\\udcff"]})
        {'a': [None, 'b\\\\udcff']}
    """
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, float) and not -float("inf") < value < float("inf"):
        return None
    return value


def printable(text: str) -> str:
    """The text without what moves a terminal's cursor: a path, an id or a file's content may hold anything.

    Example:
        >>> printable("a" + chr(27) + "[2Jb")
        'a [2Jb'
    """
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in encodable(text))


def drawable(value: Any, *, large_characters: bool = True) -> Any:
    """A figure's specification without characters that XML cannot hold, and those that hide or turn text around.

    The first would abort the drawing. What joins letters (U+200C, U+200D, U+FE0F) stays. Without `large_characters`
    those beyond U+FFFF, such as emoji, go, too.

    Example:
        >>> drawable({"text": "6\\x0c"}) == {"text": "6\\ufffd"}
        True
    """
    if isinstance(value, dict):
        return {key: drawable(item, large_characters=large_characters) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [drawable(item, large_characters=large_characters) for item in value]
    if not isinstance(value, str):
        return value
    return _NOT_DRAWN.sub("\ufffd", value if large_characters else _LARGE.sub("\ufffd", value))


_LARGE = re.compile("[\U00010000-\U0010ffff]")
_NOT_DRAWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0e\ufeff\uffa0\ufff0-\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def shortened(text: str, limit: int = MAX_NAME) -> str:
    """The text, or its beginning and its length: a cut is always visible.

    Example:
        >>> shortened("60"), shortened("x" * 1000, limit=5)
        ('60', 'xxxxx… (1,000 characters)')
    """
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


class Template(NamedTuple):
    """What prompts have in common, before and after the question."""

    before: str = ""
    after: str = ""

    def question(self, words: str) -> str:
        """The words without it."""
        return words.removeprefix(self.before).removesuffix(self.after)


def template_of(prompts: Iterable[str]) -> Template:
    r"""What different prompts have in common, cut at the end of a line or sentence.

    Example:
        >>> template_of(["Think.\n2 + 2?\nBe brief.", "Think.\n2 + 3?\nBe brief."])
        Template(before='Think.\n', after='\nBe brief.')
        >>> template_of(["What is 2 + 2?", "What is 2 + 3?"]), template_of(["Think. 2 + 2?"])
        (Template(before='', after=''), Template(before='', after=''))
        >>> template_of(["Ann has 2 cows. How many legs? Be brief.", "Bob has 3 hens. How many legs? Be brief."])
        Template(before='', after=' Be brief.')
    """
    texts = list(dict.fromkeys(map(prompt_words, prompts)))
    if len(texts) < 2:
        return Template()
    prefix, suffix = common_beginning(texts), common_beginning([text[::-1] for text in texts])[::-1]
    before = prefix[: max((found.end() for found in _BREAK.finditer(prefix)), default=0)]
    ends = {text[: len(text) - len(suffix)][-1:] for text in texts}
    is_whole = suffix[:1].isspace() and ends <= set(_ENDS)
    first = None if is_whole else _BREAK.search(suffix)
    after = suffix if is_whole else suffix[first.start() :] if first else ""
    if not any(_ASKS.match(text.removesuffix(after)[::-1]) for text in texts):
        after = _instruction(after)
    for found in (Template(before, after), Template(before)):
        if all(len(text) > len("".join(found)) and found.question(text).strip() for text in texts):
            return found
    return Template()


def _instruction(after: str) -> str:
    """The end of prompts that all end alike, without what may be the question, as nothing before it asks.

    That is all up to the last question mark, or without one the end of the line.
    """
    marks = [found.start() for found in _MARK.finditer(after)]
    found = _BREAK.search(after, marks[-1]) if marks else _LINE.search(after)
    return after[found.start() :] if found else ""


def common_beginning(texts: Sequence[str]) -> str:
    """The characters with which all texts begin."""
    low, high = min(texts), max(texts)
    return low[: next((place for place, letter in enumerate(low) if letter != high[place : place + 1]), len(low))]


_ENDS = ".:?!"
_BREAK = re.compile(rf"\s*\n\s*|(?<=[{_ENDS}])\s+")
_MARK = re.compile("[?？؟]")
_ASKS = re.compile(rf"\s*[\"'”’)*$\\\]]*{_MARK.pattern}")  # from the end backwards
_LINE = re.compile(r"\s*\n")
_TOKEN = re.compile(r"<[|｜][^<>|｜]{1,40}[|｜]>|</?s>|<[be]os>|<(?:start|end)_of_turn>|\[/?INST\]")
_ROLE = re.compile(r"\s*(?:system|developer|user|human)[ \t]*\n", re.IGNORECASE)
_ASKED = re.compile(r"(?:^|(?<=[.!?}\])]))[ \t]*(?:user|human)[ \t]*$", re.IGNORECASE | re.MULTILINE)
_ANSWERS = re.compile(r"(?:\n|(?<=[.!?}\])$]))\s*(?:assistant|model)\s*(?:<think>\s*(?:</think>\s*)?)?$", re.IGNORECASE)


def _last_turn(text: str) -> str:
    """The last user message of a prompt that a chat template wrote, with special tokens or decoded without them."""
    clean = _TOKEN.sub("\n", text)
    if _ROLE.match(clean):
        clean = _ANSWERS.sub("", _ASKED.split(clean)[-1])
    return text if clean == text else clean.strip() or text


def prompt_words(prompt: str) -> str:
    """A prompt for the reader: of a chat the content of the last message. The chat is JSON, or a template wrote it.

    The content is a text or a list of parts. A part that is not text is shown as its type.

    Example:
        >>> prompt_words("system\\nBe brief.\\nuser\\n2 + 2?\\nassistant\\n")
        '2 + 2?'
        >>> prompt_words('[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]')
        '2 + 2?'
        >>> prompt_words('[{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]')
        '[image]\\nWhat is it?'
    """
    if not prompt.startswith("["):
        return _last_turn(prompt)
    try:
        messages = json.loads(prompt)
    except (ValueError, RecursionError):  # not JSON, or nested without end
        return _last_turn(prompt)
    last = messages[-1] if isinstance(messages, list) and messages else None
    content = last.get("content") if isinstance(last, dict) else None
    if isinstance(content, str):
        return content
    parts = [_part(part) for part in content] if isinstance(content, list) else []
    return "\n".join(part for part in parts if part) or prompt


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    text, kind = part.get("text"), part.get("type")
    if isinstance(text, str):
        return text
    return f"[{kind}]" if isinstance(kind, str) else ""


def times(count: int) -> str:
    """A count in words.

    Example:
        >>> times(1), times(1200)
        ('once', '1,200 times')
    """
    return "once" if count == 1 else f"{count:,} times"


def counted(count: int, name: str) -> str:
    """A count and what is counted, with a regular plural.

    Example:
        >>> counted(1, "completion"), counted(1200, "completion")
        ('1 completion', '1,200 completions')
    """
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def percent(share: float, digits: int | None = None) -> str:
    """A share in percent, as everything in the report writes it.

    Args:
        share: 0 to 1.
        digits: after the point, except of 0 and 1; by default 1 below 10 %, else 0.

    Example:
        >>> percent(0.814), percent(0.043), percent(0.0), percent(1.0)
        ('81 %', '4.3 %', '0 %', '100 %')
        >>> percent(0.2962, 1), percent(0.0, 1)
        ('29.6 %', '0 %')
    """
    if digits is None or share in (0, 1):
        digits = 1 if 0 < share < 0.0995 else 0
    return f"{100 * share:.{digits}f} %"


def one_line(text: str, width: int | None = None) -> str:
    """One line without control characters, so that a completion cannot control the terminal.

    Lone surrogates are written as escapes.

    Args:
        text: Any text.
        width: Most characters; the last one is "…" if some were cut. None for no limit.

    Example:
        >>> one_line("a\\x1b[2J\\n\\tb"), one_line("abcdef", width=4)
        ('a [2J b', 'abc…')
    """
    # Look at a little more than is shown, not at megabytes, for a cell of a table.
    some = encodable(text if width is None else text[: 20 * width])
    clean = " ".join("".join(letter if letter.isprintable() else " " for letter in some).split())
    if width is None or (len(clean) <= width and len(text) <= 20 * width):
        return clean
    return clean[: width - 1] + "…"


def finite(value: object) -> float | None:
    """The value as a float; None where it is not a number, not finite, or beyond `LARGEST`.

    Example:
        >>> finite(3), finite(float("nan")), finite("3"), finite(10**400)
        (3.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -LARGEST <= value <= LARGEST else None
