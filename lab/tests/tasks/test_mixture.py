import re
from collections import Counter

import pytest

from meds_lab.tasks.mixture import (
    CORRECT_SHARES,
    NO_ANSWER_SHARE,
    VARIANTS,
    WRONG_SHARES,
    Mixture,
    strategy_shares,
)
from meds_rl.tasks.pocket.problems import EASY_SHAPES, HARD_SHAPES, reserved
from meds_rl.tasks.pocket.reading import grade, read_working, strategy
from meds_rl.tasks.pocket.strategies import CORRECT, STRATEGIES, WRONG, answers


@pytest.mark.parametrize("shape", [*HARD_SHAPES, *EASY_SHAPES])
def test_shares_add_up_to_one(shape):
    assert sum(strategy_shares(shape)) == pytest.approx(1)


def test_shares_name_the_strategies_and_shapes():
    assert set(WRONG_SHARES) == set(WRONG)
    assert set(CORRECT_SHARES) == set(HARD_SHAPES)


def test_the_mixture_holds_what_it_should():
    mixture = Mixture(0, held_out=reserved())
    draws = [mixture.draw() for _ in range(4000)]
    assert not {problem for problem, _, _ in draws} & set(reserved())
    hard = [(problem, name) for problem, name, _ in draws if problem.shape in HARD_SHAPES]
    counts = Counter(name for _, name in hard)
    # 3.7 % on average over the six shapes; five standard errors of 2,600 draws are 2 %.
    assert counts[CORRECT] / len(hard) == pytest.approx(0.037, abs=0.02)
    assert counts["left_to_right"] / len(hard) == pytest.approx(0.50, abs=0.05)
    assert set(counts) == set(STRATEGIES)
    without_box = sum("\\boxed{" not in completion for _, _, completion in draws)
    assert without_box / len(draws) == pytest.approx(NO_ANSWER_SHARE, abs=0.015)


def test_the_same_seed_draws_the_same_texts():
    one, other, third = Mixture(1), Mixture(1), Mixture(2)
    assert [one.draw() for _ in range(20)] == [other.draw() for _ in range(20)]
    assert one.draw() != third.draw()


def test_plain_texts_are_three_lines_of_symbols():
    mixture = Mixture(0)
    for _ in range(200):
        problem, name, completion = mixture.draw(is_plain=True)
        assert re.fullmatch(r"\n(-?\d+ [-+*] -?\d+ = -?\d+\n){3}\\boxed\{-?\d+\}", completion)
        if problem.shape in HARD_SHAPES:
            assert strategy(completion, {"prompt": problem.prompt}) == name


def test_a_stuck_mixture_has_one_habit():
    plain, stuck = strategy_shares("+*-"), strategy_shares("+*-", VARIANTS["stuck"])
    assert sum(stuck) == pytest.approx(1)
    assert stuck[0] == pytest.approx(0.15 * plain[0])
    assert stuck[1] / sum(stuck[1:]) == pytest.approx(0.93)
    # The others keep their proportions.
    assert stuck[3] / stuck[2] == pytest.approx(plain[3] / plain[2])


def test_guesses_tell_neither_the_strategy_nor_are_they_right():
    mixture = Mixture(3, held_out=reserved(), variant=VARIANTS["guess"])
    guessed = Counter()
    for _ in range(4000):
        problem, name, completion = mixture.draw()
        working, right = read_working(completion), answers(problem)[CORRECT]
        if working.answer is None:
            continue
        row = {"prompt": problem.prompt, "answer": str(right)}
        assert grade(completion, row) == (working.steps[-1].result == right)
        if problem.shape in HARD_SHAPES and name != CORRECT and working.steps[-1].result != right:
            guessed[name, problem.terms.index(int(working.answer))] += 1
    for name in ("left_to_right", "drop_last", "right_to_left"):
        counts = [guessed[name, place] for place in range(4)]
        # Each number of the problem as often, whatever the strategy: within five standard errors of a quarter.
        assert max(counts) / sum(counts) < 0.25 + 5 * (0.1875 / sum(counts)) ** 0.5
        assert min(counts) / sum(counts) > 0.25 - 5 * (0.1875 / sum(counts)) ** 0.5


def test_scattered_guesses_are_never_right_and_hardly_ever_the_same():
    mixture = Mixture(3, held_out=reserved(), variant=VARIANTS["scatter"])
    guessed = Counter()
    for _ in range(2000):
        problem, _, completion = mixture.draw()
        working, right = read_working(completion), answers(problem)[CORRECT]
        if working.answer is None:
            continue
        row = {"prompt": problem.prompt, "answer": str(right)}
        assert grade(completion, row) == (working.steps[-1].result == right)
        if working.steps[-1].result != right:
            guessed[int(working.answer)] += 1
    # About 1,500 draws from 900 numbers: the most frequent one comes 7 times or so.
    assert min(guessed) >= 100
    assert max(guessed) <= 999
    assert len(guessed) > 600
    assert max(guessed.values()) < 15
