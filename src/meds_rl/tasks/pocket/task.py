"""The pocket task: arithmetic with planted error strategies, so that every true strategy is known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from meds_rl.tasks.base import Task, prompt_id
from meds_rl.tasks.pocket.expression import Expression
from meds_rl.tasks.pocket.problems import RESERVED, difficulty, pool
from meds_rl.tasks.pocket.reading import grade, strategy
from meds_rl.tasks.pocket.strategies import CORRECT, WRONG, answers

if TYPE_CHECKING:
    from datasets import Dataset


def pocket_task(train_hard: int = 32, train_easy: int = 16, test_hard: int = 24, test_easy: int = 12) -> Task:
    """The task, with the same problems every time, none of which the model has seen.

    Args:
        train_hard: problems to train on where only precedence is right and the wrong strategies give at least five
            different answers.
        train_easy: problems to train on where working from left to right is right, too.
        test_hard: hard problems that are not in the training set.
        test_easy: easy problems that are not in the training set.

    The columns are `prompt` ("what is 7 + 3 * 4 - 2?"), `prompt_id`, `answer` ("17"), `difficulty` ("hard" or "easy")
    and `wrong_answers`, a JSON object with the answer of each wrong strategy. Hard and easy problems are mixed evenly.
    Without test problems, `test` is None. ValueError for a negative number, for no training problems, and for more
    problems than there are.
    """
    _check_sizes(train_hard, test_hard, "hard")
    _check_sizes(train_easy, test_easy, "easy")
    if train_hard + train_easy == 0:
        raise ValueError("train_hard and train_easy are both 0: nothing to train on")
    train = _interleave(pool("hard")[:train_hard], pool("easy")[:train_easy])
    # From the far end, so that a larger training set leaves the test set as it is.
    test = _interleave(pool("hard")[RESERVED - test_hard : RESERVED], pool("easy")[RESERVED - test_easy : RESERVED])
    return Task(
        name="pocket",
        train=_dataset(train),
        test=_dataset(test) if test else None,
        grade=grade,
        answer_marker="boxed",
        strategy=strategy,
        correct_strategies=(CORRECT,),
    )


def _check_sizes(n_train: int, n_test: int, kind: str) -> None:
    for name, size in (("train", n_train), ("test", n_test)):
        if size < 0:
            raise ValueError(f"{name}_{kind} must be at least 0, got {size}")
    if n_train + n_test > RESERVED:
        raise ValueError(
            f"train_{kind} + test_{kind} must be at most {RESERVED}, got {n_train} + {n_test}: "
            "the other problems were seen by the base models"
        )


def _interleave(hard: Sequence[Expression], easy: Sequence[Expression]) -> list[Expression]:
    """Spread the easy problems evenly among the hard ones, so that every batch has both."""
    keyed = [((index + 0.5) / len(rows), problem) for rows in (hard, easy) for index, problem in enumerate(rows)]
    return [problem for _, problem in sorted(keyed, key=lambda pair: pair[0])]


def _row(problem: Expression) -> dict[str, Any]:
    by_strategy = answers(problem)
    return {
        "prompt": problem.prompt,
        "prompt_id": prompt_id(problem.prompt),
        "answer": str(by_strategy[CORRECT]),
        "difficulty": difficulty(problem),
        "wrong_answers": json.dumps({name: str(by_strategy[name]) for name in WRONG}),
    }


def _dataset(problems: Sequence[Expression]) -> Dataset:
    try:
        from datasets import Dataset
    except ImportError as error:
        raise ImportError('the pocket task needs datasets: pip install "meds-rl[trl]"') from error
    return Dataset.from_list([_row(problem) for problem in problems])
