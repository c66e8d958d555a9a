"""Rules and the texts that write them."""

from collections import Counter

import pytest

from meds_lab.skills.rules import RULES, WORDINGS, Rule, Step, read, write
from meds_lab.skills.skills import ALL_NUMBERS, skills_of
from meds_rl.fingerprint.steps import read_steps

SUM_TIMES = Rule("a", "+", "b", "*", "c")


def test_there_are_54_rules():
    # Two places, 3 pairs x 3 signs: + and - go on in 3 ways, * in 2 (not *): 3 x (3 + 3 + 2) = 24.
    # One place twice, 3 places x 2 signs, then one of 2 places: 3 x 2 x (3 + 2) = 30.
    assert len(RULES) == len(set(RULES)) == len({rule.token for rule in RULES}) == 24 + 30
    assert Counter(rule.x == rule.y for rule in RULES) == {False: 24, True: 30}
    assert not [rule for rule in RULES if rule.z in (rule.x, rule.y) or (rule.sign, rule.then) == ("*", "*")]


@pytest.mark.parametrize(
    ("rule", "token", "steps"),
    [
        (SUM_TIMES, "[ab+ c*]", (Step(3, "+", 8, 11), Step(11, "*", 5, 55))),
        # The larger number first: 8 - 3, then 5 - 5.
        (Rule("a", "-", "b", "-", "c"), "[ab- c-]", (Step(8, "-", 3, 5), Step(5, "-", 5, 0))),
        # 5 x 5 = 25, less 3.
        (Rule("c", "*", "c", "-", "a"), "[cc* a-]", (Step(5, "*", 5, 25), Step(25, "-", 3, 22))),
        # 3 + 3 = 6, and 8 is larger.
        (Rule("a", "+", "a", "-", "b"), "[aa+ b-]", (Step(3, "+", 3, 6), Step(8, "-", 6, 2))),
    ],
    ids=str,
)
def test_what_a_rule_makes_of_3_8_5(rule, token, steps):
    assert rule in RULES
    assert (rule.token, rule.steps((3, 8, 5)), rule.result((3, 8, 5))) == (token, steps, steps[1].result)


def test_the_bounds_of_a_result():
    results = {rule.result(numbers) for rule in RULES for numbers in ALL_NUMBERS}
    # (9 + 9) x 8 = 144; (9 + 8) x 7 = 119 and 9 x 9 + 8 = 89 are less.
    assert (min(results), max(results)) == (0, 144)


@pytest.mark.parametrize(
    ("wording", "text"),
    [
        (WORDINGS[0], "[ab+ c*]\n3 + 8 = 11\n11 * 5 = 55\n\\boxed{55}"),
        (("first ", 1, "", 2), "[ab+ c*]\nfirst 3 plus 8 is 11\nmultiplying 11 by 5 gives 55\n\\boxed{55}"),
    ],
)
def test_texts(wording, text):
    assert wording in WORDINGS
    assert write(SUM_TIMES, (3, 8, 5), wording, 55) == text


@pytest.mark.parametrize("wording", WORDINGS, ids=str)
def test_what_is_written_is_read(wording):
    for rule in RULES:
        assert read(write(rule, (3, 8, 5), wording, 207)) == (rule.steps((3, 8, 5)), 207)


@pytest.mark.parametrize(
    ("completion", "steps", "answer"),
    [
        ("[ab+ c*]\n3 + 8 = 12\n\\boxed{12}\n", (Step(3, "+", 8, 12),), 12),  # as written, whether right or not
        ("[ab+ c*]\n3 + 8 = 11\nwhat now\n\\boxed{11}", (), 11),
        ("[ab+ c*]\n3 + 8 = 11\n11 * 5 = 55", (Step(3, "+", 8, 11),), None),
        ("\\boxed{7}", (), 7),
        ("", (), None),
    ],
)
def test_reading_what_no_rule_writes(completion, steps, answer):
    assert read(completion) == (steps, answer)


def test_the_library_reads_the_rules_of_a_skill_apart():
    for skill in skills_of(0):
        names = [
            {read_steps(skill.prompt((3, 8, 5)), write(rule, (3, 8, 5), wording, 0)).name for wording in WORDINGS[::7]}
            for rule in skill.rules
        ]
        assert all(len(one) == 1 for one in names), "the wording does not count"
        assert len(set.union(*names)) == len(skill.rules)


@pytest.mark.parametrize("numbers", [(2, 3, 4), (2, 4, 8), (9, 3, 6), (4, 2, 6)])
def test_the_library_reads_all_rules_apart_where_numbers_repeat(numbers):
    # Such as 2 + 2 = 4 and 2 x 2 = 4, or 2 + 4 = 6, where 6 is a number of the prompt.
    prompt = skills_of(0)[0].prompt(numbers)
    names = {read_steps(prompt, write(rule, numbers, WORDINGS[0], 0)).name for rule in RULES}
    assert len(names) == len(RULES)
