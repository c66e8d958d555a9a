"""Equal budgets: methods of a task may use the same number of samples and updates, and are measured alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from meds_lab.compare.cells import Cell
from meds_lab.compare.grid import Grid, GridError, check_names
from meds_lab.compare.task_checks import check_tasks
from meds_rl.train.recipe import Recipe, load_recipe

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
one round a batch belongs to the method; it is counted (`meds_lab.compare.cost`)."""


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
            said = "; ".join(
                f"{name} is " + ", ".join(f"{value!r} ({method})" for method, value in values.items())
                for name, values in differing.items()
            )
            raise GridError(
                f"The methods of {task}/{checkpoint} have different budgets: {said}. Make them equal, or name the "
                "fields in budget_may_differ."
            )
        allowed |= differing_fields(methods).keys()
    return Checked(recipes, groups, frozenset(allowed))


def resolve(cells: Iterable[Cell]) -> dict[Cell, Recipe]:
    """The checked recipe of each cell, as ``meds train`` will see it.

    Raises:
        GridError: a recipe is refused, with the cell's name.
    """
    found = {}
    with TemporaryDirectory() as folder:
        for cell in cells:
            path = Path(folder) / "recipe.yaml"
            path.write_text(cell.recipe_text(), encoding="utf-8")
            try:
                found[cell] = load_recipe(path)
            except (ValueError, TypeError) as error:
                raise GridError(f"{cell.name}: {error}") from None
    return found


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
    return {
        name: values for name, values in found.items() if len({repr(value) for value in values.values()}) > 1
    }


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
        raise GridError(
            f"k must be in 1..eval_samples ({recipe.run.eval_samples} of {cell.task}); got {grid.k}."
        )
