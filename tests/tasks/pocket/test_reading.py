import pytest

from meds_rl.tasks.pocket.expression import Expression, Step
from meds_rl.tasks.pocket.reading import grade, is_exact_trace, read_working, strategy

ROW = {"prompt": "what is 7 + 3 * 4 - 2?", "answer": "17"}


@pytest.mark.parametrize(
    ("completion", "name"),
    [
        ("3 * 4 = 12\n7 + 12 = 19\n19 - 2 = 17\n\\boxed{17}", "precedence"),
        (
            "first the product of 3 and 4 is 12. then take 2 from 12 = 10; 7 plus 10 gives 17 \\boxed{17}",
            "precedence",
        ),
        (
            "okay. 7 plus 3 is 10, multiply 10 by 4 = 40\nso subtracting 2 from 40 gives 38. \\boxed{38}",
            "left_to_right",
        ),
        ("4 minus 2 is 2; 2 times 3 makes 6; the sum of 6 and 7 is 13", "right_to_left"),
        ("the difference of 4 and 2 is 2. 3 + 7 = 10. 2 * 10 = 20. \\boxed{20}", "additions_first"),
        ("7 + 3 = 10\n10 * 4 = 40\n\\boxed{40}", "drop_last"),
        ("3 * 4 = 12; again 4 * 3 is 12; 12 - 2 = 10. \\boxed{10}", "drop_first"),
        ("7 - 3 = 4, 4 * 4 = 16, 16 - 2 = 14. \\boxed{14}", "misread_sign"),
        ("7 + 3 = 10, 10 + 4 = 14, 14 - 2 = 12. \\boxed{12}", "misread_times"),
        # The steps count, not the answer.
        ("7 + 3 = 10, 10 * 4 = 40, 40 - 2 = 38. \\boxed{17}", "left_to_right"),
        # A slip, carried on.
        ("3 * 4 = 13, 7 + 13 = 20, 20 - 2 = 18. \\boxed{18}", "arithmetic slip"),
        ("3 * 4 = 12, 7 + 12 = 19, 19 - 2 = 16. \\boxed{16}", "arithmetic slip"),
        # Said again with another result.
        ("3 * 4 = 12, 3 * 4 = 13, 7 + 12 = 19, 19 - 2 = 17. \\boxed{17}", "arithmetic slip"),
        # Nobody's steps.
        ("7 * 3 = 21, 21 + 4 = 25, 25 - 2 = 23. \\boxed{23}", "other"),
        ("\\boxed{17}", "other"),
        ("", "other"),
        ("hmm. let us see. \\boxed{17}", "other"),
        # A step too many, or one that cannot be read.
        ("3 * 4 = 12, 7 + 12 = 19, 19 - 2 = 17, 17 + 2 = 19. \\boxed{17}", "other"),
        ("3 * 4 + 7 = 19, 19 - 2 = 17. \\boxed{17}", "other"),
        ("3 * 4 = , 7 + 12 = 19, 19 - 2 = 17. \\boxed{17}", "other"),
        # The verb left out, as policies do that are trained for long. What stays unsure is not read.
        ("3 by 4 = 12\n7 and 12 is 19. then 19 - 2 = 17. \\boxed{17}", "precedence"),
        ("3 by 4 makes 13, 7 + 13 = 20, 20 - 2 = 18. \\boxed{18}", "arithmetic slip"),
        ("3 by 4 by 2 = 24. 7 + 24 = 31 \\boxed{31}", "other"),
        ("3 4 is 12, 7 + 12 = 19, 19 - 2 = 17. \\boxed{17}", "other"),
        ("2 from 19 is 17", "other"),
        # Without an answer, a beginning may be anybody's; a whole working is somebody's.
        ("7 + 3 = 10\n10 * 4 = 40", "other"),
        ("7 + 3 = 10\n10 * 4 = 40\n40 - 2 = 38", "left_to_right"),
    ],
)
def test_hand_written_workings(completion, name):
    assert strategy(completion, ROW) == name


def test_negative_numbers():
    steps = read_working("3 - 20 = -17. -17 - -3 is -14; take -3 from 5 = 8, -4 times 2 is -8").steps
    assert steps == (
        Step(3, "-", 20, -17),
        Step(-17, "-", -3, -14),
        Step(5, "-", -3, 8),
        Step(-4, "*", 2, -8),
    )


def test_what_stands_after_the_last_box_is_not_read():
    assert strategy("7 + 3 = 10\n10 * 4 = 40\n40 - 2 = 38 \\boxed{38} 3 * 4 = 12", ROW) == "left_to_right"


@pytest.mark.parametrize(
    ("completion", "is_right"),
    [
        ("\\boxed{17}", True),
        ("\\boxed{ 17 }", True),
        ("\\boxed{16} no: \\boxed{17}", True),
        ("\\boxed{17} no: \\boxed{16}", False),
        ("\\boxed{-17}", False),
        ("\\boxed{017}", False),
        ("\\boxed{}", False),
        ("\\boxed{17", False),
        ("17", False),
    ],
)
def test_grade(completion, is_right):
    assert grade(completion, ROW) is is_right


def test_a_right_answer_from_wrong_working_is_not_an_exact_trace():
    lucky = "7 + 3 = 10, 10 * 4 = 40, 40 - 2 = 38. \\boxed{17}"
    assert grade(lucky, ROW)
    assert not is_exact_trace(lucky, ROW)


def test_a_foreign_prompt_is_refused():
    with pytest.raises(ValueError, match="not a prompt of the pocket task"):
        strategy("1 + 1 = 2 \\boxed{2}", {"prompt": "1 + 1", "answer": "2"})


def test_expression_and_problem_agree():
    assert Expression.from_prompt(ROW["prompt"]).terms == (7, 3, 4, 2)
