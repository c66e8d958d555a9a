"""Which way a free working went: read from the equations that it writes, whatever stands around them.

The main label, fixed before any result was looked at, is `first_two`: the operations with their operands of the first
two equations. The others are coarser or look elsewhere, and show whether findings hang on the label.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import NamedTuple

_WORDS = re.compile(r"[A-Za-wyzA-WYZ][A-Za-z]*|x[A-Za-z]+|[$,():{}\\]")
_NUMBER = r"\d+(?:\.\d+)?"
_EQUATION = re.compile(rf"({_NUMBER}(?:\s*[-+*/x×÷]\s*{_NUMBER})+)\s*(?==\s*(-?{_NUMBER})?)")
_SIGNS = str.maketrans("x×÷", "**/")


class Equation(NamedTuple):
    """The left side of one equation, in an order that does not matter to its value, and what was written for it."""

    left: str
    result: str | None


def equations(completion: str) -> list[Equation]:
    r"""The equations of a working, in order; what stands in the box is not looked at.

    >>> equations("First 8 boxes x 3 pens = 24, then 7 + 24 = 30\n\\boxed{1 + 1 = 2}")
    [Equation(left='3*8', result='24'), Equation(left='24+7', result='30')]
    >>> equations("7 + 8 * 3 = 15 + 24 = 39")
    [Equation(left='7+8*3', result='15'), Equation(left='15+24', result='39')]
    """
    working = completion.partition("\\boxed")[0]
    found = []
    for line in working.splitlines():
        for match in _EQUATION.finditer(_WORDS.sub(" ", line)):
            left = re.sub(r"\s", "", match[1]).translate(_SIGNS)
            parts = re.fullmatch(rf"({_NUMBER})([+*])({_NUMBER})", left)
            found.append(Equation(parts[2].join(sorted(parts.groups()[::2])) if parts else left, match[2]))
    return found


def is_right(equation: Equation) -> bool:
    """Whether the result is that of the left side, products before sums.

    >>> is_right(Equation("7+8*3", "31")), is_right(Equation("1/0", "0")), is_right(Equation("7+8", None))
    (True, False, False)
    """
    if equation.result is None:
        return False
    tokens = re.findall(rf"{_NUMBER}|[-+*/]", equation.left)
    total, term, sign = Fraction(0), Fraction(tokens[0]), 1
    for op, text in zip(tokens[1::2], tokens[2::2], strict=True):
        number = Fraction(text)
        if op in "+-":
            total, term, sign = total + sign * term, number, 1 if op == "+" else -1
        elif op == "*":
            term *= number
        elif number:
            term /= number
        else:
            return False
    return total + sign * term == Fraction(equation.result)


def first_two(steps: list[Equation]) -> str:
    """Operations with operands of the first two equations."""
    return "; ".join(step.left for step in steps[:2])


def first(steps: list[Equation]) -> str:
    """The first equation's operation and operands."""
    return steps[0].left


def operations(steps: list[Equation]) -> str:
    """Only which operations, of all equations: "*;+".

    >>> operations([Equation("3*8", "24"), Equation("24+7", "30")])
    '*;+'
    """
    return ";".join(re.sub(r"[\d.]", "", step.left) for step in steps)


def first_wrong(steps: list[Equation]) -> str:
    """The first equation that is not true, and which one it was; "none" if all are."""
    wrong = [f"{at}: {step.left}={step.result}" for at, step in enumerate(steps) if not is_right(step)]
    return wrong[0] if wrong else "none"


LABELS: Mapping[str, Callable[[list[Equation]], str]] = {
    "first two equations": first_two,
    "first equation": first,
    "sequence of operations": operations,
    "first wrong step": first_wrong,
}
