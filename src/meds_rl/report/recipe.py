"""The recipe of a run, and the names of several runs by the settings in which they differ."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from meds_rl.files import load_yaml
from meds_rl.report.text import finite
from meds_rl.rollouts.folder import read_json

PREFIX = "#   "
"""Prefix of the lines at the head of ``recipe.yaml`` with the fields that the user gave."""

NOT_COMPARED = frozenset(
    (
        *("seed", "data_seed", "output_dir", "run_name", "num_threads", "resume_from_checkpoint"),
        *("report_to", "project", "trackio_space_id", "disable_tqdm", "log_rollouts", "log_level"),
        *("logging_steps", "logging_strategy", "logging_first_step", "log_completions", "push_to_hub"),
        *("save_steps", "save_strategy", "save_total_limit", "save_only_model"),
        *("eval_samples", "eval_k", "eval_problems", "eval_by", "eval_every", "per_device_eval_batch_size"),
        "eval_before_from",
    )
)
"""Fields that do not change what is learnt, and the seed."""

PAIRED_BY = frozenset(("model_name_or_path", "model_revision", "task", "task_options"))
"""Fields that runs are paired by; runs that differ in them are not variants of a method."""

CHECKPOINT = "checkpoint"
"""Field of `evaluated_recipe`: the checkpoint of the run, or "last"."""


@dataclass(frozen=True)
class Recipe:
    """A run's recipe.

    Attributes:
        fields: every field as it was used; empty without a recipe.
        given: those that the user gave.
        damage: why the file cannot be read; else empty.
        folder: of the run; a run without a method is called by it.
    """

    fields: Mapping[str, Any]
    given: Sequence[str]
    damage: str = ""
    folder: Path | None = None

    @property
    def method(self) -> str:
        """grpo, dapo, meds, ...; without one, as of a reward function, the name of the run's folder."""
        name = "" if self.folder is None else self.folder.absolute().name
        return str(self.fields.get("method") or name or "run")

    @property
    def seed(self) -> int | None:
        """Of the training."""
        return _integer(self.fields.get("seed"))

    @property
    def task(self) -> str:
        """Name of the task."""
        return str(self.fields.get("task") or "")

    @property
    def model(self) -> str:
        """Name or folder of the model that training began with."""
        return str(self.fields.get("model_name_or_path") or "")

    @property
    def repetition(self) -> tuple[str, str, str, int | None]:
        """What two runs must share to be compared: task, its options, model and seed."""
        return self.task, str(self.fields.get("task_options")), self.model, self.seed

    @property
    def max_steps(self) -> int | None:
        """Optimiser steps of the recipe; None where it has epochs instead."""
        return _positive(self.fields.get("max_steps"))

    @property
    def group_size(self) -> int | None:
        """G."""
        return _positive(self.fields.get("num_generations"))

    @property
    def eval_k(self) -> int | None:
        """k of pass@k in the evaluations."""
        return _positive(self.fields.get("eval_k")) or _positive(self.fields.get("eval_samples"))

    def number(self, name: str) -> float | None:
        """A field that holds a number."""
        return finite(self.fields.get(name))


def read_recipe(folder: Path) -> Recipe:
    """Read ``recipe.yaml``. Without one, or if it cannot be read (`Recipe.damage`), the recipe is empty."""
    path = folder / "recipe.yaml"
    if not path.is_file():
        return Recipe({}, [], folder=folder)
    try:
        text = path.read_text(encoding="utf-8")
        fields = load_yaml(text)
    except (ValueError, OSError) as error:
        return Recipe({}, [], f"{path} cannot be read: {error}", folder)
    if not isinstance(fields, dict):
        return Recipe({}, [], f"{path} holds no fields", folder)
    return Recipe({str(name): value for name, value in fields.items()}, _given(text, fields), folder=folder)


def evaluated_recipe(folder: Path) -> Recipe | None:
    """The recipe of the run that `meds eval` evaluated into a folder, with the field `CHECKPOINT`.

    None if the folder does not name a run whose recipe can be read. A relative path is looked for in the current folder
    and in those above the evaluation.
    """
    model = (read_json(folder / "settings.json") or {}).get("model")
    places = (
        [place / model for place in (Path(), *folder.absolute().parents)] if model and isinstance(model, str) else []
    )
    for found in filter(os.path.isdir, places):  # false for what is no path at all
        for run in (found, found.parent):
            recipe = read_recipe(run)
            if recipe.fields:
                fields = {**recipe.fields, CHECKPOINT: "last" if run == found else found.name}
                return replace(recipe, fields=fields, given=[*recipe.given, CHECKPOINT])
    return None


def variants(recipes: Sequence[Recipe]) -> list[str]:
    """The variant of each run: its method, and the given fields that differ between the runs of that method.

    Runs of the same variant differ only in seed, or in fields that do not change what is learnt. A run without a method
    is a variant of its own, called by its folder.

    Example:
        >>> a, b, c = (
        ...     Recipe({"method": "meds", "seed": 0, "meds_alpha": alpha}, ["meds_alpha"]) for alpha in (0.1, 0.1, 0.2)
        ... )
        >>> variants([a, b, c, Recipe({"method": "dapo"}, [])])
        ['meds, alpha 0.1', 'meds, alpha 0.1', 'meds, alpha 0.2', 'dapo']
    """
    names = []
    unnamed = [recipe for recipe in recipes if not recipe.fields.get("method") and recipe.folder is not None]
    folders = {recipe.folder.absolute(): None for recipe in unnamed if recipe.folder is not None}
    alone = dict(zip(folders, _distinct([folder.name for folder in folders], list(folders)), strict=True))
    for recipe in recipes:
        if recipe in unnamed and recipe.folder is not None:
            names.append(alone[recipe.folder.absolute()])
            continue
        same_method = [other for other in recipes if other.method == recipe.method]
        fields = differing(same_method)
        settings = [f"{_short(name)} {_value(recipe.fields.get(name))}" for name in fields]
        names.append(", ".join([recipe.method, *settings]))
    return names


def run_names(recipes: Sequence[Recipe], folders: Sequence[Path]) -> list[str]:
    """The name of each run: its variant, then task and model where they differ, then the seed.

    Equal names get the end of the folder's path, and if that is equal too, a number.
    """
    names = []
    known = [recipe for recipe in recipes if CHECKPOINT in recipe.fields] or recipes  # not a model that no run trained
    for variant, recipe in zip(variants(recipes), recipes, strict=True):
        parts = [variant]
        for title, value, values in (
            ("task", recipe.task, {other.task for other in known}),
            ("model", recipe.model, {other.model for other in known}),
        ):
            if value and len(values) > 1:
                parts.append(f"{title} {value}")
        names.append(", ".join(parts if recipe.seed is None else [*parts, f"seed {recipe.seed}"]))
    return _distinct(names, folders)


def _distinct(names: Sequence[str], folders: Sequence[Path]) -> list[str]:
    found = list(names)
    for name in set(names):
        places = [place for place, other in enumerate(names) if other == name]
        if len(places) > 1:
            for place, end in zip(places, _ends([folders[place] for place in places]), strict=True):
                found[place] = f"{name} ({end})"
    return [
        name if found.count(name) == 1 else f"{name} [{found[: place + 1].count(name)}]"
        for place, name in enumerate(found)
    ]


def _ends(paths: Sequence[Path]) -> list[str]:
    """The last parts of each path, as few as make the paths differ, the same number for all."""
    parts = [path.absolute().parts for path in paths]
    counts = range(1, max(len(some) for some in parts) + 1)
    count = next(n for n in counts if len({some[-n:] for some in parts}) == len(set(parts)))
    return [str(Path(*some[-count:])) for some in parts]


def differing(recipes: Sequence[Recipe]) -> list[str]:
    """Fields that some recipe gives and in which the recipes differ, in alphabetical order."""
    given = sorted({name for recipe in recipes for name in recipe.given} - NOT_COMPARED - PAIRED_BY - {"method"})
    return [name for name in given if len({_value(recipe.fields.get(name)) for recipe in recipes}) > 1]


def _given(text: str, fields: Mapping[str, Any]) -> list[str]:
    lines = (line.removeprefix(PREFIX) for line in text.splitlines() if line.startswith(PREFIX))
    names = (line.partition(":")[0].strip() for line in lines if not line.startswith((" ", "-")))
    return [name for name in names if name in fields]


def _short(name: str) -> str:
    return name.removeprefix("meds_").replace("_", " ")


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None


def _positive(value: Any) -> int | None:
    number = _integer(value)
    return number if number is not None and number > 0 else None
