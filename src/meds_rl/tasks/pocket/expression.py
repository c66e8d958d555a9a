"""The pocket task's problems: four numbers, three operators, and the single steps of a working."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

PLUS, MINUS, TIMES = "+", "-", "*"
_PROMPT = re.compile(r"what is (\d+) ([-+*]) (\d+) ([-+*]) (\d+) ([-+*]) (\d+)\?")


def apply(op: str, left: int, right: int) -> int:
    """`left op right`.

    >>> apply("-", 3, 20)
    -17
    """
    if op == PLUS:
        return left + right
    if op == MINUS:
        return left - right
    if op == TIMES:
        return left * right
    raise ValueError(f"unknown operator {op!r}; allowed: +, -, *")


class Step(NamedTuple):
    """One line of a working: `left op right = result`, where the result may be wrong."""

    left: int
    op: str
    right: int
    result: int

    @property
    def is_true(self) -> bool:
        """Whether the arithmetic is right."""
        return apply(self.op, self.left, self.right) == self.result

    @property
    def operands(self) -> tuple[str, int, int]:
        """The operator and its operands, sorted for + and *.

        >>> Step(4, "+", 3, 7).operands == Step(3, "+", 4, 7).operands
        True
        """
        if self.op == MINUS:
            return self.op, self.left, self.right
        return self.op, min(self.left, self.right), max(self.left, self.right)


@dataclass(frozen=True)
class Expression:
    """`a op b op c op d`.

    >>> problem = Expression((7, 3, 4, 2), ("+", "*", "-"))
    >>> problem.prompt
    'what is 7 + 3 * 4 - 2?'
    >>> problem.shape
    '+*-'
    >>> Expression.from_prompt(problem.prompt) == problem
    True
    """

    terms: tuple[int, ...]
    ops: tuple[str, ...]

    @property
    def prompt(self) -> str:
        """The problem as text."""
        pairs = zip(self.ops, self.terms[1:], strict=True)
        return f"what is {self.terms[0]}" + "".join(f" {op} {term}" for op, term in pairs) + "?"

    @property
    def shape(self) -> str:
        """The operators, such as "+*-"."""
        return "".join(self.ops)

    @staticmethod
    def from_prompt(prompt: str) -> Expression:
        """The problem of a prompt; ValueError for a prompt of another task."""
        found = _PROMPT.fullmatch(prompt)
        if found is None:
            raise ValueError(f"not a prompt of the pocket task, which look like 'what is 7 + 3 * 4 - 2?': {prompt!r}")
        parts: Sequence[str] = found.groups()
        return Expression(tuple(int(term) for term in parts[::2]), tuple(parts[1::2]))
