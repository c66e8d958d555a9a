"""Checks a whole grid before anything runs: recipes, tasks, models, and equal budgets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from meds_lab.compare.cells import Cell
from meds_lab.compare.grid import Grid, GridError, check_names
from meds_lab.rivals import trainer_of
from meds_lab.tasks import model_location
from meds_lab.train import load_fields
from meds_rl.evaluation.problems import problems_of, select
from meds_rl.tasks import load_task
from meds_rl.tasks.base import Task
from meds_rl.train.recipe import Recipe

BUDGET = (
    *("max_steps", "num_train_epochs", "num_iterations"),
    *("per_device_train_batch_size", "gradient_accumulation_steps", "generation_batch_size"),
    *("num_generations", "max_completion_length", "max_generation_batches"),
    *("temperature", "top_p", "top_k", "min_p", "repetition_penalty"),
    *("generation_kwargs", "chat_template_kwargs"),  # the first overrules the line above
    *("bf16", "fp16", "dtype", "load_in_8bit", "load_in_4bit", "use_cpu", "num_threads"),
    *("task", "task_options", "reward_funcs", "model_name_or_path", "model_revision"),
    *("eval_samples", "eval_k", "eval_problems", "eval_by", "eval_every", "per_device_eval_batch_size"),
)
"""Fields in which methods of a task and checkpoint must not differ. Whether dynamic sampling then generates more than
one round a batch belongs to the method; it is counted (`meds_lab.compare.outcomes`)."""


@dataclass(frozen=True)
class Checked:
    """A grid that can run.

    Attributes:
        recipes: of each cell, resolved.
        groups: task -> the groups of its problems that are compared.
        differing: fields of the budget in which methods differ, as the grid allows.
    """

    recipes: Mapping[Cell, Recipe]
    groups: Mapping[str, Sequence[str]]
    differing: frozenset[str]


def check_grid(grid: Grid, cells: Sequence[Cell]) -> Checked:
    """Resolve every cell's recipe and hold the methods to one budget, before anything runs.

    Raises:
        ValueError: a recipe, task or model that does not work, a grid without evaluations, a k beyond the samples,
            groups that no task has, or budgets that differ.
    """
    check_names(grid.budget_may_differ, BUDGET, "budget_may_differ")
    recipes = resolve(cells)
    for cell, recipe in recipes.items():
        _check_evaluation(grid, cell, recipe)
    groups = check_tasks(grid, recipes)
    allowed: set[str] = set()
    for unit, methods in _by_unit(recipes).items():
        differing = differing_fields(methods, grid.budget_may_differ)
        if differing:
            task, checkpoint, _ = unit
            listed = "; ".join(
                f"{name} is " + ", ".join(f"{value!r} ({method})" for method, value in values.items())
                for name, values in differing.items()
            )
            raise GridError(
                f"The methods of {task}/{checkpoint} have different budgets: {listed}. Make them equal, or name the "
                "fields in budget_may_differ."
            )
        allowed |= differing_fields(methods).keys()
    return Checked(recipes, groups, frozenset(allowed))


def resolve(cells: Iterable[Cell]) -> dict[Cell, Recipe]:
    """The checked recipe of each cell, as ``meds-lab train`` will see it.

    Raises:
        GridError: a recipe is refused, with the cell's name.
    """
    return {cell: _resolve(cell) for cell in cells}


def _resolve(cell: Cell) -> Recipe:
    try:
        trainer_of(cell.fields.get("rival"), cell.fields.get("rival_options"))
        return load_fields(cell.fields)
    except (ValueError, TypeError) as error:
        raise GridError(f"{cell.name}: {error}") from None


def differing_fields(
    methods: Mapping[str, Mapping[str, Any]], may_differ: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Fields of the budget in which methods differ, each with every method's value.

    Example:
        >>> differing_fields({"dapo": {"max_steps": 40, "top_p": 1.0}, "meds": {"max_steps": 60, "top_p": 1.0}})
        {'max_steps': {'dapo': 40, 'meds': 60}}
    """
    names = [name for name in BUDGET if name not in may_differ]
    found = {name: {method: values.get(name) for method, values in methods.items()} for name in names}
    return {name: values for name, values in found.items() if len({repr(value) for value in values.values()}) > 1}


def _by_unit(recipes: Mapping[Cell, Recipe]) -> dict[tuple[str, str, int], dict[str, dict[str, Any]]]:
    units: dict[tuple[str, str, int], dict[str, dict[str, Any]]] = {}
    for cell, recipe in recipes.items():
        units.setdefault(cell.unit, {})[cell.method] = _resolved(recipe)
    return units


def _resolved(recipe: Recipe) -> dict[str, Any]:
    """All fields in one mapping; a batch size that follows from others is the one that was worked out."""
    parts = (recipe.model, recipe.training, recipe.run)
    return {field.name: part.__dict__.get(field.name) for part in parts for field in fields(part)}


def _check_evaluation(grid: Grid, cell: Cell, recipe: Recipe) -> None:
    if recipe.run.eval_samples == 0:
        raise GridError(
            f"{cell.name}: eval_samples is 0; methods are compared by evaluations. Give it in the grid's fields."
        )
    if grid.k is not None and grid.k > recipe.run.eval_samples:
        raise GridError(f"k must be in 1..eval_samples ({recipe.run.eval_samples} of {cell.task}); got {grid.k}.")


# ---- What the tasks and models of a grid must have.


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
        raise ValueError(f"eval_by must be a column of the task: {', '.join(columns)}; got {recipe.run.eval_by!r}.")
    if recipe.given.get("rival") == "named" and task.strategy is None:
        raise ValueError(
            f"rival: named counts the strategies that a task names; {recipe.run.task} names none. Take the pocket "
            "task, or another rival."
        )
