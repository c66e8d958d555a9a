"""The figures of problems and the shares of prompts by lambda, on numbers worked out by hand."""

from math import exp, log

import numpy as np
import pytest

from meds_lab.regime.figures import RIGHT, Sampled, beta_of, clopper_pearson, figures, lottery, sampled


def problem(*modes: int, nonsense: int = 0) -> Sampled:
    values = np.array(modes, dtype=np.int64)
    return Sampled("s", "p", {"steps": values, "answer": values}, np.arange(len(values)) < nonsense)


def row(completion: str, answer: str | None, is_correct: bool) -> dict[str, object]:
    return {
        "benchmark": "s",
        "problem_id": "p",
        "prompt": "what is 7 + 3 * 4?",
        "completion": completion,
        "answer": answer,
        "is_correct": is_correct,
    }


def test_figures_by_hand():
    # 10 completions: 1 right, 5 of one error, 2 of another, 2 that occur once.
    found = figures(problem(RIGHT, 0, 0, 0, 0, 0, 1, 1, 2, 3, nonsense=3), "steps")
    assert found.eps == 0.1
    assert found.habit == 0.5
    entropy = -(5 / 9 * log(5 / 9) + 2 / 9 * log(2 / 9) + 2 * (1 / 9 * log(1 / 9)))
    assert found.modes == pytest.approx(exp(entropy))
    assert found.unseen == pytest.approx(2 / 9)
    assert found.nonsense == 0.3
    assert found.lam == pytest.approx(9.6)  # .1 of 12 visits of 8


def test_a_problem_without_errors_has_no_live_mode():
    found = figures(problem(RIGHT, RIGHT), "answer")
    assert (found.eps, found.habit, found.modes, found.unseen) == (1, 0, 0, 0)


def test_errors_are_named_by_steps_or_by_answers():
    found = sampled(
        [
            row("7 + 3 = 10, 10 * 4 = 40. \\boxed{40}", "40", False),
            row("3 plus 7 is 10; 4 times 10 makes 40. \\boxed{ 40}", " 40", False),  # the same steps
            row("7 * 4 = 28, 28 + 12 = 40. \\boxed{40}", "40", False),  # the same answer by other steps
            row("\\boxed{41}", "41", False),  # no steps: counted by its answer
            row("I do not know", None, False),  # neither
            row("", None, False),  # neither: the same error
            row("3 * 4 = 12, 7 + 12 = 19. \\boxed{19}", "19", True),
        ]
    )
    assert len(found) == 1
    assert found[0].modes["steps"].tolist() == [0, 0, 1, 2, 3, 3, RIGHT]
    assert found[0].modes["answer"].tolist() == [0, 0, 0, 1, 2, 2, RIGHT]
    assert found[0].is_nonsense.tolist() == [False, False, False, True, True, True, False]
    assert found[0].is_correct.tolist() == [False] * 6 + [True]


def test_lambda_from_one_and_two_of_64_is_undecided():
    # Lambda is 1.5 for each right one of 64: 0, 1.5, 3, 4.5, 96.
    found = lottery([0, 1, 2, 3, 64], [64] * 5)
    assert found.undecided == pytest.approx(2 / 5)
    assert found.none_right == pytest.approx(1 / 5)
    assert found.rule_of_three == 3 / 64
    # (1 - p)^64 = .025
    assert found.upper == pytest.approx(1 - 0.025 ** (1 / 64))


def test_the_exact_interval():
    low, high = clopper_pearson(64, 64)
    assert high == 1
    assert low == pytest.approx(0.025 ** (1 / 64))


def test_the_fitted_share_of_evenly_spread_prompts():
    # Every count once is what a beta(1, 1) expects exactly, so it has the largest likelihood: eps is uniform, and
    # lambda = 96 eps is in .3 to 3 with the probability 2.7 / 96.
    right, sizes = np.arange(33), np.full(33, 32)
    assert beta_of(right, sizes) == pytest.approx((1, 1), abs=0.01)
    assert lottery(right.tolist(), sizes.tolist()).fitted == pytest.approx(2.7 / 96, abs=0.001)


def test_the_fit_holds_where_nothing_is_right():
    found = lottery([0, 0, 0], [64, 64, 64])
    assert found.undecided == 0
    assert found.none_right == 1
    assert 0 <= found.fitted < 0.1
