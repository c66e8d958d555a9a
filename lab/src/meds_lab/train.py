"""Train one recipe as `meds train` does, also with a rival or a starting policy of the lab.

A recipe of the lab may have two fields more: `rival`, the name of a file in meds_lab/rivals, and `rival_options`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from meds_rl.train.recipe import Recipe

SKILLS = "meds_lab.skills.task.skills_task"
"""The task whose policies are probed in training, which changes some of their rows only (`meds_lab.skills.probe`)."""

RIVAL_FIELDS = ("rival", "rival_options")
"""Fields of the lab's recipes that those of the library do not have."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The recipe's path; every other argument overrides one of its fields."""
    parser.add_argument("recipe", metavar="RECIPE.yaml", help="the recipe, or METHOD.yaml of a cell")
    parser.usage = "meds-lab train RECIPE.yaml [--field value ...]"


def run(args: argparse.Namespace) -> int:
    """Train; print what changed and where everything is."""
    from meds_rl.cli.tables import quieten

    quieten()
    from meds_lab.rivals import trainer_of
    from meds_rl.cli.tables import before_after_table, console
    from meds_rl.train.recipe import find_recipe
    from meds_rl.train.run import train

    fields = _fields_of(find_recipe(args.recipe))
    recipe = load_fields(fields, args.overrides)
    make = trainer_of(fields.get("rival"), fields.get("rival_options"))
    if recipe.run.task == SKILLS:
        from meds_lab.skills.probe import probed

        make = probed(make)
    result = train(recipe, trainer=make)
    if not result.is_main_process:
        return 0
    if result.before or result.after:
        name = fields.get("rival") or recipe.training.method
        console().print(before_after_table(name, result.before, result.after))
    console().print(f"The run is in {result.folder}", soft_wrap=True)
    return 0


def load_fields(fields: Mapping[str, Any], overrides: Sequence[str] = ()) -> Recipe:
    """The checked recipe of some fields, the lab's own among them. Names of starting policies become folders.

    Args:
        fields: of the recipe; `Recipe.given` keeps all of them as they are here.
        overrides: ``--field value`` pairs.

    Raises:
        ValueError: a field is unknown, a value is not allowed, or there is no such starting policy.
    """
    from meds_lab.skills.models import check_policy
    from meds_lab.tasks import model_location
    from meds_rl.train.recipe import load_recipe

    own = {name: fields[name] for name in RIVAL_FIELDS if name in fields}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        ordinary = {name: value for name, value in fields.items() if name not in own}
        path.write_text(yaml.safe_dump(ordinary), encoding="utf-8")
        recipe = load_recipe(path, overrides)
    recipe.given.update(own)
    if recipe.run.task == SKILLS:
        check_policy(recipe.model.model_name_or_path, recipe.run.options)
    if recipe.model.model_name_or_path:
        recipe.model.model_name_or_path = model_location(recipe.model.model_name_or_path)
    return recipe


def _fields_of(path: Path) -> dict[str, Any]:
    from meds_rl.files import load_yaml

    try:
        fields = load_yaml(path.read_text(encoding="utf-8"), aliases=True)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{path} must be a YAML mapping of fields to values.")
    return fields
