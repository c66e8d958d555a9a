"""What the warm-up teaches: which strategies, how often, on which problems."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from meds_rl.tasks.pocket.expression import Expression
from meds_rl.tasks.pocket.problems import EASY_SHAPES, HARD_SHAPES, problems
from meds_rl.tasks.pocket.strategies import CORRECT, STRATEGIES, plans
from meds_rl.tasks.pocket.wording import Wording, draw_wording, plain_wording, write

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


class Mixture:
    """Draws warm-up texts: a problem, a strategy, an order it allows, and a wording that knows none of them.

    Args:
        seed: fixes every draw.
        held_out: problems that are never drawn: those that the task trains and tests on.
    """

    def __init__(self, seed: int, held_out: Iterable[Expression] = ()) -> None:
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
        problem = rng.choice(
            self._problems[rng.choice(HARD_SHAPES if rng.random() < HARD_SHARE else EASY_SHAPES)]
        )
        name = rng.choices(STRATEGIES, strategy_shares(problem.shape))[0]
        steps = rng.choice(plans(name, problem.ops)).steps(problem.terms)
        return problem, name, write(steps, plain_wording(self._wordings) if is_plain else self.draw_wording())

    def draw_wording(self) -> Wording:
        """Return the next wording, from a generator of its own."""
        return draw_wording(self._wordings, NO_ANSWER_SHARE)


def strategy_shares(shape: str) -> list[float]:
    """Return how often each of `STRATEGIES` is followed on problems of a shape; the shares add up to 1.

    >>> round(sum(strategy_shares("+*-")), 6), strategy_shares("+*-")[0]
    (1.0, 0.05)
    """
    correct = CORRECT_SHARES.get(shape, _CORRECT_SHARE_ELSEWHERE)
    return [correct if name == CORRECT else (1 - correct) * WRONG_SHARES[name] for name in STRATEGIES]
