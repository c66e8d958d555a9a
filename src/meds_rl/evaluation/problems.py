"""The problems of an evaluation, and the model: a name, a folder, or a run folder with its recipe."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meds_rl.rollouts import RunFolder, RunFolderError
from meds_rl.tasks.base import Task
from meds_rl.tasks.reasoning_gym import SCORED

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True, eq=False)
class ProblemSet:
    """The problems of a task or benchmark by split ("train", "test"); `task` grades them."""

    name: str
    task: Task
    splits: Mapping[str, Dataset]


@dataclass(frozen=True, eq=False)
class Problem:
    """One problem.

    Attributes:
        source: its task grades.
        group: the split, and the value of the column that metrics are grouped by, if there is one.
        row: for the grader.
    """

    source: ProblemSet
    group: str
    row: Mapping[str, Any]

    def columns(self) -> dict[str, Any]:
        """The problem's columns of the samples table."""
        prompt, gold = self.row["prompt"], self.row["answer"]
        return {
            "benchmark": self.source.name,
            "group": self.group,
            "problem_id": self.row["prompt_id"],
            "prompt": prompt if isinstance(prompt, str) else json.dumps(prompt, ensure_ascii=False),
            "gold": None if gold == SCORED else str(gold),
        }


def problems_of(task: Task) -> ProblemSet:
    """The training and test problems of a task."""
    splits = {"train": task.train} if task.test is None else {"train": task.train, "test": task.test}
    return ProblemSet(task.name, task, splits)


def select(problems: ProblemSet, *, limit: int | None = None, by: str | None = None) -> list[Problem]:
    """The first `limit` problems of each split, or all; the value of the column `by` is added to the group.

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


POCKET_MAX_NEW_TOKENS = 96
"""Enough for every completion of the pocket model."""


@dataclass(frozen=True)
class Subject:
    """A model and the defaults of its evaluation.

    Attributes:
        given: the user's name for it.
        location: what is loaded: a hub name, a folder, "pocket" or "smollm2".
        label: a short name, fit for a folder.
        recipe: fields of the run's recipe; empty for a model that is not a run's.
    """

    given: str
    location: str
    label: str
    recipe: dict[str, Any] = field(default_factory=dict)

    @property
    def is_pocket(self) -> bool:
        """Whether it is the pocket model."""
        return self.location.partition(":")[0] == "pocket"


def find_subject(given: str) -> Subject:
    """The model of a name, a folder or a run folder.

    Raises:
        ValueError: a run folder without a trained model, or with a recipe that cannot be read.
    """
    folder = Path(given).expanduser()
    if not folder.is_dir() or any(
        (folder / f"{name}.json").is_file() for name in ("config", "adapter_config")
    ):
        return Subject(given, str(folder) if folder.is_dir() else given, _label(given))
    try:
        RunFolder(folder).check()
    except RunFolderError as error:
        raise ValueError(
            f"{given} holds no model (config.json or adapter_config.json), and no run: {error}"
        ) from None
    model = folder / "model"
    if not model.is_dir():
        raise ValueError(f"the run {given} has no trained model yet: there is no {model}")
    return Subject(given, str(model), _label(given), _recipe(folder))


def _recipe(run: Path) -> dict[str, Any]:
    import yaml

    path = run / "recipe.yaml"
    if not path.is_file():
        return {}
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
    if not isinstance(recipe, dict):
        raise ValueError(f"{path} must be a mapping of fields to values")
    if isinstance(recipe.get("task_options"), str):
        try:
            recipe["task_options"] = json.loads(recipe["task_options"])
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: task_options is no JSON: {error}") from None
    return recipe


def _label(given: str) -> str:
    """The end of a path: runs/demo/meds gives demo-meds."""
    parts = [part for part in Path(given).parts if part not in ("/", ".", "..", "~", "runs")]
    return re.sub(r"[^\w.-]+", "-", "-".join(parts[-2:])).strip("-.") or "model"
