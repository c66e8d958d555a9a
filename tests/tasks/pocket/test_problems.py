import itertools

import pytest

from meds_rl.tasks.pocket.expression import Expression
from meds_rl.tasks.pocket.problems import EASY_SHAPES, HARD_SHAPES, RESERVED, difficulty, pool, reserved
from meds_rl.tasks.pocket.strategies import CORRECT, STRATEGIES, WRONG, answers, plans


def _value_by_python(problem: Expression) -> int:
    """The right answer by an independent evaluator."""
    return int(eval(problem.prompt.removeprefix("what is ").removesuffix("?")))


def _left_to_right_by_python(problem: Expression) -> int:
    a, b, c, d = problem.terms
    p, q, r = problem.ops
    return int(eval(f"(({a}{p}{b}){q}{c}){r}{d}"))


@pytest.mark.parametrize("kind", ["hard", "easy"])
def test_right_answers_agree_with_python_and_have_two_digits(kind):
    for problem in pool(kind):
        right = answers(problem)[CORRECT]
        assert right == _value_by_python(problem)
        assert 10 <= abs(right) <= 99


def test_hard_means_that_only_precedence_is_right_and_five_wrong_answers_differ():
    assert len(pool("hard")) > 4000
    for problem in pool("hard"):
        by_strategy = answers(problem)
        wrong = [by_strategy[name] for name in WRONG]
        assert _value_by_python(problem) not in wrong
        assert len(set(wrong)) >= 5
        assert difficulty(problem) == "hard"


def test_easy_means_that_left_to_right_is_right():
    for problem in pool("easy"):
        assert _left_to_right_by_python(problem) == _value_by_python(problem)
        assert difficulty(problem) == "easy"


def test_different_errors_sometimes_give_the_same_answer():
    collide = [len({answers(problem)[name] for name in WRONG}) < len(WRONG) for problem in pool("hard")[:RESERVED]]
    assert 0.15 < sum(collide) / len(collide) < 0.6


def test_no_working_needs_more_than_two_digits():
    for problem in itertools.chain(pool("hard"), pool("easy")[::7]):
        for name in STRATEGIES:
            for plan in plans(name, problem.ops):
                assert all(abs(step.result) <= 99 for step in plan.steps(problem.terms))


def test_on_hard_problems_the_steps_tell_the_strategy():
    for problem in pool("hard"):
        whose: dict[tuple[tuple[str, int, int], ...], str] = {}
        for name in STRATEGIES:
            for plan in plans(name, problem.ops):
                steps = tuple(step.operands for step in plan.steps(problem.terms))
                assert len(set(steps)) == len(steps)  # else saying a step again would hide one
                assert whose.setdefault(steps, name) == name


def test_any_stretch_of_the_pool_holds_all_shapes():
    assert {problem.shape for problem in pool("hard")[: len(HARD_SHAPES)]} == set(HARD_SHAPES)
    assert {problem.shape for problem in pool("easy")[: len(EASY_SHAPES)]} == set(EASY_SHAPES)


def test_the_pool_has_no_doubles_and_its_order_is_fixed():
    for kind in ("hard", "easy"):
        assert len(set(pool(kind))) == len(pool(kind))
    assert [problem.prompt for problem in pool("hard")[:3]] == [
        "what is 7 + 5 * 4 + 3?",
        "what is 3 + 7 * 6 - 2?",
        "what is 7 - 4 * 5 + 3?",
    ]
    assert len(set(reserved())) == 2 * RESERVED


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="unknown kind of problem 'medium'; allowed: hard, easy"):
        pool("medium")
