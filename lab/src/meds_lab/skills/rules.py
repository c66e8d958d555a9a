r"""Rules: two steps of arithmetic with three numbers, and every text that writes them.

A rule names numbers by their place, so it goes with any three numbers:

>>> rule = Rule("a", "+", "b", "*", "c")
>>> str(rule), rule.steps((3, 5, 7))
('a+b, *c', (Step(x=3, sign='+', y=5, result=8), Step(x=8, sign='*', y=7, result=56)))
>>> print(write(rule, (3, 5, 7), WORDINGS[-1], 56))
i take a plus b then times c
adding 3 and 5 gives 8
multiplying 8 by 7 gives 56
\boxed{56}

Of a difference the larger number comes first: no result is below 0, and none is above 162.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

PLACES = "abc"

Numbers = tuple[int, int, int]


@dataclass(frozen=True)
class Step:
    """x sign y = result."""

    x: int
    sign: str
    y: int
    result: int


@dataclass(frozen=True)
class Rule:
    """First ``x sign y`` of the numbers at two places, then ``then`` with the number at ``z``."""

    x: str
    sign: str
    y: str
    then: str
    z: str

    def __str__(self) -> str:
        return f"{self.x}{self.sign}{self.y}, {self.then}{self.z}"

    def steps(self, numbers: Numbers) -> tuple[Step, Step]:
        """Its two steps with these numbers."""
        at = dict(zip(PLACES, numbers, strict=True))
        first = _step(at[self.x], self.sign, at[self.y])
        return first, _step(first.result, self.then, at[self.z])

    def result(self, numbers: Numbers) -> int:
        """The result of its last step."""
        return self.steps(numbers)[1].result


def _step(x: int, sign: str, y: int) -> Step:
    if sign == "-":
        x, y = max(x, y), min(x, y)
    return Step(x, sign, y, {"+": x + y, "-": x - y, "*": x * y}[sign])


def _rules() -> list[Rule]:
    first = [(x, sign, y) for x, y in itertools.combinations(PLACES, 2) for sign in "+-*"]
    first += [(x, sign, x) for x in PLACES for sign in "+*"]
    return [
        Rule(x, sign, y, then, z)
        for x, sign, y in first
        for z in PLACES
        if z not in (x, y)
        for then in ("+-" if sign == "*" else "+-*")
    ]


RULES = _rules()
"""All 54."""

# ---- Texts.

_LEADS = ("", "i take ")
_PLANS = (
    {"+": "{x} + {y}", "-": "{x} - {y}", "*": "{x} * {y}"},
    {"+": "{x} plus {y}", "-": "{x} minus {y}", "*": "{x} times {y}"},
)
_THEN = ({"+": " then + {z}", "-": " then - {z}", "*": " then * {z}"}, {"+": " then plus {z}", "-": " then minus {z}", "*": " then times {z}"})
_PHRASES = (
    {"+": "{x} + {y} = {z}", "-": "{x} - {y} = {z}", "*": "{x} * {y} = {z}"},
    {"+": "{x} plus {y} is {z}", "-": "{x} minus {y} is {z}", "*": "{x} times {y} is {z}"},
    {
        "+": "adding {x} and {y} gives {z}",
        "-": "subtracting {y} from {x} gives {z}",
        "*": "multiplying {x} by {y} gives {z}",
    },
)

Wording = tuple[str, int, int, int]
"""Lead and phrase of the plan, phrases of the first and the second step."""

WORDINGS: list[Wording] = list(
    itertools.product(_LEADS, range(len(_PLANS)), range(len(_PHRASES)), range(len(_PHRASES)))
)
"""All 36. A policy draws one without a look at the rule."""


def plan(rule: Rule, wording: Wording) -> str:
    """The first line of a completion."""
    lead, phrase, *_ = wording
    first = _PLANS[phrase][rule.sign].format(x=rule.x, y=rule.y)
    return lead + first + _THEN[phrase][rule.then].format(z=rule.z)


def write(rule: Rule, numbers: Numbers, wording: Wording, answer: int) -> str:
    """The completion that follows a rule in a wording and gives an answer."""
    lines = [
        _PHRASES[phrase][step.sign].format(x=step.x, y=step.y, z=step.result)
        for step, phrase in zip(rule.steps(numbers), wording[2:], strict=True)
    ]
    return "\n".join([plan(rule, wording), *lines, f"\\boxed{{{answer}}}"])


_NUMBER = r"(\d+)"
_READ = {
    sign: re.compile(
        "|".join(
            re.escape(row[sign]).replace(r"\{x\}", r"(\d+)").replace(r"\{y\}", r"(\d+)").replace(r"\{z\}", r"(\d+)")
            for row in _PHRASES
        )
    )
    for sign in "+-*"
}
_ANSWER = re.compile(r"\\boxed\{(\d+)\}")


def read(completion: str) -> tuple[tuple[Step, ...], int | None]:
    r"""The steps and the answer of a completion; no step if a line is none.

    >>> read("a + b then - c\n3 + 5 = 8\nsubtracting 7 from 8 gives 2\n\\boxed{2}")
    ((Step(x=3, sign='+', y=5, result=8), Step(x=8, sign='-', y=7, result=2)), 2)
    """
    *lines, last = completion.strip().split("\n")
    steps = [_read_line(line) for line in lines[1:]]
    answer = _ANSWER.fullmatch(last)
    read_all = [step for step in steps if step is not None]
    return tuple(read_all) if len(read_all) == len(lines) - 1 else (), int(answer[1]) if answer else None


def _read_line(line: str) -> Step | None:
    for sign, expression in _READ.items():
        found = expression.fullmatch(line)
        if found:
            x, y, z = (int(number) for number in found.groups() if number is not None)
            if line.startswith("subtracting"):
                x, y = y, x
            return Step(x, sign, y, z)
    return None
