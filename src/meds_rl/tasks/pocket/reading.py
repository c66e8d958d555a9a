"""Reads the steps of a completion, in any wording, and finds the strategy that they follow.

Only the working counts: the final answer is removed first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meds_rl.tasks.pocket.expression import MINUS, PLUS, TIMES, Expression, Step
from meds_rl.tasks.pocket.strategies import CORRECT, STRATEGIES, plans

SLIP = "arithmetic slip"
OTHER = "other"

_BOX = re.compile(r"\\boxed\{([^{}]*)\}")
_CLAUSE_END = re.compile(r"[.,;:!?\n]")
# A minus sign belongs to a number if no number comes before it: "= -17", "- -3", but not "20 - 3".
_NUMBER = re.compile(r"(?<![\d])(?<!\d )-?\d+|\d+")
_OPERATION_WORDS = {
    PLUS: r"\bplus\b|\badd(?:ing)?\b|\bsum\b",
    MINUS: r"\bminus\b|\btak(?:e|ing)\b|\bsubtract(?:ing)?\b|\bdifference\b",
    TIMES: r"\btimes\b|\bmultiply(?:ing)?\b|\bproduct\b",
}
_OPERATIONS = {op: re.compile(rf"{words}|(?:(?<=\d )|(?<=\d))\{op}") for op, words in _OPERATION_WORDS.items()}
# Trained policies drop the verb: "7 by 5 = 35" for "multiply 7 by 5 = 35", "4 and 9 is 13" for "add 4 and 9 = 13".
_VERB_LEFT_OUT = {
    op: re.compile(rf"-?\d+ {word} -?\d+ (?:=|is|gives|makes|equals) -?\d+")
    for op, word in ((TIMES, "by"), (PLUS, "and"))
}
_SECOND_COMES_FIRST = re.compile(r"\bfrom\b")


@dataclass(frozen=True)
class Working:
    """The steps of a completion.

    Attributes:
        steps: in the order in which they first come; repetitions are left out.
        contradictions: how often a step was repeated with another result.
        is_legible: False if a line with arithmetic could not be read.
        answer: the content of the last box, None without a box.
    """

    steps: tuple[Step, ...]
    contradictions: int
    is_legible: bool
    answer: str | None


@dataclass(frozen=True)
class Followed:
    """The strategy of a working, and how many of its results are wrong."""

    strategy: str
    slips: int


def read_working(completion: str) -> Working:
    r"""Read the steps of a completion.

    >>> read_working("\nfirst take 3 from 20 = 17. okay; so 17 times 2 is 34\n\\boxed{34}").steps
    (Step(left=20, op='-', right=3, result=17), Step(left=17, op='*', right=2, result=34))
    """
    boxes = list(_BOX.finditer(completion))
    working = completion[: boxes[-1].start()] if boxes else completion
    steps: dict[tuple[str, int, int], Step] = {}
    contradictions = 0
    is_legible = True
    for clause in _CLAUSE_END.split(working):
        operations = _operations(clause)
        numbers = [int(number) for number in _NUMBER.findall(clause)]
        if not operations and len(numbers) < 2:
            continue
        if len(operations) != 1 or len(numbers) != 3:
            is_legible = False
            continue
        left, right, result = numbers
        if _SECOND_COMES_FIRST.search(clause):
            left, right = right, left
        step = Step(left, operations[0], right, result)
        first = steps.setdefault(step.operands, step)
        contradictions += first.result != step.result
    return Working(tuple(steps.values()), contradictions, is_legible, boxes[-1].group(1).strip() if boxes else None)


def _operations(clause: str) -> list[str]:
    named = [op for op, words in _OPERATIONS.items() if words.search(clause)]
    return named or [op for op, pattern in _VERB_LEFT_OUT.items() if pattern.search(clause)]


def followed(completion: str, row: Mapping[str, Any]) -> Followed | None:
    """The strategy that the working follows, or None.

    Every step is compared with the strategy's next step after the written results, right or wrong. If several
    strategies have the same steps, as on many easy problems, the first of `STRATEGIES` is returned.
    """
    working = read_working(completion)
    problem = Expression.from_prompt(row["prompt"])
    if not working.is_legible or not working.steps:
        return None
    slips = working.contradictions + sum(not step.is_true for step in working.steps)
    for name in STRATEGIES:
        if any(_takes(working.steps, plan.steps(problem.terms, _stated(working))) for plan in plans(name, problem.ops)):
            if working.answer is None and _may_be_unfinished(working, problem):
                return None
            return Followed(name, slips)
    return None


def strategy(completion: str, row: Mapping[str, Any]) -> str:
    r"""The name of the strategy that the working follows, on the problem in the row's `prompt`.

    One of `STRATEGIES`; "arithmetic slip" if the steps are a strategy's but a result is wrong; else "other". The final
    box is ignored.

    >>> strategy("7 + 3 = 10, 10 * 4 is 40; 40 - 2 = 38. \\boxed{17}", {"prompt": "what is 7 + 3 * 4 - 2?"})
    'left_to_right'
    >>> strategy("3 * 4 = 13, 7 + 13 is 20; 20 - 2 = 18. \\boxed{18}", {"prompt": "what is 7 + 3 * 4 - 2?"})
    'arithmetic slip'
    """
    found = followed(completion, row)
    if found is None:
        return OTHER
    return SLIP if found.slips else found.strategy


def grade(completion: str, row: Mapping[str, Any]) -> bool:
    r"""Whether the last box of the completion contains exactly the row's `answer`.

    >>> grade("\\boxed{17} no, \\boxed{16}", {"answer": "17"})
    False
    """
    boxes = _BOX.findall(completion)
    return bool(boxes) and boxes[-1].strip() == str(row["answer"])


def is_exact_trace(completion: str, row: Mapping[str, Any]) -> bool:
    """Whether the answer is right and the working follows the right strategy, without a slip."""
    return grade(completion, row) and strategy(completion, row) == CORRECT


def _stated(working: Working) -> tuple[int, ...]:
    return tuple(step.result for step in working.steps)


def _takes(steps: Sequence[Step], expected: Sequence[Step]) -> bool:
    return [step.operands for step in steps] == [step.operands for step in expected]


def _may_be_unfinished(working: Working, problem: Expression) -> bool:
    """Whether the steps are also the beginning of a longer working; without an answer it is ambiguous."""
    n = len(working.steps)
    workings = (plan.steps(problem.terms, _stated(working)) for name in STRATEGIES for plan in plans(name, problem.ops))
    return any(n < len(steps) and _takes(working.steps, steps[:n]) for steps in workings)
