r"""Reads the arithmetic steps of a working: where each number comes from, and which operation joins two numbers.

Equations may be in symbols, LaTeX or words, several in a line, or a chain ("7 + 8 * 3 = 15 * 3 = 45"). The text is cut
into clauses. A clause with three numbers is a step if some operation on the first two gives the third, whatever the
words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from math import isfinite
from typing import NamedTuple

from meds_rl.fingerprint.roles import Working, letter_of, mix, result_letter

MAX_STEPS = 100
"""Steps that are read of a working, from its beginning."""

MAX_NUMBERS = 64
"""Numbers of a prompt that have a role: the last ones, because examples come before the question."""

# A minus sign belongs to a number if no number comes before it: "= -17", "from -12", but not "20 - 3" or "20 -3". A
# number with a variable ("2x") is algebra.
_TOKEN = re.compile(
    r"\d+[xyzabnkt](?![A-Za-z\d])|(?:(?<![\d)%])(?<![\d)%] )[-−](?=\d))?(?:\d{1,3}(?:,\d{3}){1,6}(?!\d)|\d+)(?:\.\d+)?"
    r"|[A-Za-z]+|[-+*/=^×÷·−–≈→%\n.,;:!?]"
)
_CALCULATOR = re.compile(r"<<[^<>\n]*>>")  # GSM8K repeats its equations in these
_TIMES = re.compile(r"(\d|\))\(")  # 3(4 + 5)
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")

_OPERATOR, _EQUALS, _VERB, _END, _OTHER = range(5)
_OTHER_WORD = (_OTHER, "")
_UNARY = {"half": ("/", 2.0), "twice": ("*", 2.0), "squared": ("^", 2.0)}


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
            "=": "= ≈ → is are was equals equal gives give giving makes make making get gets leaves leaving becomes "
            "yields totals approx"
        },
    ),
    **_kinds(_END, {"": "\n . , ; : ! ? then so now next after therefore thus finally"}),
}

_CODES = {"": 11, "+": 12, "-": 13, "*": 14, "/": 15, "^": 16, "%": 17, "?": 18}
_PLACE, _NEW, _SLIP, _LONG, _NEXT, _PARENTHESES = 101, 103, 107, 109, 113, 127

MAX_PARTS = 12
"""Numbers of a side that is compared with the other side part by part."""


class _Prompt(NamedTuple):
    """The numbers of a prompt, and the sign before each; "" for no sign."""

    numbers: tuple[float, ...]
    signs: tuple[str, ...]


@lru_cache(maxsize=4096)
def _read_prompt(prompt: str) -> _Prompt:
    found: list[tuple[float, str]] = []
    sign = ""
    for token in _TOKEN.findall(_plain(prompt)):
        if token[-1].isdigit():
            found.append((_number(token), sign))
            sign = ""
            continue
        kind, what = _KINDS.get(token) or _KINDS.get(token.lower(), _OTHER_WORD)
        sign = what if kind == _OPERATOR else ""
    kept = found[-MAX_NUMBERS:]
    return _Prompt(tuple(number for number, _ in kept), tuple(sign for _, sign in kept))


def _plain(text: str) -> str:
    if "<<" in text:
        text = _CALCULATOR.sub("", text)
    if not text.isascii():
        text = text.replace("²", "^2").replace("³", "^3")
    if "(" in text:
        text = _TIMES.sub(r"\1*(", text)
    return _FRACTION.sub(r"\1/\2", text) if "\\" in text else text


def _number(token: str) -> float:
    # float() of 400 digits is infinite.
    return float(token[:300].replace(",", "").replace("−", "-"))


def read_arithmetic(prompt: str, working: str) -> Working | None:
    """The arithmetic steps of a working; None without any. The docstring of `steps` says how they are named."""
    reader = _Reader(_read_prompt(prompt))
    reader.read(_plain(working))
    return reader.working()


class _Value:
    """A number that a step may use: one of the prompt, or the result of a step.

    Attributes:
        letter: its name.
        tree: hash of how it was computed from the prompt's numbers.
        form: hash of its last step alone, in which all earlier results are alike; 0 for a number of the prompt.
        low, high: the first and the last of the prompt's numbers that it was computed from, by place.
        used: whether a step has used it.
    """

    __slots__ = ("form", "high", "letter", "low", "tree", "used")

    def __init__(self, letter: str, tree: int, form: int, low: int, high: int) -> None:
        self.letter, self.tree, self.form, self.low, self.high = letter, tree, form, low, high
        self.used = False


class _Reader:
    """Reads one working, clause by clause."""

    def __init__(self, prompt: _Prompt) -> None:
        self._signs = prompt.signs
        self._num_numbers = len(prompt.numbers)
        self._given = [
            _Value(letter_of(place), mix(_PLACE, place), 0, place, place) for place in range(len(prompt.numbers))
        ]
        self._values: dict[float, list[_Value]] = {}
        for number, value in zip(prompt.numbers, self._given, strict=True):
            self._values.setdefault(number, []).append(value)
        self._names: list[str] = []
        self._written: list[str] = []
        self._shapes: list[str] = []  # the names with the prompt's own signs as "∘"
        self._trees: list[int] = []
        self._forms: list[int] = []
        self._edges: list[int] = []  # hashes of a step and of a step whose result it uses
        self._said: set[tuple[float, float, float]] = set()
        self._seen: set[tuple[int, float]] = set()
        self._last: float | None = None
        self._has_parentheses = False

    def read(self, text: str) -> None:
        """Cut a text into clauses, and read each by its numbers, the signs between them, and its verb."""
        self._has_parentheses = "(" in text
        numbers: list[float] = []
        signs: list[str] = []
        sign = verb = ""
        for token in (*_TOKEN.findall(text), "\n"):
            if token[-1].isdigit():
                if numbers:
                    signs.append(sign)
                numbers.append(_number(token))
                sign = ""
                continue
            kind, what = _KINDS.get(token) or _KINDS.get(token.lower(), _OTHER_WORD)
            if kind == _OPERATOR:
                if numbers and sign != "=":
                    sign = what
            elif kind == _EQUALS:
                sign = "=" if numbers else ""
            elif kind == _VERB:
                verb = verb or what
            elif kind == _END:
                if len(numbers) > 1:
                    self._clause(numbers, signs, verb)
                    if len(self._names) >= MAX_STEPS:
                        return
                numbers, signs, sign, verb = [], [], "", ""
            elif token[0].isdigit():  # algebra such as "2x": the numbers around it are no step
                numbers, signs, sign = [], [], ""

    def _clause(self, numbers: list[float], signs: list[str], verb: str) -> None:
        if "=" in signs:
            for (left, between), (right, between_right) in pairwise(_sides(numbers, signs)):
                self._equation(left, between, right, between_right, verb)
        elif len(numbers) == 2:
            if verb:  # else it is no step: "she sells 40 cakes at 3 dollars"
                self._implied(numbers[0], numbers[1], verb, needs_verb=True)
        else:
            for start in range(len(numbers) - 2):
                one, other, result = numbers[start : start + 3]
                if _operation(one, other, result, signs[start] or verb):
                    self._binary(one, other, result, signs[start] or verb)
                    return

    def _equation(
        self, left: list[float], signs: list[str], right: list[float], signs_right: list[str], verb: str
    ) -> None:
        while signs and not signs[0] and any(signs):  # a number in the words before the equation is no operand
            left, signs = left[1:], signs[1:]
        if len(left) == 1:
            if len(right) == 1:
                self._implied(left[0], right[0], verb)
            return
        if not any(signs):
            left, signs = left[-2:], signs[-1:]
        # 7 + 8 * 3 = 15 * 3: nothing was computed with the "* 3" at the end of both sides; the same at the beginning.
        while len(right) > 1 and len(left) > 2 and left[-1] == right[-1] and signs[-1] == signs_right[-1]:
            left, signs, right, signs_right = left[:-1], signs[:-1], right[:-1], signs_right[:-1]
        while len(right) > 1 and len(left) > 2 and left[0] == right[0] and signs[0] == signs_right[0]:
            left, signs, right, signs_right = left[1:], signs[1:], right[1:], signs_right[1:]
        if "" in signs_right:  # what comes after it is another equation: 10 * 4 = 40 and 40 - 2 = 38
            place = signs_right.index("")
            right, signs_right = right[: place + 1], signs_right[:place]
        if len(right) > 1:
            parts = _parts(left, signs, right, signs_right)
            for (numbers, between), result in zip(parts, right, strict=bool(parts)):
                self._side(numbers, between, result, verb)
            if parts or _near(_value_of(left, signs), _value_of(right, signs_right)):
                return  # of other equal sides nothing says what gave which number
        self._side(left, signs, right[0], verb)

    def _side(self, left: list[float], signs: list[str], result: float, verb: str) -> None:
        if len(left) == 2:
            self._binary(left[0], left[1], result, signs[0] or verb)
        elif len(left) > 2:
            self._long(left, [sign or verb or "?" for sign in signs], result)

    def _implied(self, number: float, result: float, verb: str, needs_verb: bool = False) -> None:
        """A step with one number written: "half of 20 is 10"; "add 5 to get 20", which uses the last result, too."""
        if verb in _UNARY:
            sign, two = _UNARY[verb]
            if _operation(number, two, result, sign) == sign:
                self._step(
                    self._candidates(number)[0],
                    self._new(two),
                    sign,
                    False,
                    result,
                    _text([number, two], [sign], result),
                )
        elif self._last is not None and self._last != result:
            sign = _operation(self._last, number, result, verb)
            if sign and (sign.removeprefix("r") == verb or not needs_verb):
                self._binary(self._last, number, result, verb)

    def _binary(self, left: float, right: float, result: float, written: str) -> None:
        said = (min(left, right), max(left, right), result)
        if said in self._said:  # written twice; in the second "6 - 3 = 3" the operand 3 would be read as the result
            return
        self._said.add(said)
        one, other = self._pair(left, right)
        sign = _operation(left, right, result, written)
        if sign and sign[0] == "r":
            left, right, one, other = right, left, other, one
        known = written if written in "+-*/^%" and written else sign[-1:] or "?"
        text = _text([left, right], [known], result)
        self._step(one, other, sign[-1:] or known, not sign, result, text)

    def _step(self, one: _Value, other: _Value, sign: str, is_slip: bool, result: float, text: str) -> None:
        if sign in "+*?" and one.low > other.low:
            one, other = other, one
        is_own = one.low < other.low < self._num_numbers and self._signs[other.low] == sign
        code = mix(_CODES["" if is_own else sign], _SLIP if is_slip else 0)
        end = "≠" if is_slip else "="
        self._add(
            name=f"{one.letter}{sign}{other.letter}{end}",
            shape=f"{one.letter}{'∘' if is_own else sign}{other.letter}{end}",
            tree=mix(code, one.tree, other.tree),
            form=mix(code, _form(one), _form(other)),
            result=result,
            taken=(one, other),
            text=text,
        )

    def _long(self, numbers: list[float], signs: list[str], result: float) -> None:
        """A step of three or more numbers at once."""
        values = [min(self._candidates(number), key=lambda value: value.used) for number in numbers]
        tree, name, shape = mix(_LONG, values[0].tree), values[0].letter, values[0].letter
        for sign, value in zip(signs, values[1:], strict=True):
            is_own = value.low < self._num_numbers and self._signs[value.low] == sign
            tree = mix(_CODES.get("" if is_own else sign, 0), tree, value.tree)
            name += f"{sign}{value.letter}"
            shape += f"{'∘' if is_own else sign}{value.letter}"
        is_slip = not _near(_value_of(numbers, signs), result)
        if is_slip and self._has_parentheses:  # which are not read
            is_slip, tree = False, mix(tree, _PARENTHESES)
        tree = mix(tree, _SLIP if is_slip else 0)
        end = "≠" if is_slip else "="
        self._add(f"{name}{end}", f"{shape}{end}", tree, tree, result, tuple(values), _text(numbers, signs, result))

    def _pair(self, left: float, right: float) -> tuple[_Value, _Value]:
        """The values that two numbers are. Preferred: unused ones, neighbours in the prompt, the newest results."""
        ones, others = self._candidates(left), self._candidates(right)
        if len(ones) == 1 and len(others) == 1:
            return ones[0], others[0]
        pairs = [
            (
                4 * (one.used + other.used)
                + 2 * (one.high + 1 != other.low and other.high + 1 != one.low)
                + 20 * (one is other)
                + (place + other_place) / 16,
                one,
                other,
            )
            for place, one in enumerate(ones[:8])
            for other_place, other in enumerate(others[:8])
        ]
        return min(pairs, key=lambda pair: pair[0])[1:]

    def _candidates(self, number: float) -> list[_Value]:
        return self._values.get(number) or [self._new(number)]

    def _new(self, number: float) -> _Value:
        """A number that is neither in the prompt nor a result."""
        return _Value(f"{number:g}", _NEW, 0, self._num_numbers, self._num_numbers)

    def _add(
        self, name: str, shape: str, tree: int, form: int, result: float, taken: tuple[_Value, ...], text: str
    ) -> None:
        if (tree, result) in self._seen:
            return
        self._seen.add((tree, result))
        for value in taken:
            value.used = True
            if value.form:
                self._edges.append(mix(_NEXT, value.form, form))
        letter = result_letter(len(self._names))
        self._names.append(name + letter)
        self._shapes.append(shape + letter)
        self._written.append(text)
        self._trees.append(tree)
        self._forms.append(form)
        made = _Value(letter, tree, form, min(one.low for one in taken), max(one.high for one in taken))
        self._values.setdefault(result, []).insert(0, made)
        self._last = result

    def working(self) -> Working | None:
        """What was read."""
        if not self._names:
            return None
        # Sorted: steps that do not need each other may come in any order.
        trees = sorted(self._trees)
        key = 0
        for tree in trees:
            key = mix(key, tree)
        unused = tuple(value.letter for value in self._given if not value.used)
        return Working(
            name=", ".join(self._names),
            shape=", ".join(self._shapes),
            key=key,
            parts=(*trees, *sorted(self._forms), *sorted(self._edges)),
            unused=unused,
            written=tuple(self._written),
        )


def _text(numbers: Sequence[float], signs: Sequence[str], result: float) -> str:
    """A step with its numbers; the sign is the written one, also where another gives the result."""
    text = f"{numbers[0]:.12g}"
    for sign, number in zip(signs, numbers[1:], strict=True):
        text += f" {'% of' if sign == '%' else sign} {number:.12g}"
    return f"{text} = {result:.12g}"


def _form(value: _Value) -> int:
    """The hash of a number of the prompt; 0 for every result."""
    return value.tree if not value.form else 0


def _sides(numbers: Sequence[float], signs: Sequence[str]) -> Iterator[tuple[list[float], list[str]]]:
    """The sides of an equation or chain: for each the numbers, and the signs between them."""
    side: tuple[list[float], list[str]] = ([numbers[0]], [])
    for number, sign in zip(numbers[1:], signs, strict=True):
        if sign == "=":
            yield side
            side = ([number], [])
        else:
            side[0].append(number)
            side[1].append(sign)
    yield side


def _operation(left: float, right: float, result: float, written: str) -> str:
    """The operation that gives the result, the written one if it does: + - * / ^ %, or "r-" and "r/" for right - left
    and right / left; "" if none does."""
    near = 1e-9 * abs(result)
    for sign in (written, "+", "*", "-", "/"):
        if sign == "+" and abs(left + right - result) <= near:
            return sign
        if sign == "*" and abs(left * right - result) <= max(near, _rounding(left, right, result)):
            return sign
        if sign == "-":
            if abs(left - right - result) <= near:
                return sign
            if abs(right - left - result) <= near and written in ("-", ""):
                return "r-"
        if sign == "/":
            rounded = 0.006 * max(1.0, abs(result))
            if right and abs(left / right - result) <= rounded:
                return sign
            if left and abs(right / left - result) <= rounded and written in ("/", ""):
                return "r/"
        if sign == "^" and 0 <= right <= 64 and abs(left) <= 1e4 and abs(left**right - result) <= near:
            return sign
        if sign == "%" and abs(left * right / 100 - result) <= 0.006 * max(1.0, abs(result)):
            return sign
    return ""


def _rounding(left: float, right: float, result: float) -> float:
    """How far a product with a factor that was rounded, such as .8333, may be from the result."""
    is_rounded = any(abs(100 * number - round(100 * number)) > 1e-6 for number in (left, right) if abs(number) < 1e9)
    return 0.001 * abs(result) if is_rounded else 0.0


def _parts(
    left: list[float], signs: list[str], right: list[float], signs_right: list[str]
) -> list[tuple[list[float], list[str]]]:
    """The parts of the left side that give the numbers of the right: 8 * 3 and 6 / 2 of 8 * 3 + 6 / 2 = 24 + 3.

    Without such parts the terms, if both sides have as many; else none.
    """
    if len(left) > MAX_PARTS or len(right) > len(left):
        return []

    def cut(start: int, place: int) -> list[int] | None:
        """Where the parts end, from number `start` on, which begins the part of number `place` on the right."""
        if place == len(right) - 1:
            return [len(left)] if _near(_value_of(left[start:], signs[start:]), right[place]) else None
        for stop in range(start + 1, len(left)):
            is_part = signs[stop - 1] == signs_right[place]
            if is_part and _near(_value_of(left[start:stop], signs[start : stop - 1]), right[place]):
                later = cut(stop, place + 1)
                if later is not None:
                    return [stop, *later]
        return None

    ends = cut(0, 0)
    if ends is None:
        terms = [place + 1 for place, sign in enumerate(signs) if sign in ("+", "-")]
        same = [signs[place - 1] for place in terms] == signs_right
        ends = [*terms, len(left)] if same else []
    starts = [0, *ends[:-1]]
    return [(left[start:end], signs[start : end - 1]) for start, end in zip(starts, ends, strict=False)]


def _near(value: float, result: float) -> bool:
    return isfinite(value) and abs(value - result) <= 0.01 * max(1.0, abs(result))


def _value_of(numbers: Sequence[float], signs: Sequence[str]) -> float:
    """Powers, then products and quotients, then sums; infinite where a sign is unknown."""
    numbers, signs = _without_powers(numbers, signs)
    total, term, sign = 0.0, numbers[0], 1.0
    for op, number in zip(signs, numbers[1:], strict=True):
        if op == "*":
            term *= number
        elif op == "/":
            term = term / number if number else float("inf")
        elif op in ("+", "-"):
            total, term, sign = total + sign * term, number, 1.0 if op == "+" else -1.0
        else:
            return float("inf")
    return total + sign * term


def _without_powers(numbers: Sequence[float], signs: Sequence[str]) -> tuple[Sequence[float], Sequence[str]]:
    if "^" not in signs:
        return numbers, signs
    kept, between = [numbers[0]], []
    for op, number in zip(signs, numbers[1:], strict=True):
        if op == "^":
            kept[-1] = kept[-1] ** number if 0 <= number <= 64 and abs(kept[-1]) <= 1e4 else float("inf")
        else:
            kept.append(number)
            between.append(op)
    return kept, between
