"""The problems of an evaluation, from a task or a benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meds_rl.tasks.base import Task, load_task
from meds_rl.tasks.reasoning_gym import SCORED

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True, eq=False)
class ProblemSet:
    """A task's problems by split, under the name of a task or benchmark.

    Attributes:
        name: of the task or benchmark.
        task: grades.
        splits: "train" and "test" of a task, "test" of a benchmark.
    """

    name: str
    task: Task
    splits: Mapping[str, Dataset]


@dataclass(frozen=True, eq=False)
class Problem:
    """One problem.

    Attributes:
        source: where it comes from; its task grades.
        group: the split, followed by the value of the column the figures are split by, if there is one.
        row: what the grader reads.
    """

    source: ProblemSet
    group: str
    row: Mapping[str, Any]

    def columns(self) -> dict[str, Any]:
        """What the samples table says of a problem."""
        prompt, gold = self.row["prompt"], self.row["answer"]
        return {
            "benchmark": self.source.name,
            "group": self.group,
            "problem_id": self.row["prompt_id"],
            "prompt": prompt if isinstance(prompt, str) else json.dumps(prompt, ensure_ascii=False),
            "gold": None if gold == SCORED else str(gold),
        }


def task_problems(name: str, **options: Any) -> ProblemSet:
    """A task's training and test problems.

    Raises:
        ValueError, ImportError: as `meds_rl.tasks.load_task`.
    """
    return problems_of(load_task(name, **options))


def problems_of(task: Task) -> ProblemSet:
    """The training and test problems of a task that is loaded."""
    splits = {"train": task.train} if task.test is None else {"train": task.train, "test": task.test}
    return ProblemSet(task.name, task, splits)


def select(problems: ProblemSet, *, limit: int | None = None, by: str | None = None) -> list[Problem]:
    """The first problems of each split, all of them without a limit.

    Args:
        problems: where from.
        limit: how many of each split.
        by: a column whose value is added to the group.

    Raises:
        ValueError: a limit below 1, or no such column.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"problems must be at least 1; got {limit}.")
    chosen: list[Problem] = []
    for split, dataset in problems.splits.items():
        if by is not None and by not in dataset.column_names:
            raise ValueError(
                f"{problems.name} has no column {by!r} to split the figures by; it has: "
                f"{', '.join(dataset.column_names)}."
            )
        most = len(dataset) if limit is None else min(limit, len(dataset))
        chosen += [
            Problem(problems, split if by is None else f"{split} {row[by]}", dict(row))
            for row in dataset.select(range(most))
        ]
    return chosen
