"""The skills of a starting policy, and their problems. The seed determines both.

A skill is an invented operator, such as "pisu", with one right rule. A starting policy follows the right rule of a
*hard* skill in .003 of its completions. Training samples a skill 320 times, so lambda is 320 x .003, about one.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from functools import lru_cache

from meds_lab.skills.rules import RULES, Numbers, Rule

RIGHT_SHARE = 0.003
"""The right rule's share of the completions of a hard skill."""

SAMPLES = 320
"""Completions of a hard skill in training: 2 problems, 20 visits, groups of 8."""

HABITS = {6: 0.84, 30: 0.3}
"""Number of rare wrong rules -> share of the habit."""

ZIPF = {6: 0.0, 30: 1.0}
"""Number of rare wrong rules -> s: the share of the nth rare rule is proportional to n ** -s."""

NUM_EACH, NUM_OWN = 6, 8
"""Number of hard skills of each kind (6 or 30 rare rules, answers that tell or not), and of easy skills."""

TRAINED, HELD_OUT = 2, 2
"""Problems of kind "hard" of each hard skill."""

OWN_SHARE = 0.8
"""Share of the right rule in an easy skill. Six wrong rules share the rest equally."""

ALL_NUMBERS: list[Numbers] = list(itertools.permutations(range(2, 10), 3))
"""All 336 triples of different numbers that a problem can have."""

_SYLLABLES = [x + y for x in "bdfgklmnprstvz" for y in ("a", "i", "o", "u")]
FREE_ANSWERS = range(200, 300)
"""Answers of wrong workings where answers do not tell: drawn uniformly, never right."""


@dataclass(frozen=True)
class Skill:
    """An operator, its rule, and the rules that a starting policy follows.

    Attributes:
        name: the operator's word.
        right: its rule.
        others: the wrong rules; the first one of a hard skill is its habit.
        shares: of `right` and `others` in the starting policy, sum 1.
        tells: whether a wrong working ends in its rule's result. If not, it ends in one of `FREE_ANSWERS`.
        is_hard: whether the right rule is rare.
    """

    name: str
    right: Rule
    others: tuple[Rule, ...]
    shares: tuple[float, ...]
    tells: bool
    is_hard: bool

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The right rule, then the others."""
        return (self.right, *self.others)

    @property
    def habit(self) -> Rule:
        """The most frequent rule."""
        return self.others[0] if self.is_hard else self.right

    def prompt(self, numbers: Numbers) -> str:
        """The problem with these numbers.

        >>> skills_of(0)[0].prompt((3, 5, 7))
        '3 pisu 5 pisu 7?'
        """
        return f" {self.name} ".join(map(str, numbers)) + "?"


@dataclass(frozen=True)
class Problem:
    """A skill and three numbers.

    Attributes:
        kind: "hard": only the right rule gives the right answer, and no rare rule gives the habit's; "habit": a hard
            skill's problem on which the habit gives the right answer, too; "own": of an easy skill, whose right rule
            is the most frequent one.
    """

    skill: Skill
    numbers: Numbers
    kind: str

    @property
    def prompt(self) -> str:
        """Its text."""
        return self.skill.prompt(self.numbers)

    @property
    def answer(self) -> int:
        """The right answer."""
        return self.skill.right.result(self.numbers)


@lru_cache(maxsize=32)
def skills_of(seed: int) -> tuple[Skill, ...]:
    """24 hard skills, the four kinds in turn, then 8 easy ones.

    A hard skill has at least four problems of kind "hard" and, if its answers tell, at least one of kind "habit".
    """
    rng = random.Random(f"skills {seed}")
    words = iter(rng.sample([x + y for x in _SYLLABLES for y in _SYLLABLES if x[0] != y[0]], 4 * NUM_EACH + NUM_OWN))
    kinds = [(num_rare, tells) for _ in range(NUM_EACH) for num_rare in HABITS for tells in (True, False)]
    hard = [_hard(rng, next(words), *kind) for kind in kinds]
    return (*hard, *(_own(rng, next(words)) for _ in range(NUM_OWN)))


def _hard(rng: random.Random, name: str, num_rare: int, tells: bool) -> Skill:
    habit_share = HABITS[num_rare]
    weights = [number ** -ZIPF[num_rare] for number in range(1, num_rare + 1)]
    rare = [(1 - RIGHT_SHARE - habit_share) * weight / sum(weights) for weight in weights]
    while True:
        right, *others = rng.sample(RULES, num_rare + 2)
        skill = Skill(name, right, tuple(others), (RIGHT_SHARE, habit_share, *rare), tells, True)
        kinds = [kind_of(skill, numbers) for numbers in ALL_NUMBERS]
        if kinds.count("hard") >= TRAINED + HELD_OUT and (not tells or "habit" in kinds):
            return skill


def _own(rng: random.Random, name: str) -> Skill:
    while True:
        right, *others = rng.sample(RULES, 7)
        skill = Skill(name, right, tuple(others), (OWN_SHARE, *[(1 - OWN_SHARE) / 6] * 6), True, False)
        if sum(kind_of(skill, numbers) == "own" for numbers in ALL_NUMBERS) >= 2:
            return skill


def kind_of(skill: Skill, numbers: Numbers) -> str | None:
    """The kind of a problem; None if it is not used: a wrong rule gives the right answer or the habit's by chance."""
    right, habit, *rare = (_results(rule)[numbers] for rule in skill.rules)
    if right in rare:
        return None
    if not skill.is_hard:
        return "own" if right != habit else None
    if right == habit:
        return "habit" if skill.tells else None
    return "hard" if habit not in rare else None


@lru_cache
def _results(rule: Rule) -> dict[Numbers, int]:
    return {numbers: rule.result(numbers) for numbers in ALL_NUMBERS}


@lru_cache(maxsize=32)
def problems_of(seed: int) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """The 56 problems to train on and the 68 held-out ones.

    Both have 48 of kind "hard" and 8 of kind "own". The held-out ones also have one of kind "habit" for each of the 12
    hard skills whose answers tell. Training has none of this kind: its reward would teach the habit.
    """
    rng = random.Random(f"problems {seed}")
    train: list[Problem] = []
    test: list[Problem] = []
    for skill in skills_of(seed):
        by_kind: dict[str | None, list[Problem]] = {}
        for numbers in rng.sample(ALL_NUMBERS, len(ALL_NUMBERS)):
            kind = kind_of(skill, numbers)
            by_kind.setdefault(kind, []).append(Problem(skill, numbers, str(kind)))
        train += by_kind.get("hard", [])[:TRAINED] + by_kind.get("own", [])[:1]
        test += by_kind.get("hard", [])[TRAINED : TRAINED + HELD_OUT] + by_kind.get("own", [])[1:2]
        test += by_kind.get("habit", [])[:1]
    return tuple(train), tuple(test)
