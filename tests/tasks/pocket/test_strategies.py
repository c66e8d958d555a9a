import pytest

from meds_rl.tasks.pocket.expression import Expression, Step, apply
from meds_rl.tasks.pocket.strategies import CORRECT, STRATEGIES, WRONG, answers, plans


def test_answers_of_a_sum_around_a_product():
    # 7 + 3 * 4 - 2
    assert answers(Expression((7, 3, 4, 2), ("+", "*", "-"))) == {
        "precedence": 17,  # 7 + 12 - 2
        "left_to_right": 38,  # (7 + 3) * 4 - 2
        "right_to_left": 13,  # 7 + 3 * (4 - 2)
        "additions_first": 20,  # (7 + 3) * (4 - 2)
        "drop_last": 40,  # (7 + 3) * 4
        "drop_first": 10,  # 3 * 4 - 2
        "misread_sign": 14,  # (7 - 3) * 4 - 2
        "misread_times": 12,  # 7 + 3 + 4 - 2
    }


def test_answers_of_two_products():
    # 6 * 5 - 2 * 3
    assert answers(Expression((6, 5, 2, 3), ("*", "-", "*"))) == {
        "precedence": 24,  # 30 - 6
        "left_to_right": 84,  # (30 - 2) * 3
        "right_to_left": -6,  # 6 * (5 - 6)
        "additions_first": 54,  # 6 * (5 - 2) * 3
        "drop_last": 28,  # 30 - 2
        "drop_first": 9,  # (5 - 2) * 3
        "misread_sign": 96,  # (30 + 2) * 3
        "misread_times": 12,  # 6 + 5 - 2 + 3
    }


def test_precedence_leaves_the_order_of_products_free():
    workings = [plan.steps((6, 5, 2, 3)) for plan in plans(CORRECT, ("*", "-", "*"))]
    assert workings == [
        [Step(6, "*", 5, 30), Step(2, "*", 3, 6), Step(30, "-", 6, 24)],
        [Step(2, "*", 3, 6), Step(6, "*", 5, 30), Step(30, "-", 6, 24)],
    ]


def test_precedence_may_group_after_a_plus_but_not_after_a_minus():
    assert [plan.order for plan in plans(CORRECT, ("+", "*", "-"))] == [(1, 0, 2), (1, 2, 0)]
    assert [plan.order for plan in plans(CORRECT, ("-", "*", "-"))] == [(1, 0, 2)]


def test_additions_first_leaves_the_order_of_additions_free():
    assert [plan.order for plan in plans("additions_first", ("+", "*", "-"))] == [(0, 2, 1), (2, 0, 1)]


@pytest.mark.parametrize("name", STRATEGIES)
def test_all_orders_of_a_strategy_agree(name):
    for ops in (("+", "*", "-"), ("*", "-", "*"), ("*", "+", "+"), ("+", "-", "+")):
        assert len({plan.value((9, 4, 7, 3)) for plan in plans(name, ops)}) == 1


def test_steps_go_on_with_stated_results():
    # 7 + 3 written as 11: the working goes on with 11 * 4.
    plan = plans("left_to_right", ("+", "*", "-"))[0]
    assert plan.steps((7, 3, 4, 2), (11, 44)) == [
        Step(7, "+", 3, 11),
        Step(11, "*", 4, 44),
        Step(44, "-", 2, 42),
    ]


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown strategy 'guess'; allowed: precedence, left_to_right"):
        plans("guess", ("+", "*", "-"))
    with pytest.raises(ValueError, match="unknown operator '/'"):
        apply("/", 1, 2)
    with pytest.raises(ValueError, match="not a prompt of the pocket task"):
        Expression.from_prompt("2 + 2 = ?")


def test_there_are_one_right_and_seven_wrong_strategies():
    assert CORRECT not in WRONG
    assert len(set(STRATEGIES)) == 8
