"""What the warm-up teaches: which strategies, how often, on which problems."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from meds_lab.tasks.wording import Wording, draw_wording, plain_wording, write
from meds_rl.tasks.pocket.expression import Expression, Step
from meds_rl.tasks.pocket.problems import EASY_SHAPES, HARD_SHAPES, problems
from meds_rl.tasks.pocket.strategies import CORRECT, STRATEGIES, answers, plans

HARD_SHARE = 0.65
NO_ANSWER_SHARE = 0.03

# How often each wrong strategy is followed, relative to the other wrong ones.
WRONG_SHARES: Mapping[str, float] = {
    "left_to_right": 0.52,
    "right_to_left": 0.13,
    "additions_first": 0.11,
    "drop_last": 0.08,
    "misread_sign": 0.07,
    "drop_first": 0.05,
    "misread_times": 0.04,
}
# How often the right one is followed. By shape, so that some hard problems are harder than others.
CORRECT_SHARES: Mapping[str, float] = {
    "+*+": 0.075,
    "+*-": 0.050,
    "-*+": 0.030,
    "-*-": 0.015,
    "*+*": 0.040,
    "*-*": 0.010,
}
_CORRECT_SHARE_ELSEWHERE = 0.05
_HABIT = "left_to_right"
# Three digits: no working of the task comes to more than two (`problems.LARGEST`).
GUESSED = range(100, 1000)


@dataclass(frozen=True)
class Variant:
    """What a mixture teaches besides the plain one's.

    Attributes:
        correct_scale: the right strategy's share, relative to `CORRECT_SHARES`.
        habit: the share of "left_to_right" among the wrong strategies; the others share the rest as they do in
            `WRONG_SHARES`. A policy that is stuck in one error: little is left for anything else.
        guesses: what a working that comes to a wrong result answers, instead of the result: "terms", any number of the
            problem; "numbers", any of `GUESSED`, of which none is ever right; each as likely. Then the same strategy
            gives different answers, and no answer tells a strategy: only the working does.
    """

    correct_scale: float = 1.0
    habit: float = WRONG_SHARES[_HABIT]
    guesses: Literal["terms", "numbers"] | None = None


VARIANTS: Mapping[str, Variant] = {
    "plain": Variant(),
    "stuck": Variant(correct_scale=0.15, habit=0.93),
    # More right ones, as the model learns from each that this working, and only this, ends with its result.
    "guess": Variant(correct_scale=0.4, habit=0.93, guesses="terms"),
    # The same, and hardly a wrong answer comes twice.
    "scatter": Variant(correct_scale=0.4, habit=0.93, guesses="numbers"),
}


class Mixture:
    """Draws warm-up texts: a problem, a strategy, an order it allows, and a wording that knows none of them.

    Args:
        seed: fixes every draw.
        held_out: problems that are never drawn: those that the task trains and tests on.
        variant: how often the right strategy is followed, and whether wrong results are answered with a guess.
    """

    def __init__(self, seed: int, held_out: Iterable[Expression] = (), variant: Variant = VARIANTS["plain"]) -> None:
        self._variant = variant
        self._choices = random.Random(f"choices {seed}")
        self._wordings = random.Random(f"wordings {seed}")
        without = frozenset(held_out)
        self._problems = {
            shape: [problem for problem in problems(shape) if problem not in without]
            for shape in (*HARD_SHAPES, *EASY_SHAPES)
        }

    def draw(self, *, is_plain: bool = False) -> tuple[Expression, str, str]:
        """Return a problem, the strategy followed, and a completion that follows it without a slip.

        Args:
            is_plain: word it as barely as possible, which is quicker to learn from.
        """
        rng = self._choices
        problem = rng.choice(self._problems[rng.choice(HARD_SHAPES if rng.random() < HARD_SHARE else EASY_SHAPES)])
        name = rng.choices(STRATEGIES, strategy_shares(problem.shape, self._variant))[0]
        steps = rng.choice(plans(name, problem.ops)).steps(problem.terms)
        wording = plain_wording(self._wordings) if is_plain else self.draw_wording()
        return problem, name, write(steps, wording, self._guess(problem, steps))

    def _guess(self, problem: Expression, steps: Sequence[Step]) -> int | None:
        """The number that is answered instead of the last result, if any."""
        if self._variant.guesses is None or steps[-1].result == answers(problem)[CORRECT]:
            return None
        return self._choices.choice(problem.terms if self._variant.guesses == "terms" else GUESSED)

    def draw_wording(self) -> Wording:
        """Return the next wording, from a generator of its own."""
        return draw_wording(self._wordings, NO_ANSWER_SHARE)


def strategy_shares(shape: str, variant: Variant = VARIANTS["plain"]) -> list[float]:
    """Return how often each of `STRATEGIES` is followed on problems of a shape; the shares add up to 1.

    >>> round(sum(strategy_shares("+*-")), 6), strategy_shares("+*-")[0]
    (1.0, 0.05)
    """
    correct = variant.correct_scale * CORRECT_SHARES.get(shape, _CORRECT_SHARE_ELSEWHERE)
    others = (1 - variant.habit) / (1 - WRONG_SHARES[_HABIT])
    wrong = {name: share * others for name, share in WRONG_SHARES.items()} | {_HABIT: variant.habit}
    return [correct if name == CORRECT else (1 - correct) * wrong[name] for name in STRATEGIES]
