"""Numbers with signs between them: what a side of an equation gives, and whether a written result is right.

A number in brackets, a factorial, C(n, k), P(n, k) and "5 %" before or after "times" are a `Group`: a number that was
computed from others. An unknown, such as x, is NaN: what it is part of has no value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

LARGEST_FACTORIAL = 170
"""The largest number whose factorial is a float."""

LARGEST_CHOICE = 1_000
"""The largest n of C(n, k) and P(n, k)."""

MAX_PARTS = 12
"""Numbers of a side that is compared with the other side part by part."""

EXACT = 1e-10
"""The error that floats may have, relative to the result."""

ROUNDED, APPROXIMATE = 0.001, 0.005
"""The error, relative to the result, of what was computed from a rounded number such as .8333 or 3.14, or has "≈"."""


class Group(float):
    """A number computed from others.

    Attributes:
        kind: "(" for brackets; "!", "C" and "P" for the functions, "%" for hundredths.
        numbers, signs: what it was computed from.
    """

    kind: str
    numbers: tuple[float, ...]
    signs: tuple[str, ...]

    def __new__(cls, kind: str, numbers: Sequence[float], signs: Sequence[str] = ()) -> Group:
        """Compute it; NaN where that is impossible."""
        made = super().__new__(cls, _value_of_group(kind, numbers, signs))
        made.kind, made.numbers, made.signs = kind, tuple(numbers), tuple(signs)
        return made

    def written(self, parts: Sequence[str], space: str = "") -> str:
        """The group with names or digits in the place of its numbers.

        >>> Group("!", [Group("(", [9, 4], ["-"])]).written(["(a-b)"]), Group("C", [9, 4]).written(["9", "4"], " ")
        ('(a-b)!', 'C(9, 4)')
        """
        if self.kind in "CP":
            return f"{self.kind}({parts[0]},{space}{parts[1]})"
        joined = joined_by(parts, self.signs, space)
        return f"({joined})" if self.kind == "(" else f"{joined}{space if self.kind == '%' else ''}{self.kind}"


def joined_by(parts: Sequence[str], signs: Sequence[str], space: str = "") -> str:
    """Names or digits with the signs between them.

    >>> joined_by(["a", "b", "c"], ["+", "*"]), joined_by(["25", "80"], ["%"], " ")
    ('a+b*c', '25 % of 80')
    """
    text = parts[0]
    for sign, part in zip(signs, parts[1:], strict=True):
        text += f"{space}{'% of' if sign == '%' and space else sign}{space}{part}"
    return text


def has_function(number: float) -> bool:
    """Whether a factorial, C(n, k) or P(n, k) is in it."""
    return isinstance(number, Group) and (number.kind in "!CP" or any(map(has_function, number.numbers)))


def digits(number: float) -> str:
    """A number or group as it is written."""
    if isinstance(number, Group):
        return number.written([digits(one) for one in number.numbers], " ")
    return f"{number:.12g}"


def _value_of_group(kind: str, numbers: Sequence[float], signs: Sequence[str]) -> float:
    if kind == "(":
        value = value_of(numbers, signs)
        return value if math.isfinite(value) else math.nan
    if kind == "%":
        return numbers[0] / 100
    if not all(math.isfinite(number) and number >= 0 and number == int(number) for number in numbers):
        return math.nan
    n, k = int(numbers[0]), int(numbers[-1])
    if kind == "!":
        return float(math.factorial(n)) if n <= LARGEST_FACTORIAL else math.nan
    if k > n or n > LARGEST_CHOICE:
        return math.nan
    found = math.comb(n, k) if kind == "C" else math.perm(n, k)
    return float(found) if found < 1e300 else math.nan


def without_brackets(numbers: Sequence[float], signs: Sequence[str]) -> tuple[list[float], list[str]]:
    """Brackets that change nothing are left out: (a / b) * c is a / b * c."""
    if Group not in map(type, numbers):
        return list(numbers), list(signs)
    kept: list[float] = []
    between: list[str] = []
    for place, number in enumerate(numbers):
        before = signs[place - 1] if place else ""
        after = signs[place] if place < len(signs) else ""
        if place:
            between.append(before)
        if isinstance(number, Group) and number.kind == "(" and _are_needless(number.signs, before, after):
            kept += number.numbers
            between += number.signs
        else:
            kept.append(number)
    return kept, between


def _are_needless(inside: Sequence[str], before: str, after: str) -> bool:
    if "^" in (before, after) or before == "/" or "%" in inside:
        return False
    has_sum = "+" in inside or "-" in inside
    return not has_sum or (before in ("", "+", "=") and after not in ("*", "/"))


def sides_of(numbers: Sequence[float], signs: Sequence[str]) -> Iterator[tuple[list[float], list[str]]]:
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


def operation(left: float, right: float, result: float, written: str, is_approximate: bool = False) -> str:
    """The operation that gives the result, the written one if it does: + - * / ^ %, or "r-" and "r/" for right - left
    and right / left; "" if none does.

    >>> operation(7.0, 3.0, 10.0, "*"), operation(3.0, 12.0, 4.0, ""), operation(7.0, 3.0, 11.0, "+")
    ('+', 'r/', '')
    """
    near = EXACT * abs(result)
    for sign in (written, "+", "*", "-", "/"):
        if sign and sign == written and is_result([left, right], [sign], result, is_approximate):
            return sign
        if sign == "+" and abs(left + right - result) <= near:
            return sign
        if sign == "*" and abs(left * right - result) <= near:
            return sign
        if sign == "-":
            if abs(left - right - result) <= near:
                return sign
            if abs(right - left - result) <= near and written in ("-", ""):
                return "r-"
        if sign == "/":
            if right and _is_quotient(left / right, result):
                return sign
            if left and _is_quotient(right / left, result) and written in ("/", ""):
                return "r/"
    return ""


def _is_quotient(value: float, result: float) -> bool:
    """Whether an unwritten division gives the result: only its last digits may be rounded, as it is a guess."""
    return abs(value - result) <= 0.006 * max(1.0, abs(result)) and _is_rounded(value, result, 1.0)


def is_result(numbers: Sequence[float], signs: Sequence[str], result: float, is_approximate: bool = False) -> bool:
    """Whether a side gives the written result.

    The result may be rounded to its last digit, and of a quotient also cut or rounded up. So 1000 / 3 is 333.3 or 334,
    and 360 * 45 / 100, which is 162, is not 163. What was computed from rounded numbers (`ROUNDED`) may be a little
    off.
    """
    value = value_of(numbers, signs)
    if not math.isfinite(value):
        return False
    if _is_rounded(value, result, 1.0 if "/" in signs else 0.5):
        return True
    return abs(value - result) <= _tolerance(numbers, is_approximate) * abs(result)


def _is_rounded(value: float, result: float, units: float) -> bool:
    """Whether the result is the value, rounded to the last digit of the result by at most so many units."""
    error = abs(value - result)
    if error <= EXACT * abs(result):
        return True
    if value.is_integer() and result.is_integer():
        return False
    unit = 10.0 ** -_num_decimals(result)
    places = value / unit
    has_more_digits = abs(places) < 1e12 and abs(places - round(places)) > 1e-6
    return has_more_digits and error <= units * unit * (1 + 1e-9)


def _num_decimals(number: float) -> int:
    text = f"{number:.12g}"
    return 0 if "e" in text else len(text.partition(".")[2])


def _tolerance(numbers: Sequence[float], is_approximate: bool) -> float:
    if is_approximate:
        return APPROXIMATE
    return ROUNDED if any(map(_is_rounded_number, numbers)) else 0.0


def _is_rounded_number(number: float) -> bool:
    if isinstance(number, Group):
        return any(map(_is_rounded_number, number.numbers))
    return not number.is_integer() and (number == 3.14 or _num_decimals(number) > 2)


def parts_of(
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
            return [len(left)] if is_result(left[start:], signs[start:], right[place]) else None
        for stop in range(start + 1, len(left)):
            is_part = signs[stop - 1] == signs_right[place]
            if is_part and is_result(left[start:stop], signs[start : stop - 1], right[place]):
                later = cut(stop, place + 1)
                if later is not None:
                    return [stop, *later]
        return None

    ends = cut(0, 0)
    if ends is None:
        terms = [place + 1 for place, sign in enumerate(signs) if sign in ("+", "-")]
        same = bool(terms) and [signs[place - 1] for place in terms] == signs_right
        ends = [*terms, len(left)] if same else []
    starts = [0, *ends[:-1]]
    return [(left[start:end], signs[start : end - 1]) for start, end in zip(starts, ends, strict=False)]


def value_of(numbers: Sequence[float], signs: Sequence[str]) -> float:
    """Powers, then products and quotients, then sums; NaN where a sign is unknown.

    >>> value_of([2, 3, 4], ["+", "*"]), value_of([2, 3], [""])
    (14.0, nan)
    """
    numbers, signs = _without_powers(numbers, signs)
    total, term, sign = 0.0, numbers[0], 1.0
    for op, number in zip(signs, numbers[1:], strict=True):
        if op == "*":
            term *= number
        elif op == "/":
            term = term / number if number else math.nan
        elif op == "%":
            term *= number / 100
        elif op in ("+", "-"):
            total, term, sign = total + sign * term, number, 1.0 if op == "+" else -1.0
        else:
            return math.nan
    return total + sign * term


def _without_powers(numbers: Sequence[float], signs: Sequence[str]) -> tuple[Sequence[float], Sequence[str]]:
    if "^" not in signs:
        return numbers, signs
    kept, between = [numbers[0]], []
    for op, number in zip(signs, numbers[1:], strict=True):
        if op == "^":
            base = kept[-1]
            is_real = 0 <= number <= 64 and abs(base) <= 1e4 and (base >= 0 or number.is_integer())
            kept[-1] = base**number if is_real else math.nan
        else:
            kept.append(number)
            between.append(op)
    return kept, between
