"""The task `skills`, loaded as a recipe does."""

import pytest

from meds_lab.skills.rules import RULES, WORDINGS, Step, write
from meds_lab.skills.skills import ALL_NUMBERS, problems_of, skills_of
from meds_lab.skills.task import rule_of
from meds_rl.tasks import load_task
from meds_rl.tasks.grading import AccuracyReward


@pytest.fixture(scope="module")
def task():
    return load_task("meds_lab.skills.task.skills_task", seed=0)


def test_its_problems(task):
    train, test = problems_of(0)
    assert {one["prompt"] for one in task.train} == {one.prompt for one in train}
    assert [one["prompt"] for one in task.test] == [one.prompt for one in test]
    first = dict(task.train[0])
    assert len(first.pop("prompt_id")) == 16
    assert first == {"prompt": "5 pisu 8 pisu 9?", "answer": "31", "kind": "hard", "skill": "pisu", "seed": 0}
    # 8 easy ones among 48: place (n + .5) / 8 of the way, so after 3, 9, 15, ... hard ones.
    assert [index for index, kind in enumerate(task.train["kind"]) if kind == "own"] == list(range(3, 56, 7))


def test_answers_and_workings(task):
    row, skill = task.train[0], skills_of(0)[0]  # 5 pisu 8 pisu 9? is a*b, -c: 31
    right, habit = (write(rule, (5, 8, 9), WORDINGS[5], rule.result((5, 8, 9))) for rule in skill.rules[:2])
    guess = write(skill.habit, (5, 8, 9), WORDINGS[5], 31)
    assert [task.grade(text, row) for text in (right, habit, guess, "", "\\boxed{}")] == [
        True,
        False,
        True,
        False,
        False,
    ]
    assert [task.strategy(text, row) for text in (right, habit, guess)] == ["right", "a*a, +c", "a*a, +c"]
    assert task.correct_strategies == ("right",)


@pytest.mark.parametrize(
    ("working", "strategy"),
    [
        ("5 * 8 = 40\n40 - 9 = 31", "right"),
        ("8 times 5 is 40\n40 minus 9 is 31", "right"),  # in the other order
        ("5 * 8 = 41\n41 - 9 = 32", None),  # a slip
        ("5 * 8 = 40", None),
        ("5 * 8 = 40\n40 - 9 = 31\n31 - 9 = 22", None),
        ("5 * 7 = 35\n35 - 9 = 26", None),  # 7 is no number of the prompt
    ],
)
def test_which_rule_steps_follow(task, working, strategy):
    assert task.strategy(f"[ab+ c*]\n{working}\n\\boxed{{31}}", task.train[0]) == strategy


def test_steps_name_their_rule_with_any_numbers():
    for numbers in ALL_NUMBERS:
        assert [rule_of(rule.steps(numbers), numbers) for rule in RULES] == RULES
    assert rule_of((Step(5, "-", 8, 3), Step(3, "+", 9, 12)), (5, 8, 9)) is None, "the larger number comes first"


def test_the_reward_function_grades(task):
    row = task.train[0]
    reward = AccuracyReward(task)
    texts = [write(skills_of(0)[0].right, (5, 8, 9), WORDINGS[0], answer) for answer in (31, 30)]
    columns = {name: [row[name]] * 2 for name in row if name != "prompt"}
    assert reward(prompts=[row["prompt"]] * 2, completions=texts, **columns) == [1.0, 0.0]
