r"""Rules: two steps of arithmetic with three numbers, and every text that writes them.

A rule names numbers by their place, so it goes with any three numbers:

>>> rule = Rule("a", "+", "b", "*", "c")
>>> str(rule), rule.steps((3, 5, 7))
('a+b, *c', (Step(x=3, sign='+', y=5, result=8), Step(x=8, sign='*', y=7, result=56)))
>>> print(write(rule, (3, 5, 7), WORDINGS[-1], 56))
[ab+ c*]
first adding 3 and 5 gives 8
then multiplying 8 by 7 gives 56
\boxed{56}

The larger number of a difference comes first, so no result is below 0. The numbers are from 2 to 9, all different, so
no result is above 144.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TypeAlias

PLACES = "abc"

Numbers: TypeAlias = tuple[int, int, int]


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

    @property
    def token(self) -> str:
        """The word that announces it, one token of the policy: ``[ab+ c*]``."""
        return f"[{self.x}{self.y}{self.sign} {self.z}{self.then}]"

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
"""All 54 rules."""

# ---- Texts.

_LEADS = (("", "first "), ("", "then "))
_PHRASES = (
    {"+": "{x} + {y} = {z}", "-": "{x} - {y} = {z}", "*": "{x} * {y} = {z}"},
    {"+": "{x} plus {y} is {z}", "-": "{x} minus {y} is {z}", "*": "{x} times {y} is {z}"},
    {
        "+": "adding {x} and {y} gives {z}",
        "-": "subtracting {y} from {x} gives {z}",
        "*": "multiplying {x} by {y} gives {z}",
    },
)

Wording: TypeAlias = tuple[str, int, str, int]
"""Lead and phrase of the first step, then of the second step; a phrase by its index."""

WORDINGS: list[Wording] = list(itertools.product(_LEADS[0], range(len(_PHRASES)), _LEADS[1], range(len(_PHRASES))))
"""All 36 wordings. In the starting policies the wording does not depend on the rule."""


def write(rule: Rule, numbers: Numbers, wording: Wording, answer: int) -> str:
    """The completion with the steps of a rule in a wording, and an answer. Its first token is the rule's word."""
    first, phrase, then, other = wording
    lines = [
        lead + _PHRASES[number][step.sign].format(x=step.x, y=step.y, z=step.result)
        for step, lead, number in zip(rule.steps(numbers), (first, then), (phrase, other), strict=True)
    ]
    return "\n".join([rule.token, *lines, f"\\boxed{{{answer}}}"])


def _expression(phrase: str) -> re.Pattern[str]:
    """Matches a line in a phrase. Its groups are x, y and z."""
    escaped = re.escape(phrase.format(x="X", y="Y", z="Z"))
    numbers = re.sub("[XYZ]", lambda letter: rf"(?P<{letter[0].lower()}>\d+)", escaped)
    return re.compile("(?:first |then )?" + numbers)


_LINES = [(sign, _expression(phrase)) for phrases in _PHRASES for sign, phrase in phrases.items()]
_ANSWER = re.compile(r"\\boxed\{(\d+)\}")


def read(completion: str) -> tuple[tuple[Step, ...], int | None]:
    r"""The steps and the answer of a completion, as written.

    The first line is skipped. If a line before the last is not a step, there are no steps; if the last is not an
    answer, the answer is None.

    >>> read("[ab+ c-]\n3 + 5 = 8\nsubtracting 7 from 8 gives 2\n\\boxed{2}")
    ((Step(x=3, sign='+', y=5, result=8), Step(x=8, sign='-', y=7, result=2)), 2)
    """
    *lines, last = completion.strip().split("\n")
    steps = [_read_line(line) for line in lines[1:]]
    known = tuple(step for step in steps if step is not None)
    answer = _ANSWER.fullmatch(last)
    return known if len(known) == len(steps) else (), int(answer[1]) if answer else None


def _read_line(line: str) -> Step | None:
    for sign, expression in _LINES:
        if found := expression.fullmatch(line):
            x, y, z = (int(found[name]) for name in "xyz")
            return Step(x, sign, y, z)
    return None
