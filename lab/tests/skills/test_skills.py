"""The skills of a starting policy and their problems."""

from collections import Counter

import pytest

from meds_lab.skills.rules import Rule
from meds_lab.skills.skills import ALL_NUMBERS, FREE_ANSWERS, Problem, Skill, kind_of, problems_of, skills_of

A_PLUS_B_TIMES_C, A_TIMES_B_PLUS_C = Rule("a", "+", "b", "*", "c"), Rule("a", "*", "b", "+", "c")
A_PLUS_A_PLUS_C = Rule("a", "+", "a", "+", "c")


def test_the_skills_of_seed_0_stay_the_same():
    first, *_, last = skills_of(0)
    assert (first.name, str(first.right), str(first.habit)) == ("pisu", "a*b, -c", "a*a, +c")
    assert [str(rule) for rule in first.others[1:]] == [
        "a+c, *b",
        "a+a, -c",
        "b+b, *a",
        "b-c, *a",
        "b*c, +a",
        "a+c, -b",
    ]
    assert (last.name, str(last.right), str(skills_of(100)[0].right)) == ("kuro", "a-b, *c", "b-c, *a")
    train, test = problems_of(0)
    assert [(one.prompt, one.answer, one.kind) for one in (*train[:3], *test[:3], test[-1])] == [
        ("5 pisu 8 pisu 9?", 31, "hard"),
        ("4 pisu 8 pisu 9?", 23, "hard"),
        ("4 zufo 3 zufo 8?", 1, "hard"),
        ("3 pisu 6 pisu 5?", 13, "hard"),
        ("7 pisu 8 pisu 2?", 54, "hard"),
        ("6 pisu 7 pisu 3?", 39, "habit"),
        ("4 kuro 8 kuro 3?", 12, "own"),
    ]


@pytest.mark.parametrize("seed", [0, 1, 100])
def test_24_hard_skills_and_8_easy_ones(seed):
    skills = skills_of(seed)
    kinds = Counter((one.is_hard, len(one.others), one.tells) for one in skills)
    # The habit and 6 or 30 rare rules; the easy ones have 6 rules beside the right one.
    assert kinds == {**{(True, num, tells): 6 for num in (7, 31) for tells in (True, False)}, (False, 6, True): 8}
    assert len({one.name for one in skills}) == 32
    assert all(len(set(one.rules)) == len(one.rules) == len(one.shares) for one in skills)
    assert [one.habit is one.right for one in skills] == [False] * 24 + [True] * 8


def test_shares_of_rules():
    skills = skills_of(0)
    assert [sum(one.shares) for one in skills] == pytest.approx([1.0] * 32)
    few, many, easy = skills[0].shares, skills[2].shares, skills[-1].shares
    # 1 - .003 - .84 = .157, a sixth of it is .02617.
    assert few == pytest.approx((0.003, 0.84, *[0.157 / 6] * 6))
    # .697 over 1 + 1/2 + ... + 1/30 = 3.99499: .17447, then half of it, then a third.
    assert many[:5] == pytest.approx((0.003, 0.3, 0.17447, 0.087234, 0.058156), rel=1e-4)
    assert easy == pytest.approx((0.8, *[0.2 / 6] * 6))


@pytest.mark.parametrize("seed", [0, 1, 100])
def test_problems(seed):
    train, test = problems_of(seed)
    # 24 hard skills x 2; 8 easy skills x 1; the 12 hard skills whose answers tell x 1.
    assert Counter(one.kind for one in train) == {"hard": 48, "own": 8}
    assert Counter(one.kind for one in test) == {"hard": 48, "own": 8, "habit": 12}
    assert all(one.skill.tells for one in test if one.kind == "habit")
    prompts = [one.prompt for one in (*train, *test)]
    assert len(set(prompts)) == len(prompts) == 124
    hard = Counter(one.skill.name for one in train if one.kind == "hard")
    assert sorted(hard.values()) == [2] * 24


@pytest.mark.parametrize("seed", [0, 1, 100])
def test_which_rules_give_the_right_answer(seed):
    for problem in (*problems_of(seed)[0], *problems_of(seed)[1]):
        skill = problem.skill
        solving = [rule for rule in skill.rules if rule.result(problem.numbers) == problem.answer]
        assert solving == ([skill.right, skill.habit] if problem.kind == "habit" else [skill.right])
        assert problem.answer not in FREE_ANSWERS


@pytest.mark.parametrize(
    ("numbers", "other", "kind"),
    [
        # Right (a + b) c, habit ab + c; the rare rule is a + a + c.
        ((3, 5, 7), A_PLUS_A_PLUS_C, "hard"),  # 56, 22, 13
        # (a + b) c = ab + c where 7 x 2 is 3 x 4 + 2.
        ((3, 4, 2), A_PLUS_A_PLUS_C, "habit"),  # 14, 14, 8
        ((5, 2, 3), A_PLUS_A_PLUS_C, None),  # 21, 13, 13: the rare rule gives the habit's answer
        ((2, 9, 3), Rule("b", "+", "a", "*", "c"), None),  # 33, 21, 33: a rare rule gives the right one
    ],
)
@pytest.mark.parametrize("tells", [True, False])
def test_kind_of_a_problem(numbers, other, kind, tells):
    skill = Skill("pisu", A_PLUS_B_TIMES_C, (A_TIMES_B_PLUS_C, other), (0.003, 0.84, 0.157), tells, True)
    # Where answers do not tell, the habit ends in a random number, never the right one.
    assert kind_of(skill, numbers) == (None if kind == "habit" and not tells else kind)


def test_an_easy_skill_has_problems_of_its_own_kind():
    skill = Skill("pisu", A_PLUS_B_TIMES_C, (A_TIMES_B_PLUS_C, A_PLUS_A_PLUS_C), (0.8, 0.1, 0.1), True, False)
    # 56, 22, 13; and 14, 14, 8.
    assert [kind_of(skill, numbers) for numbers in ((3, 5, 7), (3, 4, 2))] == ["own", None]


def test_numbers_are_different():
    assert len(ALL_NUMBERS) == 8 * 7 * 6
    assert all(len(set(numbers)) == 3 for numbers in ALL_NUMBERS)


def test_a_prompt():
    problem = Problem(skills_of(0)[0], (5, 8, 9), "hard")
    assert (problem.prompt, problem.answer) == ("5 pisu 8 pisu 9?", 5 * 8 - 9)
