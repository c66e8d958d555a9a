"""What the tasks and models of a grid must bring, looked at before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

from meds_lab.compare.cells import Cell
from meds_lab.compare.grid import Grid, GridError
from meds_rl.evaluation.problems import problems_of, select
from meds_rl.tasks import load_task
from meds_rl.tasks.base import Task
from meds_rl.tasks.models import model_location
from meds_rl.train.recipe import Recipe


def check_tasks(grid: Grid, recipes: Mapping[Cell, Recipe]) -> dict[str, list[str]]:
    """Load every task and look for every model.

    Returns:
        Task of the grid -> the groups of its problems that are compared, in alphabetical order.

    Raises:
        GridError: a task or model that does not work, a setting that the task has nothing for, or groups of problems
            that no task has.
    """
    loaded: dict[str, Task] = {}
    found: dict[str, set[str]] = {task: set() for task in grid.tasks}
    seen: set[tuple[str, str]] = set()
    for cell, recipe in recipes.items():
        run = recipe.run
        of_task = repr((run.task, run.options))
        key = (
            cell.task,
            of_task
            + repr((run.eval_by, run.eval_problems, recipe.model.model_name_or_path))
            + repr((recipe.training.uses_memory, recipe.training.fingerprint)),
        )
        if key in seen:
            continue
        seen.add(key)
        try:
            if of_task not in loaded:
                loaded[of_task] = load_task(run.task, **run.options)
            _check_cell(recipe, loaded[of_task])
            problems = select(problems_of(loaded[of_task]), limit=run.eval_problems, by=run.eval_by)
        except ValueError as error:
            raise GridError(f"{cell.name}: {error}") from None
        found[cell.task] |= {problem.group for problem in problems}
    check_groups(grid, found)
    return {task: sorted(groups & set(grid.groups or groups)) for task, groups in found.items()}


def check_groups(grid: Grid, found: Mapping[str, set[str]]) -> None:
    """Refuse a group that no task has: its tables would be empty.

    Raises:
        GridError: with those that there are.
    """
    there = sorted(set().union(*found.values()))
    missing = [name for name in grid.groups if name not in there]
    if missing:
        raise GridError(f"groups: no task has problems {missing[0]!r}; there are: {', '.join(there)}.")


def _check_cell(recipe: Recipe, task: Task) -> None:
    columns = task.train.column_names
    name = recipe.model.model_name_or_path
    if not name:
        raise ValueError("no model_name_or_path is given")
    model_location(name)
    if recipe.run.eval_by is not None and recipe.run.eval_by not in columns:
        raise ValueError(
            f"eval_by must be a column of the task: {', '.join(columns)}; got {recipe.run.eval_by!r}."
        )
    if recipe.training.uses_memory and recipe.training.fingerprint == "strategy" and task.strategy is None:
        raise ValueError(
            f"fingerprint: strategy counts the strategies that a task names; {recipe.run.task} names none. Take the "
            "pocket task, or another fingerprint."
        )
