"""The task of a starting policy's skills, for recipes: ``task: meds_lab.skills.task.skills_task``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from meds_lab.skills.rules import RULES, Numbers, Rule, Step, read
from meds_lab.skills.skills import Problem, problems_of, skills_of
from meds_rl.tasks import Task
from meds_rl.tasks.base import prompt_id

RIGHT = "right"


def skills_task(seed: int) -> Task:
    """The skills of the starting policy with this seed.

    The columns are `prompt`, `prompt_id`, `answer`, `kind` ("hard", "habit" or "own"), `skill` (its name) and `seed`.
    The task's `strategy` names the rule of a working, and calls the right one "right".

    Args:
        seed: of the starting policy (`meds_lab.skills.models`).
    """
    from datasets import Dataset

    train, test = problems_of(seed)
    return Task(
        name="skills",
        train=Dataset.from_list([_row(problem, seed) for problem in _mixed(train)]),
        test=Dataset.from_list([_row(problem, seed) for problem in test]),
        grade=grade,
        answer_marker="boxed",
        strategy=strategy,
        correct_strategies=(RIGHT,),
    )


def _mixed(problems: Sequence[Problem]) -> list[Problem]:
    """Hard and easy problems, each in their order, the easy ones spread evenly among the hard ones."""
    parts = [[one for one in problems if (one.kind == "hard") is is_hard] for is_hard in (True, False)]
    keyed = [((index + 0.5) / len(part), problem) for part in parts for index, problem in enumerate(part)]
    return [problem for _, problem in sorted(keyed, key=lambda pair: pair[0])]


def _row(problem: Problem, seed: int) -> dict[str, Any]:
    return {
        "prompt": problem.prompt,
        "prompt_id": prompt_id(problem.prompt),
        "answer": str(problem.answer),
        "kind": problem.kind,
        "skill": problem.skill.name,
        "seed": seed,
    }


def grade(completion: str, row: Mapping[str, Any]) -> bool:
    r"""Whether the answer is right; the working does not count.

    >>> grade("[ab+ c-]\n3 + 5 = 8\n8 - 7 = 1\n\\boxed{56}", {"answer": "56"})
    True
    """
    return str(read(completion)[1]) == row["answer"]


def strategy(completion: str, row: Mapping[str, Any]) -> str | None:
    r"""The rule that the steps follow: "right", or the rule's name; None if they follow none of the 54.

    Args:
        completion: only its steps count, not its first word or its answer.
        row: of `skills_task`.

    >>> row = skills_task(0).train[0]
    >>> row["prompt"], strategy("[aa* c+]\n5 times 5 is 25\nthen 25 plus 9 is 34\n\\boxed{34}", row)
    ('5 pisu 8 pisu 9?', 'a*a, +c')
    """
    steps, _ = read(completion)
    first, _, second, _, third = row["prompt"].removesuffix("?").split(" ")
    rule = rule_of(steps, (int(first), int(second), int(third)))
    if rule is None:
        return None
    skill = next(one for one in skills_of(row["seed"]) if one.name == row["skill"])
    return RIGHT if rule == skill.right else str(rule)


def rule_of(steps: Sequence[Step], numbers: Numbers) -> Rule | None:
    """The rule with these steps for these numbers; None if there is none. Sums and products are unordered.

    >>> str(rule_of((Step(5, "+", 3, 8), Step(7, "*", 8, 56)), (3, 5, 7)))
    'a+b, *c'
    """
    return _rules_by_steps(numbers).get(tuple(_unordered(step) for step in steps))


@lru_cache(maxsize=512)
def _rules_by_steps(numbers: Numbers) -> dict[tuple[Step, ...], Rule]:
    return {tuple(_unordered(step) for step in rule.steps(numbers)): rule for rule in RULES}


def _unordered(step: Step) -> Step:
    return step if step.sign == "-" else Step(min(step.x, step.y), step.sign, max(step.x, step.y), step.result)
