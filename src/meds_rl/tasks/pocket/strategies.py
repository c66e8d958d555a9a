"""The planted strategies: one right way to compute `a op b op c op d`, and seven wrong ones.

A strategy reads the problem (perhaps without a term, or with a misread sign) and then applies its operators in some
order. Orders that are equivalent, such as two products in either order, all follow the strategy.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from meds_rl.tasks.pocket.expression import MINUS, PLUS, TIMES, Expression, Step, apply

CORRECT = "precedence"
WRONG = (
    "left_to_right",
    "right_to_left",
    "additions_first",
    "drop_last",
    "drop_first",
    "misread_sign",
    "misread_times",
)
STRATEGIES = (CORRECT, *WRONG)

# In place of unknown numbers: two orders that agree on these, which are far apart, agree on all.
_PROBES = (1009, 20011, 300007, 4000037)


class Plan(NamedTuple):
    """The problem as a strategy reads it, and the order in which it applies the operators."""

    first_term: int
    ops: tuple[str, ...]
    order: tuple[int, ...]

    def steps(self, terms: Sequence[int], stated: Sequence[int | None] = ()) -> list[Step]:
        """The steps of the working on `terms`; a step with a `stated` result, right or wrong, continues with it."""
        values = list(terms[self.first_term : self.first_term + len(self.ops) + 1])
        places = list(range(len(self.ops)))
        steps = []
        for index, operator in enumerate(self.order):
            at = places.index(operator)
            op = self.ops[operator]
            written = stated[index] if index < len(stated) else None
            result = apply(op, values[at], values[at + 1]) if written is None else written
            steps.append(Step(values[at], op, values[at + 1], result))
            values[at : at + 2] = [result]
            del places[at]
        return steps

    def value(self, terms: Sequence[int]) -> int:
        """The final result."""
        return self.steps(terms)[-1].result


@cache
def plans(strategy: str, ops: tuple[str, ...]) -> tuple[Plan, ...]:
    """Every plan that follows `strategy` on problems with these operators; ValueError for an unknown strategy.

    >>> [plan.order for plan in plans("precedence", ("*", "+", "*"))]
    [(0, 2, 1), (2, 0, 1)]
    >>> [plan.ops for plan in plans("misread_sign", ("+", "*", "-"))]
    [('-', '*', '-')]
    """
    forwards = tuple(range(len(ops)))
    if strategy == CORRECT:
        return _same_value(Plan(0, ops, _by_rank(ops, TIMES)))
    if strategy == "left_to_right":
        return (Plan(0, ops, forwards),)
    if strategy == "right_to_left":
        return (Plan(0, ops, forwards[::-1]),)
    if strategy == "additions_first":
        return _same_steps(Plan(0, ops, _by_rank(ops, PLUS + MINUS)))
    if strategy == "drop_last":
        return (Plan(0, ops[:-1], forwards[:-1]),)
    if strategy == "drop_first":
        return (Plan(1, ops[1:], forwards[:-1]),)
    if strategy == "misread_sign":
        return (Plan(0, _first_sign_turned(ops), forwards),)
    if strategy == "misread_times":
        return (Plan(0, tuple(PLUS if op == TIMES else op for op in ops), forwards),)
    raise ValueError(f"unknown strategy {strategy!r}; allowed: {', '.join(STRATEGIES)}")


def answers(problem: Expression) -> dict[str, int]:
    """What each strategy answers, without slips.

    >>> answers(Expression((7, 3, 4, 2), ("+", "*", "-")))["left_to_right"]
    38
    """
    return {name: plans(name, problem.ops)[0].value(problem.terms) for name in STRATEGIES}


def _by_rank(ops: Sequence[str], first: str) -> tuple[int, ...]:
    """Operators in `first` before the others, each kind from left to right."""
    return tuple(sorted(range(len(ops)), key=lambda place: ops[place] not in first))


def _first_sign_turned(ops: tuple[str, ...]) -> tuple[str, ...]:
    turned = {PLUS: MINUS, MINUS: PLUS}
    for place, op in enumerate(ops):
        if op in turned:
            return (*ops[:place], turned[op], *ops[place + 1 :])
    return ops


def _same_value(plan: Plan) -> tuple[Plan, ...]:
    """All orders with the same value whatever the numbers, `plan` itself first."""
    others = (plan._replace(order=order) for order in itertools.permutations(plan.order))
    value = plan.value(_PROBES)
    return (plan, *(other for other in others if other != plan and other.value(_PROBES) == value))


def _same_steps(plan: Plan) -> tuple[Plan, ...]:
    """All orders that take the same steps, `plan` itself first."""
    steps = sorted(plan.steps(_PROBES))
    return tuple(other for other in _same_value(plan) if sorted(other.steps(_PROBES)) == steps)
