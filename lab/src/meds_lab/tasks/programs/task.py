r"""The task: find the program behind pairs of lists. Tests grade it, most of them hidden, and report the outcome.

The first list is the same in all prompts, so that a tiny model learns in minutes what a program does to it.

>>> problem = problems("hard")[0]
>>> print(problem.prompt.strip())
9405 -> 609
3097 -> 293
>>> print(problem.answer)
x.drop()
x.left()
x.add(2)
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from meds_lab.tasks.programs.bugs import BUGS, RIGHT, bug, forms
from meds_lab.tasks.programs.language import ARITHMETIC, LIST_OPERATIONS, Digits, Operation, Program, read, run
from meds_rl.tasks import Task, Verdict, prompt_id

if TYPE_CHECKING:
    from datasets import Dataset

NUMBERS = range(2, 5)
NUM_DIGITS = 4
SHOWN, HIDDEN = 2, 4
FIRST: Digits = (9, 4, 0, 5)
"""What a program makes of this list identifies 213 of the 216 right programs; no other list does better."""
RESERVED = 192
"""Problems of each kind for training and test. The warm-up never shows them."""


@dataclass(frozen=True)
class Problem:
    """A right program and the lists of its tests; the first `SHOWN` are in the prompt."""

    program: Program
    inputs: tuple[Digits, ...]

    @property
    def prompt(self) -> str:
        """The pairs that are shown, one a line."""
        pairs = ((given, run(self.program, given)) for given in self.inputs[:SHOWN])
        return "".join(f"{_joined(given)} -> {_joined(made)}\n" for given, made in pairs)

    @property
    def answer(self) -> str:
        """The right program."""
        return "\n".join(f"x.{one}" for one in self.program)

    def row(self, kind: str) -> dict[str, Any]:
        """A row of the data set."""
        tests = [(_joined(given), _joined(run(self.program, given))) for given in self.inputs]
        return {
            "prompt": self.prompt,
            "prompt_id": prompt_id(self.prompt),
            "answer": self.answer,
            "tests": json.dumps(tests),
            "difficulty": kind,
        }


def _joined(digits: Digits) -> str:
    return "".join(map(str, digits))


def grade(completion: str, row: Mapping[str, Any]) -> Verdict:
    """Run the tests of the row. The outcome has one item a test: "ok", what came out, "wrong" or the kind of exception.

    >>> row = {"tests": '[["1234", "4321"], ["1231", "1321"]]'}
    >>> grade("```python\\nx.rev()\\nx.add(1)\\n```", row)
    Verdict(is_correct=False, outcome=('got 5321', 'wrong'))
    >>> grade("```python\\nx.turn()\\n```", row).outcome
    ('NameError', 'NameError')
    """
    tests = json.loads(row["tests"])
    try:
        program = read(completion)
    except LookupError:
        return Verdict(False)
    except (SyntaxError, NameError, OverflowError) as error:
        return Verdict(False, (type(error).__name__,) * len(tests))
    outcome: list[str] = []
    for given, wanted in tests:
        outcome.append(_outcome(program, given, wanted, is_first=not any(one.startswith("got") for one in outcome)))
    return Verdict(all(one == "ok" for one in outcome), tuple(outcome))


def _outcome(program: Program, given: str, wanted: str, *, is_first: bool) -> str:
    try:
        made = _joined(run(program, [int(digit) for digit in given]))
    except IndexError:
        return "IndexError"
    if made == wanted:
        return "ok"
    return f"got {made}" if is_first else "wrong"


# ---- The problems.


@cache
def programs(length: int) -> tuple[Program, ...]:
    """The right programs of a length: with one number, no list operation twice, and an effect of their own.

    No program of this length or shorter has the same effect, and neither has any form of a bug.
    """
    effects = Counter(_effect(one) for size in range(1, length + 1) for one in _all_programs(size))
    return tuple(
        one
        for one in _all_programs(length)
        if effects[_effect(one)] == 1
        and all(_effect(form) != _effect(one) for name in BUGS for form in forms(name, one))
    )


def _all_programs(size: int) -> Iterator[Program]:
    numbers = [Operation(name, k) for name in ARITHMETIC for k in NUMBERS]
    for others in itertools.permutations([Operation(name) for name in LIST_OPERATIONS], size - 1):
        for at, number in itertools.product(range(size), numbers):
            yield (*others[:at], number, *others[at:])


def _effect(program: Program) -> tuple[Digits, ...]:
    """What a program makes of three lists. Programs with the same effect do the same to any four digits."""
    return tuple(run(program, digits) for digits in ((0, 2, 4, 7), (1, 3, 8, 5), (6, 9, 2, 0)))


LENGTHS = {"hard": 3, "easy": 2}


def draw(rng: random.Random, kind: str) -> Problem:
    """A problem of a kind, "hard" (three operations) or "easy" (two)."""
    others = (tuple(rng.sample(range(10), NUM_DIGITS)) for _ in range(SHOWN + HIDDEN - 1))
    return Problem(rng.choice(programs(LENGTHS[kind])), (FIRST, *others))


@cache
def problems(kind: str) -> tuple[Problem, ...]:
    """The reserved problems of a kind, in a fixed order."""
    rng = random.Random(f"reserved {kind}")
    found: dict[str, Problem] = {}
    while len(found) < RESERVED:
        problem = draw(rng, kind)
        found.setdefault(problem.prompt, problem)
    return tuple(found.values())


def programs_task(train_hard: int = 96, train_easy: int = 32, test_hard: int = 64, test_easy: int = 32) -> Task:
    """Problems of both kinds, the same ones for the same arguments.

    Raises:
        ValueError: training and test need more than `RESERVED` problems of a kind, or a size is below 0.
    """
    sizes = {"hard": (train_hard, test_hard), "easy": (train_easy, test_easy)}
    for kind, (train, test) in sizes.items():
        if min(train, test) < 0 or train + test > RESERVED:
            raise ValueError(f"train_{kind} + test_{kind} must lie in 0 to {RESERVED}, got {train} + {test}")
    train_rows = [one.row(kind) for kind, (size, _) in sizes.items() for one in problems(kind)[:size]]
    test_rows = [one.row(kind) for kind, (_, size) in sizes.items() for one in problems(kind)[RESERVED - size :]]
    return Task(
        name="programs",
        train=_dataset(train_rows),
        test=_dataset(test_rows) if test_rows else None,
        grade=grade,
        answer_marker="code",
        strategy=bug,
        correct_strategies=(RIGHT,),
    )


def _dataset(rows: list[dict[str, Any]]) -> Dataset:
    from datasets import Dataset

    # By hash, so that every batch has both kinds.
    return Dataset.from_list(sorted(rows, key=lambda row: hashlib.sha256(row["prompt"].encode()).digest()))
