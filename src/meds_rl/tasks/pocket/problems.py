"""The problems of the pocket task, and which of them are hard.

All numbers in all workings have at most two digits, so that a tiny model can do every step.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from functools import cache

from meds_rl.tasks.pocket.expression import Expression
from meds_rl.tasks.pocket.strategies import CORRECT, STRATEGIES, WRONG, answers, plans

OPERANDS = range(2, 10)
LARGEST = 99
MIN_WRONG_ANSWERS = 5

# The first problems of each pool are for training and testing by RL; the model has never seen them.
RESERVED = 192

# A product that does not come first: working from left to right is wrong.
HARD_SHAPES = ("+*+", "+*-", "-*+", "-*-", "*+*", "*-*")
# Working from left to right happens to be right.
EASY_SHAPES = ("*++", "*+-", "*-+", "*--", "+++", "+-+", "-+-", "++-")


def is_in_range(problem: Expression) -> bool:
    """Whether all numbers in the workings of all strategies have at most two digits."""
    return all(
        abs(number) <= LARGEST
        for name in STRATEGIES
        for plan in plans(name, problem.ops)
        for step in plan.steps(problem.terms)
        for number in (step.left, step.right, step.result)
    )


def difficulty(problem: Expression) -> str:
    """Whether a problem is "hard", "easy" or "other".

    Hard: only true precedence is right, and the wrong strategies give five or more different answers. Easy: working
    from left to right happens to be right.

    >>> difficulty(Expression((7, 3, 4, 2), ("+", "*", "-")))
    'hard'
    >>> difficulty(Expression((3, 4, 7, 2), ("*", "+", "-")))
    'easy'
    """
    by_strategy = answers(problem)
    wrong = {by_strategy[name] for name in WRONG}
    if by_strategy[CORRECT] not in wrong and len(wrong) >= MIN_WRONG_ANSWERS:
        return "hard"
    return "easy" if by_strategy["left_to_right"] == by_strategy[CORRECT] else "other"


@cache
def problems(shape: str) -> tuple[Expression, ...]:
    """All problems of a shape in range whose right answer has two digits."""
    return tuple(
        problem
        for terms in itertools.permutations(OPERANDS, len(shape) + 1)
        if is_in_range(problem := Expression(terms, tuple(shape))) and abs(answers(problem)[CORRECT]) >= 10
    )


@cache
def pool(kind: str) -> tuple[Expression, ...]:
    """All hard or all easy problems in a fixed shuffled order, with the shapes in turn."""
    if kind not in ("hard", "easy"):
        raise ValueError(f"unknown kind of problem {kind!r}; allowed: hard, easy")
    shapes = HARD_SHAPES if kind == "hard" else EASY_SHAPES
    shuffled = [_shuffled(p for p in problems(shape) if difficulty(p) == kind) for shape in shapes]
    return tuple(_take_turns(shuffled))


def reserved() -> tuple[Expression, ...]:
    """The problems that the model has not seen."""
    return (*pool("hard")[:RESERVED], *pool("easy")[:RESERVED])


def _shuffled(items: Iterable[Expression]) -> list[Expression]:
    # By hash: the same in every version of Python and NumPy.
    return sorted(items, key=lambda problem: hashlib.sha256(problem.prompt.encode()).digest())


def _take_turns(rows: list[list[Expression]]) -> Iterator[Expression]:
    for turn in itertools.zip_longest(*rows):
        yield from (problem for problem in turn if problem is not None)
