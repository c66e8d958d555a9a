r"""Cuts a working into clauses: the numbers of each, the signs between them, and its verb.

Equations may be in symbols, LaTeX or words. LaTeX is rewritten first; then brackets, factorials and functions become
numbers that were computed from others (`Group`), and other words are left out.

>>> [(clause.numbers, clause.signs) for clause in clauses(r"\[ \frac{3}{4} \times 8 = 6 \] so we add 2 to get 8")]
[([3.0, 4.0, 8.0, 6.0], ['/', '*', '=']), ([2.0, 8.0], ['='])]
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from meds_rl.fingerprint.expression import Group, without_brackets

MAX_NUMBERS = 64
"""Numbers of a prompt that have a role: the last ones, because examples come before the question."""

MAX_DEPTH = 20
"""Brackets in brackets; deeper ones are left out."""

# ---- LaTeX.

_CALCULATOR = re.compile(r"<<[^<>\n]*>>")  # GSM8K repeats its equations in these
# A pattern that begins with one character, and looks back from it, is found fast.
_TIMES = re.compile(r"\((?<=[\d¡)]\()")  # 3(4 + 5)
_TIMES_SQUARE = re.compile(r"\[(?<=\d\[)(?=[\d(][^\[\]\n]{0,60}[-+*/])")  # 3[4 + 5]
_FUNCTION = re.compile(  # sqrt(9): what it is part of is not read
    r"\((?:(?<=(?:sqrt|ceil|log2)\()|(?<=(?:log|sin|cos|tan|gcd|lcm|max|min|abs)\()|(?<=(?:floor|log10)\()|(?<=ln\())"
)
_POWER = re.compile(r"\*\*(?:(?<=[\d)]\*\*)(?=[\d(])|(?<=[\d)] \*\*) (?=[\d(]))")  # 2**3, but not "**Step 2** 3 + 4"
_BOLD_ENDS = re.compile(r"\*\*(?<=\S\*\*)(?=[\s.,:;!?]|$)")
_MODULO = re.compile(r"%(?:(?<=\d%)|(?<=\d %) )(?=\d)")
_DECIMAL_COMMA = re.compile(r",(?<=\d,)(?=\d{1,2}(?!\d))")  # 7,5: what it is part of is not read
_UNIT_PER_UNIT = re.compile(r"/(?<=[A-Za-z]/)[A-Za-z]+")  # 60 km/h
_IS_MIXED = re.compile(r"/(?:(?<= \d/)|(?<= \d\d/))(?=\d)")
_MIXED = re.compile(r"(?<![\d./,])(\d{1,3}) (\d{1,2})/(\d{1,2})(?![\d/.])")  # 2 1/2
_FACTORIAL = re.compile(r"(?<=[\d)])!(?=\s?[-+*/=^×÷·−≈)\\]|\(|\s?\d+!)")  # "8! = 40320", but not "5 + 3 = 8! So"
_UNKNOWN = re.compile(  # a letter beside a sign: "2 + x", "x - 3", but not "P = 3" or "5 m"
    r"(?<![A-Za-z\d\\'’])[A-Za-z](?![A-Za-z(])(?:(?<!\d .)(?= ?[-+*/^×·](?![-*]))"
    r"|(?:(?<=[-+*/^×·]b)|(?<=[-+*/^×·] b)|(?:(?<==b)|(?<== b))(?!\s*=)))".replace("b", "[b-zB-HJ-Z]")
)
_SUBSCRIPT = re.compile(r"(?<=[A-Za-z)])_(?:\{[^{}]*\}|[A-Za-z\d]+)")
_POWER_OF_UNIT = re.compile(r"(?<=[A-Za-z]{2})\^\(?\d\)?")
_NEXT_LINE = re.compile(r"(?<!\s)\s*\n[ \t&]*=(?!=)")  # a chain may go on in the next line

_SIMPLE = [
    (re.compile(pattern), to)
    for pattern, to in (
        (r"(?<=\d)(?:\\[,!]|\{,\})(?=\d{3}(?!\d))", ","),  # 1{,}000
        (r"\\\\(?:\[\w+\])?", "\n"),
        (r"\\[\[\]]", "\n"),
        (r"\\[(),;:!> ]|\\(?:[bB]igg?[lr]?|displaystyle|quad|qquad)(?![A-Za-z])", " "),
        (r"\\(?:text|mathrm|mathbf|textbf|operatorname)\s*\{([^{}]*)\}", r" \1 "),
        (r"\\sqrt(?![A-Za-z])", "√"),
        (r"\\pi(?![A-Za-z])", " ξ"),
        (
            r"\\(?:[clv]?dots|sum|prod|int|lim|log|ln|sin|cos|tan|gcd|max|min|lfloor|lceil|[bp]mod|overline)(?![A-Za-z])",
            "…",
        ),
        (r"(\d)\\[dtc]?frac\s*\{(\d+)\}\s*\{(\d+)\}", r"(\1+((\2)/(\3)))"),  # 2\frac{1}{2}
        (r"\\[dtc]?frac\s*(\d)\s*(\d)", r"((\1)/(\2))"),
    )
]
_RARE = [
    (part, re.compile(pattern), to)
    for part, pattern, to in (
        ("\\left", r"\\(?:left|right)(?![A-Za-z])", ""),
        ("C_", r"(?<![A-Za-z])C_\{?(\d{1,4})\}?\^\{?(\d{1,4})\}?", r"C(\1,\2)"),
        ("\\choose", r"\{?(?<!\d)(\d{1,4})\s?\\choose\s?(\d{1,4})\}?", r"C(\1,\2)"),
        ("\\{", r"\\\{", "("),
        ("\\}", r"\\\}", ")"),
    )
]
"""Of these the pattern is looked for only where a part of it is in the text."""

_NESTED = [
    (re.compile(pattern), to)
    for pattern, to in (
        (r"\\[dtc]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"((\1)/(\2))"),
        (r"\\[dt]?binom\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"C(\1,\2)"),
        (r"([√^])\s*\{([^{}]*)\}", r"\1(\2)"),
    )
]
_MAX_NESTED = 4
_PI = re.compile(r"\\pi(?![A-Za-z])|π")
_EQUATION = re.compile(r"[^\n;$]+")
_SIDE = re.compile(r"=|≈|\\approx")
_DIGIT = re.compile(r"\d")
_COEFFICIENT_OF_PI = re.compile(r"(?<=[\d)}])\s*(?:\\pi(?![A-Za-z])|π)")
_FACTOR_PI = re.compile(r"(?:\\pi(?![A-Za-z])|π)\s*(?:\\cdot|\\times|[·×*])?")


def _plain(text: str) -> str:
    """The text with numbers and signs as on one line of a calculator."""
    if "<<" in text:
        text = _CALCULATOR.sub("", text)
    if "π" in text or "\\pi" in text:
        text = _EQUATION.sub(_without_pi, text)
    if not text.isascii():
        text = text.replace("²", "^2").replace("³", "^3").replace("π", " ξ")
    if "," in text:
        text = _DECIMAL_COMMA.sub("…,…", text)
    if "..." in text:
        text = text.replace("...", "…")
    if "\\" in text or "^{" in text or "{,}" in text:
        text = _without_latex(text)
    if "**" in text:
        text = _BOLD_ENDS.sub("", _POWER.sub("^", text))
    if "%" in text:
        text = _MODULO.sub("…", text)
    if "/" in text:
        text = _UNIT_PER_UNIT.sub("", text)
        if _IS_MIXED.search(text):
            text = _MIXED.sub(_mixed, text)
    if "!" in text:
        text = _FACTORIAL.sub("¡", text)
    if "_" in text:
        text = _SUBSCRIPT.sub("", text)
    if "^" in text:
        text = _POWER_OF_UNIT.sub("", text)
    if "(" in text:
        text = _FUNCTION.sub("(…", text)
        text = _TIMES.sub("*(", text)
    if "[" in text:
        text = _TIMES_SQUARE.sub("*[", text)
    text = _UNKNOWN.sub("ξ", text)
    return _NEXT_LINE.sub(" =", text) if "\n" in text else text


def _mixed(match: re.Match[str]) -> str:
    whole, part, of = match.groups()
    return f"({whole}+{part}/{of})" if int(part) < int(of) else match[0]


def _without_pi(equation: re.Match[str]) -> str:
    r"""The equation without the factor π, if each side that has a number has it: ``\pi \cdot 9 \cdot 14 = 126\pi``."""
    text = equation[0]
    sides = [side for side in _SIDE.split(text) if _DIGIT.search(side)]
    if len(sides) < 2 or not all(len(_PI.findall(side)) == 1 for side in sides):
        return text
    return _FACTOR_PI.sub("", _COEFFICIENT_OF_PI.sub("", text))


def without_pi(text: str) -> str:
    """The text without a factor π."""
    return _PI.sub("", text)


def _without_latex(text: str) -> str:
    for part, pattern, to in _RARE:
        if part in text:
            text = pattern.sub(to, text)
    for pattern, to in _SIMPLE:
        text = pattern.sub(to, text)
    for _ in range(_MAX_NESTED):
        before = text
        for pattern, to in _NESTED:
            text = pattern.sub(to, text)
        if text == before:
            break
    return text


# ---- Tokens.

# A minus sign belongs to a number if no number comes before it: "= -17", "from -12", but not "20 - 3" or "20 -3".
_TOKEN = re.compile(
    r"[CP] ?\(\s*\d+\s*…?,…?\s*\d+\s*\)|\d+[abknpqrtuvwxyz](?![A-Za-z\d])"
    r"|(?:(?<![\d)%¡])(?<![\d)%¡] )[-−](?=\d))?(?:\d{1,3}(?:,\d{3}){1,6}(?!\d)|\d+)(?:\.\d+)?"
    r"|[A-Za-z]+|[-+*/=^×÷·−–≈→%\n.,;:!?()\[\]√…ξ¡½¼¾⅓⅔]"
)
_LETTERS = "abknpqrtuvwxyz"

_OPERATOR, _EQUALS, _VERB, _END, _OTHER, _UNREAD, _NUMBER, _UNKNOWN_NUMBER, _CALL, _OPEN, _CLOSE, _FACTORIAL_SIGN = (
    range(12)
)
_OTHER_WORD = (_OTHER, "")


def _kinds(kind: int, words: dict[str, str]) -> dict[str, tuple[int, str]]:
    return {word: (kind, meaning) for meaning, listed in words.items() for word in listed.split(" ")}


_KINDS = {
    **_kinds(
        _OPERATOR,
        {"+": "+ plus", "-": "- − – minus less", "*": "* × · times x cdot", "/": "/ ÷ over div", "^": "^"},
    ),
    **_kinds(
        _VERB,
        {
            "+": "add adding added adds sum total more together and",
            "-": "subtract subtracting subtracted take taking difference remove removing",
            "*": "multiply multiplying multiplied product by each",
            "/": "divide dividing divided quotient split",
            "%": "% percent",
            "half": "half halve halves",
            "twice": "twice double doubled doubles",
            "squared": "square squared squaring",
        },
    ),
    **_kinds(
        _EQUALS,
        {
            "=": "= → is are was equals equal gives give giving makes make making get gets leaves leaving becomes "
            "yields totals",
            "≈": "≈ approx",
        },
    ),
    **_kinds(_END, {"": "\n . , ; : ! ? then so now next after therefore thus finally"}),
    **_kinds(_UNREAD, {"": "√ … ½ ¼ ¾ ⅓ ⅔"}),
    **_kinds(_UNKNOWN_NUMBER, {"": "ξ"}),
    **_kinds(_OPEN, {"": "( ["}),
    **_kinds(_CLOSE, {"": ") ]"}),
    **_kinds(_FACTORIAL_SIGN, {"": "¡"}),
}


@lru_cache(maxsize=4096)
def _kind_of(token: str) -> tuple[int, str]:
    if token[-1].isdigit():
        return _NUMBER, token
    if token[0].isdigit():
        return _UNKNOWN_NUMBER, token
    if len(token) > 1 and token[-1] == ")":
        return _CALL, token
    return _KINDS.get(token) or _KINDS.get(token.lower(), _OTHER_WORD)


@lru_cache(maxsize=4096)
def _number(token: str) -> float:
    # float() of 400 digits is infinite.
    return float(token[:300].replace(",", "").replace("−", "-"))


def _arguments(call: str) -> list[float]:
    return [float(number[:300]) for number in re.findall(r"\d+", call)]


# ---- A prompt.


class Prompt(NamedTuple):
    """The numbers of a prompt.

    Attributes:
        numbers: with coefficients (23x), without the exponents of letters (x^2).
        signs: before each; "" for no sign.
        exponents: of letters.
        has_percent: whether it speaks of percent.
    """

    numbers: tuple[float, ...]
    signs: tuple[str, ...]
    exponents: frozenset[float]
    has_percent: bool


@lru_cache(maxsize=4096)
def read_prompt(prompt: str) -> Prompt:
    """Read the numbers of a prompt.

    >>> read_prompt("Solve x^2 - 23x + 8 = 0")
    Prompt(numbers=(23.0, 8.0, 0.0), signs=('-', '+', ''), exponents=frozenset({2.0}), has_percent=False)
    """
    found: list[tuple[float, str]] = []
    exponents: set[float] = set()
    sign, is_after_letter, is_exponent, has_percent = "", False, False, False
    for token in _TOKEN.findall(_plain(prompt)):
        kind, what = _kind_of(token)
        if kind == _NUMBER or (kind == _UNKNOWN_NUMBER and what):
            number = _number(what.rstrip(_LETTERS))
            if is_exponent:
                exponents.add(number)
            else:
                found.append((number, sign))
            sign, is_exponent = "", False
        elif kind == _CALL:
            found += [(number, "") for number in _arguments(what)]
        elif kind not in (_OPEN, _CLOSE, _FACTORIAL_SIGN):
            has_percent = has_percent or what == "%"
            is_exponent, is_after_letter = what == "^" and is_after_letter, kind == _UNKNOWN_NUMBER
            sign = what if kind == _OPERATOR else ""
    kept = found[-MAX_NUMBERS:]
    return Prompt(
        tuple(number for number, _ in kept), tuple(sign for _, sign in kept), frozenset(exponents), has_percent
    )


# ---- A working.


@dataclass(slots=True)
class Clause:
    """Part of a sentence, or an equation.

    Attributes:
        numbers: in their order; NaN for an unknown.
        signs: between them: + - * / ^, "=" and "" for none.
        verb: the operation that a word names; "" for none.
        is_assigned: whether it begins with a name and "=", as "P = 3/4".
        is_approximate: whether it has "≈".
        is_unsure: whether it has a sign that is not read, such as a root, so that a result that no operation gives
            proves nothing.
    """

    numbers: Sequence[float] = ()
    signs: Sequence[str] = ()
    verb: str = ""
    is_assigned: bool = False
    is_approximate: bool = False
    is_unsure: bool = False


class _Row:
    """The numbers of a clause, or of brackets, as far as they are read."""

    __slots__ = ("is_percent", "numbers", "sign", "signs")

    def __init__(self) -> None:
        self.numbers: list[float] = []
        self.signs: list[str] = []
        self.sign = ""  # after the last number
        self.is_percent = False  # whether "%" follows the last number

    def add(self, number: float) -> None:
        if self.numbers:
            self.signs.append(self.sign)
        self.numbers.append(number)
        self.sign, self.is_percent = "", False

    def operator(self, sign: str) -> None:
        if self.numbers and self.sign != "=":
            self.sign = sign
            if sign == "*" and self.is_percent:
                self.numbers[-1] = Group("%", self.numbers[-1:])

    def percent(self) -> None:
        if self.signs and self.signs[-1] in ("*", "="):
            self.numbers[-1] = Group("%", self.numbers[-1:])
        self.is_percent = True

    def factorial(self) -> None:
        if self.numbers and not self.sign:
            self.numbers[-1] = Group("!", self.numbers[-1:])

    def close(self, inner: _Row) -> bool:
        """Take in what was in brackets, as one number if it is an expression; whether it was."""
        if len(inner.numbers) > 1 and not inner.sign and all(sign not in ("", "=") for sign in inner.signs):
            is_sure = bool(self.sign) or not self.numbers  # 2 (3 + 4) may be a product
            self.add(Group("(", *without_brackets(inner.numbers, inner.signs)))
            return is_sure
        self.join(inner)
        return len(inner.numbers) < 2

    def join(self, inner: _Row) -> None:
        """Take in what was in brackets, without these."""
        for number, sign in zip(inner.numbers, [self.sign, *inner.signs], strict=False):
            self.sign = sign
            self.add(number)
        self.sign = inner.sign if inner.numbers else self.sign


def clauses(text: str) -> Iterator[Clause]:
    """The clauses of a working that have two numbers or more."""
    clause, rows = Clause(), [_Row()]
    is_new, was_number = True, False
    for token in (*_TOKEN.findall(_plain(text)), "\n"):
        kind, what = _kind_of(token)
        if kind == _OTHER or (kind == _END and is_new):
            was_number = False
            continue
        row = rows[-1]
        if kind == _END:
            if len(rows) > 1 or len(row.numbers) > 1 or Group in map(type, row.numbers):
                clause = _finished(clause, rows)
                if len(clause.numbers) > 1:
                    yield clause
            clause, rows = Clause(), [_Row()]
            is_new, was_number = True, False
            continue
        if kind == _NUMBER:
            if row.numbers and not row.sign and _is_factorial(row.numbers[-1]):
                row.sign = "*"  # 3! 5!
            row.add(_number(what))
        elif kind == _EQUALS:
            clause.is_approximate |= what == "≈"
            clause.is_assigned |= token == "=" and not rows[0].numbers
            row.sign = "=" if row.numbers else ""
        elif kind == _OPERATOR:
            row.operator(what)
        elif kind == _VERB:
            clause.verb = clause.verb or what
            if was_number and token == "%":
                row.percent()
        elif kind == _OPEN:
            if len(rows) < MAX_DEPTH:
                rows.append(_Row())
        elif kind == _CLOSE:
            if len(rows) > 1:
                inner = rows.pop()
                clause.is_unsure |= not rows[-1].close(inner)
        elif kind == _UNKNOWN_NUMBER:
            row.add(math.nan)
        elif kind == _CALL:
            row.add(Group(token[0], _arguments(token)))
        elif kind == _FACTORIAL_SIGN:
            row.factorial()
        else:
            clause.is_unsure = True
        is_new, was_number = False, kind == _NUMBER


def _finished(clause: Clause, rows: list[_Row]) -> Clause:
    while len(rows) > 1:  # brackets that are never closed
        inner = rows.pop()
        clause.is_unsure |= len(inner.numbers) > 1
        rows[-1].join(inner)
    clause.numbers, clause.signs = without_brackets(rows[0].numbers, rows[0].signs)
    return clause


def _is_factorial(number: float) -> bool:
    return isinstance(number, Group) and number.kind == "!"
