"""The figures that describe a pocket model: counted from its completions, however they were sampled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meds_rl.tasks.pocket.reading import followed, grade, read_working, strategy
from meds_rl.tasks.pocket.strategies import CORRECT


@dataclass
class Figures:
    """What a model does on some problems.

    Attributes:
        right: right completions of each problem.
        sampled: completions of each problem.
        strategies: how many completions follow which strategy (`strategy`'s names).
        boxed: completions with a filled box.
        steps: steps written by completions that follow a known strategy, slips included.
        slips: wrong results among those steps.
        lucky: right answers from a working that is not the right one.

    >>> figures = Figures()
    >>> figures.add({"prompt": "what is 7 + 3 * 4 - 2?", "answer": "17"}, ["no idea", "10 * 4 = 40 \\\\boxed{17}"])
    >>> figures.right, figures.boxed, figures.lucky, figures.strategies["other"]
    ([1], 1, 1, 2)
    """

    right: list[int] = field(default_factory=list)
    sampled: list[int] = field(default_factory=list)
    strategies: Counter[str] = field(default_factory=Counter)
    boxed: int = 0
    steps: int = 0
    slips: int = 0
    lucky: int = 0

    @property
    def completions(self) -> int:
        """All completions counted."""
        return sum(self.sampled)

    @property
    def no_answer_share(self) -> float:
        """Share of completions without a filled box."""
        return 1 - self.boxed / max(1, self.completions)

    @property
    def slip_rate(self) -> float:
        """Share of wrong results among single steps."""
        return self.slips / max(1, self.steps)

    @property
    def lucky_share(self) -> float:
        """Share of right answers whose working is not the right one."""
        return self.lucky / max(1, sum(self.right))

    def share(self, name: str) -> float:
        """Share of completions that follow a strategy."""
        return self.strategies[name] / max(1, self.completions)

    def add(self, row: Mapping[str, Any], completions: Sequence[str]) -> None:
        """Count the completions of one problem."""
        is_right = [grade(completion, row) for completion in completions]
        names = [strategy(completion, row) for completion in completions]
        self.right.append(sum(is_right))
        self.sampled.append(len(completions))
        self.strategies.update(names)
        self.lucky += sum(right and name != CORRECT for right, name in zip(is_right, names, strict=True))
        for completion in completions:
            working = read_working(completion)
            self.boxed += bool(working.answer)
            found = followed(completion, row)
            if found is not None:
                self.steps += len(working.steps)
                self.slips += found.slips
