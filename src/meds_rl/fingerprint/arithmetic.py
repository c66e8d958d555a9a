r"""Reads the arithmetic steps of a working: where each number comes from, and which operation joins two numbers.

`notation` cuts the text into clauses, `expression` computes. A clause with three numbers is a step if some operation on
the first two gives the third, whatever the words. An equation of which not every sign is read is no step; it is counted
(`Working.unread`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import isfinite, isnan, nan

from meds_rl.fingerprint.expression import (
    Group,
    digits,
    has_function,
    is_result,
    joined_by,
    operation,
    parts_of,
    sides_of,
    value_of,
    without_brackets,
)
from meds_rl.fingerprint.notation import Clause, Prompt, clauses, read_prompt, without_pi
from meds_rl.fingerprint.roles import Working, letter_of, mix, result_letter

MAX_STEPS = 100
"""Steps that are read of a working, from its beginning."""

MAX_ANSWER = 200
"""Characters of an answer that is read as a number."""

_DECIMALS = 9
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))|\{,\}|\\,")
_SEVERAL = re.compile(r"[,:;]")
_CODES = {"": 11, "+": 12, "-": 13, "*": 14, "/": 15, "^": 16, "%": 17}
_PLACE, _NEW, _SLIP, _LONG, _NEXT, _GROUP = 101, 103, 107, 109, 113, 127
_TURNED = {"-": {"+": "-", "-": "+"}, "/": {"*": "/", "/": "*"}}
_UNARY = {"half": ("/", 2.0), "twice": ("*", 2.0), "squared": ("^", 2.0)}


def read_arithmetic(prompt: str, working: str, may_be_cut: bool = False) -> Working | None:
    """The arithmetic steps of a working; None without any. The docstring of `steps` says how they are named.

    A working that `may_be_cut` off has no last step if it ends inside its result: 400 * 0.2 = 8, of 80.
    """
    found = _read(prompt, working)
    if may_be_cut and found is not None and working[-1:].isdigit():
        begun = _begun_result(found)
        if begun and working.endswith(begun):
            return _read(prompt, working[: -len(begun)])
    return found


def _read(prompt: str, working: str) -> Working | None:
    reader = _Reader(read_prompt(prompt))
    for clause in clauses(working):
        reader.read(clause)
        if reader.is_full:
            break
    return reader.working()


def _begun_result(working: Working) -> str:
    """The wrong result of the last step, if the right one begins with its digits; else nothing."""
    if "≠" not in working.name.rpartition(", ")[2]:
        return ""
    operands, _, result = working.written[-1].rpartition(" = ")
    for clause in clauses(f"{operands} = 0"):
        if digits(value_of(clause.numbers[:-1], clause.signs[:-1])).startswith(result):
            return result
    return ""


def answer_value(answer: str) -> float:
    r"""The number that an answer is, without its unit or a factor π; NaN if it is no number, or several.

    >>> answer_value("$1,200"), answer_value(r"\frac{3}{4}\pi"), answer_value("(2, 3)"), answer_value("4x + 2")
    (1200.0, 0.75, nan, nan)
    """
    if _SEVERAL.search(_THOUSANDS.sub("", answer[-MAX_ANSWER:])):
        return nan
    found = list(clauses(f"0 = {without_pi(answer[-MAX_ANSWER:].rpartition('=')[2])} ="))
    if len(found) != 1 or found[0].signs[:1] != ["="] or found[0].is_unsure:
        return nan
    return value_of(found[0].numbers[1:], found[0].signs[1:])


class _Value:
    """A number that a step may use: one of the prompt, or the result of a step.

    Attributes:
        letter: its name.
        tree: hash of how it was computed from the prompt's numbers.
        form: hash of its last step alone, in which all earlier results are alike; 0 for a number of the prompt.
        low, high: the first and the last of the prompt's numbers that it was computed from, by place.
        used: whether a step has used it.
        inside: of a `Group` the values in it.
    """

    __slots__ = ("form", "high", "inside", "letter", "low", "tree", "used")

    def __init__(self, letter: str, tree: int, form: int, low: int, high: int, inside: tuple[_Value, ...] = ()) -> None:
        self.letter, self.tree, self.form, self.low, self.high, self.inside = letter, tree, form, low, high, inside
        self.used = False

    def all_in(self) -> Iterator[_Value]:
        """The value, or of a group those in it."""
        if not self.inside:
            yield self
        for value in self.inside:
            yield from value.all_in()


class _Reader:
    """Reads one working, clause by clause."""

    def __init__(self, prompt: Prompt) -> None:
        self._signs = prompt.signs
        # No numbers of the prompt: the 2 of x^2, and the 100 of a percentage, also where a price is $100.
        self._constants = {"^": prompt.exponents, "/": {100.0} if prompt.has_percent else set()}
        self._numbers = prompt.numbers
        self._num_numbers = len(prompt.numbers)
        self._others: list[float] = []  # in steps, but neither in the prompt nor a result
        self._given = [
            _Value(letter_of(place), mix(_PLACE, place), 0, place, place) for place in range(len(prompt.numbers))
        ]
        self._values: dict[float, list[_Value]] = {}
        for number, value in zip(prompt.numbers, self._given, strict=True):
            self._values.setdefault(number, []).append(value)
        self._names: list[str] = []
        self._written: list[str] = []
        self._results: list[float] = []
        self._shapes: list[str] = []  # the names with the prompt's own signs as "∘"
        self._trees: list[int] = []
        self._forms: list[int] = []
        self._edges: list[int] = []  # hashes of a step and of a step whose result it uses
        self._equations: set[tuple[float, float, float]] = set()
        self._seen: set[tuple[int, float]] = set()
        self._last: float | None = None
        self._unread = 0
        self._is_quotient_left = False  # whether the last side is a quotient that is the result of no step
        self._clause = Clause()

    @property
    def is_full(self) -> bool:
        """Whether no more steps are read."""
        return len(self._names) >= MAX_STEPS

    def read(self, clause: Clause) -> None:
        """Read one clause: an equation or chain, or numbers in words."""
        self._clause = clause
        numbers, signs, verb = clause.numbers, clause.signs, clause.verb
        if "=" in signs:
            self._chain(list(sides_of(numbers, signs)))
        elif clause.is_assigned:
            self._assigned(numbers, signs)
        elif any(isnan(number) for number in numbers):
            return
        elif len(numbers) == 2:
            if verb:  # else it is no step: "she sells 40 cakes at 3 dollars"
                self._implied(numbers[0], numbers[1], verb, needs_verb=True)
        else:
            for start in range(len(numbers) - 2):
                one, other, result = numbers[start : start + 3]
                if operation(one, other, result, signs[start] or verb):
                    self._binary(one, other, result, signs[start] or verb)
                    return

    def _chain(self, sides: list[tuple[list[float], list[str]]]) -> None:
        left, signs = sides[0]
        self._is_quotient_left = False
        for right, signs_right in sides[1:]:
            if not self._equation(left, signs, right, signs_right):
                left, signs = right, signs_right
        if self._is_quotient_left:  # the result of 7 / 2 may be written as 7/2
            self._assigned(left[:2], ["/"])

    def _assigned(self, numbers: Sequence[float], signs: Sequence[str]) -> None:
        """A step whose result is not written: "P = 3/7"."""
        value = value_of(numbers, signs)
        if isfinite(value):
            self._side(list(numbers), list(signs), value, is_written=False)

    def _equation(self, left: list[float], signs: list[str], right: list[float], signs_right: list[str]) -> bool:
        """Read two sides; whether the right one only writes the left one out, as in C(5, 2) = 5! / (2! 3!)."""
        self._is_quotient_left = False
        while signs and not signs[0] and any(signs):  # a number in the words before the equation is no operand
            left, signs = left[1:], signs[1:]
        if "" in signs_right:  # what comes after it is another equation: 10 * 4 = 40 and 40 - 2 = 38
            place = signs_right.index("")
            right, signs_right = right[: place + 1], signs_right[:place]
        if any(isnan(number) for number in (*left, *right)):
            self._unread += any(len(side) > 1 and not all(map(isnan, side)) for side in (left, right))
            return False
        if len(left) == 1 and not isinstance(left[0], Group):
            if len(right) == 1:
                self._implied(left[0], right[0], self._clause.verb)
            return False
        if not any(signs):
            left, signs = left[-2:], signs[-1:]
        self._is_quotient_left = signs_right == ["/"]
        if self._is_quotient_left and (left, signs) == (right, signs_right) and Group not in map(type, left):
            return False
        left, signs, right, signs_right = _without_common(left, signs, right, signs_right)
        if len(right) == 1:
            self._side(left, signs, right[0])
            return False
        parts = parts_of(left, signs, right, signs_right)
        for (numbers, between), result in zip(parts, right, strict=bool(parts)):
            self._side(numbers, between, result)
        if parts:
            return False
        is_same = is_result(left, signs, value_of(right, signs_right))
        if is_same and any(map(has_function, left)):
            return True
        is_mixed = is_same and signs_right == ["+", "/"] and right[1] < right[2]  # 7/2 = 3 1/2
        if is_mixed or (signs_right == ["/"] and (is_same or value_of(left, signs) != right[0])):  # 1/2 + 1/3 = 5/6
            self._is_quotient_left = False
            self._side(left, signs, Group("(", right, signs_right))
        elif not is_same:  # else nothing says what gave which number
            self._side(left, signs, right[0])
        return False

    def _side(self, left: list[float], signs: list[str], result: float, is_written: bool = True) -> None:
        if isinstance(result, Group) and result.kind == "%" and is_result(left, signs, result.numbers[0]):
            result = result.numbers[0]  # 20 % + 30 % = 50 %, but 5 / 10 = 50 %
        if has_function(result) or isnan(result):
            return
        left, signs = without_brackets(left, signs)
        verb = self._clause.verb
        signs = [sign or verb for sign in signs]
        if not all(sign in _CODES for sign in signs[:-1]) or (len(left) > 2 and not all(signs)):
            self._unread += 1
        elif len(left) == 2:
            self._binary(left[0], left[1], result, signs[0], is_written)
        elif len(left) > 2 or isinstance(left[0], Group):
            self._long(left, signs, result, is_written)

    def _implied(self, number: float, result: float, verb: str, needs_verb: bool = False) -> None:
        """A step with one number written: "half of 20 is 10"; "add 5 to get 20", which uses the last result, too."""
        if verb in _UNARY:
            sign, two = _UNARY[verb]
            if operation(number, two, result, sign) == sign:
                text = _text([number, two], [sign], result)
                self._step(self._candidates(number)[0], self._new(two), sign, False, result, text)
        elif self._last is not None and self._last != result:
            sign = operation(self._last, number, result, verb)
            if sign and (sign.removeprefix("r") == verb or not needs_verb):
                self._binary(self._last, number, result, verb)

    def _binary(self, left: float, right: float, result: float, written: str, is_written: bool = True) -> None:
        if written == "*" and isinstance(right, Group) and right.kind == "%":  # 80 * 5 % is 5 % of 80
            left, right, written = right.numbers[0], left, "%"
        elif written == "*" and isinstance(left, Group) and left.kind == "%":
            left, written = left.numbers[0], "%"
        equation = (min(left, right), max(left, right), result)
        if equation in self._equations:  # written twice: in the second "6 - 3 = 3" the operand 3 would be the result
            return
        sign = operation(left, right, result, written, self._clause.is_approximate)
        known = written if written in _CODES and written else sign[-1:]
        if not known or (not sign and self._clause.is_unsure):
            self._unread += 1
            return
        self._equations.add(equation)
        one, other = self._pair(left, right, known)
        if sign and sign[0] == "r":
            left, right, one, other = right, left, other, one
        text = _text([left, right], [known], result if is_written else None)
        self._step(one, other, sign[-1:] or known, not sign, result, text)

    def _step(self, one: _Value, other: _Value, sign: str, is_slip: bool, result: float, text: str) -> None:
        if sign in "+*" and one.low > other.low:
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

    def _long(self, numbers: list[float], signs: list[str], result: float, is_written: bool) -> None:
        """A step of three or more numbers at once, or of one function."""
        is_slip = not is_result(numbers, signs, result, self._clause.is_approximate)
        if is_slip and (self._clause.is_unsure or not isfinite(value_of(numbers, signs))):
            self._unread += 1
            return
        values = [self._value(number, sign) for number, sign in zip(numbers, ["", *signs], strict=True)]
        tree, shapes = mix(_LONG, values[0].tree), []
        for sign, value in zip(signs, values[1:], strict=True):
            is_own = value.low < self._num_numbers and self._signs[value.low] == sign
            tree = mix(_CODES["" if is_own else sign], tree, value.tree)
            shapes.append("∘" if is_own else sign)
        tree = mix(tree, _SLIP if is_slip else 0)
        end = "≠" if is_slip else "="
        letters = [value.letter for value in values]
        text = _text(numbers, signs, result if is_written else None)
        name, shape = joined_by(letters, signs), joined_by(letters, shapes)
        self._add(f"{name}{end}", f"{shape}{end}", tree, tree, result, tuple(values), text)

    def _value(self, number: float, sign: str) -> _Value:
        """The value that a number of a long step is: of several one that no step has used."""
        return min(self._candidates(number, sign), key=lambda value: value.used)

    def _pair(self, left: float, right: float, sign: str) -> tuple[_Value, _Value]:
        """The values that two numbers are. Preferred: unused ones, neighbours in the prompt, the newest results."""
        ones, others = self._candidates(left), self._candidates(right, sign)
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

    def _candidates(self, number: float, sign: str = "") -> list[_Value]:
        if isinstance(number, Group):
            return [self._computed(number)]
        found = None if number in self._constants.get(sign, ()) else self._values.get(number)
        return found or [self._new(number)]

    def _computed(self, group: Group) -> _Value:
        signs = ["", *group.signs, ""]
        values = [self._value(number, sign) for number, sign in zip(group.numbers, signs, strict=False)]
        tree = mix(_GROUP, ord(group.kind))
        for sign, value in zip(signs, values, strict=False):
            tree = mix(_CODES[sign], tree, value.tree)
        letter = group.written([value.letter for value in values])
        return _Value(letter, tree, 0, min(one.low for one in values), max(one.high for one in values), tuple(values))

    def _new(self, number: float) -> _Value:
        """A number that is neither in the prompt nor a result."""
        self._others.append(number)
        return _Value(f"{number:g}", _NEW, 0, self._num_numbers, self._num_numbers)

    def _add(
        self, name: str, shape: str, tree: int, form: int, result: float, taken: tuple[_Value, ...], text: str
    ) -> None:
        if (tree, result) in self._seen:
            return
        self._seen.add((tree, result))
        for value in taken:
            for used in value.all_in():
                used.used = True
                if used.form:
                    self._edges.append(mix(_NEXT, used.form, form))
        letter = result_letter(len(self._names))
        self._names.append(name + letter)
        self._shapes.append(shape + letter)
        self._written.append(text)
        self._results.append(float(result))
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
        if unused and self._others:
            others = {round(number, _DECIMALS) for number in self._others}
            unused = tuple(
                value.letter
                for number, value in zip(self._numbers, self._given, strict=True)
                if not value.used and others.isdisjoint(_other_forms(number))
            )
        return Working(
            name=", ".join(self._names),
            shape=", ".join(self._shapes),
            key=key,
            parts=(*trees, *sorted(self._forms), *sorted(self._edges)),
            unused=unused,
            written=tuple(self._written),
            results=tuple(self._results),
            unread=self._unread,
        )


def _other_forms(number: float) -> list[float]:
    """What 15 may be as 15 %: 0.15, or the 0.85 or 1.15 of a change by it; and 4 as a share: 0.25."""
    forms = [number / 100, 1 - number / 100, 1 + number / 100, 1 / number if number else nan]
    return [round(form, _DECIMALS) for form in forms]


def _text(numbers: Sequence[float], signs: Sequence[str], result: float | None) -> str:
    """A step with its numbers; the sign is the written one, also where another gives the result."""
    text = joined_by([digits(number) for number in numbers], signs, " ")
    return text if result is None else f"{text} = {digits(result).strip('()')}"


def _form(value: _Value) -> int:
    """The hash of a number of the prompt; 0 for every result."""
    return value.tree if not value.form else 0


_Sides = tuple[list[float], list[str], list[float], list[str]]


def _without_common(left: list[float], signs: list[str], right: list[float], signs_right: list[str]) -> _Sides:
    """The sides without what both begin or end with: in 7 + 8 * 3 = 15 * 3 nothing was computed with the "* 3"."""
    is_sum_of_fractions = "/" in signs[-1:] and ("+" in signs or "-" in signs)  # 1/3 + 1/6 = 3/6
    has_tail = not is_sum_of_fractions and (len(left) > 2 or isinstance(left[0], Group))
    while has_tail and min(len(left), len(right)) > 1 and (left[-1], signs[-1]) == (right[-1], signs_right[-1]):
        left, signs, right, signs_right = left[:-1], signs[:-1], right[:-1], signs_right[:-1]
        has_tail = len(left) > 2 or isinstance(left[0], Group)
    while len(right) > 1 and len(left) > 2 and left[0] == right[0] and signs[0] == signs_right[0]:
        turned = _TURNED.get(signs[0], {})  # 9 - 3 - 4 = 9 - 7 is 3 + 4 = 7
        left, signs = left[1:], [turned.get(sign, sign) for sign in signs[1:]]
        right, signs_right = right[1:], [turned.get(sign, sign) for sign in signs_right[1:]]
    return left, signs, right, signs_right
