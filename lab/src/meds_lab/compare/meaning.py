"""What a method and a preset stood for when a cell was trained, and what they stand for now: versions may differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meds_lab.compare.cells import Cell
from meds_lab.compare.grid import GridError
from meds_rl.engines.trl.config import MEDSConfig
from meds_rl.engines.trl.methods import METHODS
from meds_rl.engines.trl.presets import PRESETS
from meds_rl.report.recipe import read_recipe
from meds_rl.train.recipe import Recipe

BY_METHOD = (
    *("loss_type", "beta", "epsilon", "epsilon_high", "delta"),
    *("dynamic_sampling", "overlong_buffer", "entropy_advantage", "scale_rewards"),
)
"""Fields of ``MEDSConfig`` that every method sets."""

WHOLE = [1.0, 1.0]
"""``meds_anneal`` of a penalty that does not end; None in recipes of versions in which no preset let it end."""


def refuse_changed_meaning(recipes: Mapping[Cell, Recipe]) -> None:
    """A cell that was trained when its method or preset set other values is not compared with cells of today.

    What the user gave is `meds_lab.compare.state.refuse_changed`'s question.

    Raises:
        GridError: which cell, and every field with both values.
    """
    for cell, recipe in recipes.items():
        changed = changed_meaning(cell, recipe.training)
        if changed:
            said = "; ".join(f"{name} was {there}, it is now {now}" for name, there, now in changed)
            raise GridError(
                f"{cell.folder} was trained by a version in which its method and preset set other values: {said}. Name "
                "another folder with --output, give these fields in the grid and call the method otherwise, or delete "
                "this folder to train it anew."
            )


def changed_meaning(cell: Cell, now: MEDSConfig) -> list[tuple[str, str, str]]:
    """Name, value there and value now of each field that method and preset set and in which they differ.

    None where nothing was trained. Fields that the version which trained the cell did not have are passed over, but for
    those that a preset sets now and did not then: `entropy_advantage`, which `grpo-entropy` alone had, `scale_rewards`,
    which was TRL's, and `meds_anneal`.
    """
    return differing_meaning(read_recipe(cell.folder).fields, now)


def differing_meaning(
    there: Mapping[str, Any], now: MEDSConfig, given: Mapping[str, Any] | None = None
) -> list[tuple[str, str, str]]:
    """The same of a resolved recipe, or of a part of one and of what was given."""
    today = now.__dict__
    if there:
        then = {
            "entropy_advantage": now.method == "grpo-entropy",
            "scale_rewards": "group",
            "meds_anneal": WHOLE,
        }
        there = {**then, **{name: value for name, value in (given or {}).items() if name in then}, **there}
        there["meds_anneal"] = there["meds_anneal"] or WHOLE
    return [
        (name, repr(there[name]), repr(today[name]))
        for name in fields_set(now.method)
        if name in there and there[name] != today[name]
    ]


def values_set(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Of a resolved recipe the fields that its method and preset set."""
    method = str(resolved.get("method"))
    return (
        {name: resolved[name] for name in fields_set(method) if name in resolved} if method in METHODS else {}
    )


def fields_set(method: str) -> list[str]:
    """Fields that a method sets, and, where it has a memory, those that presets set; elsewhere these do nothing.

    Example:
        >>> "meds_alpha" in fields_set("meds"), "meds_alpha" in fields_set("dapo"), "beta" in fields_set("dapo")
        (True, False, True)
    """
    settings = METHODS[method].settings
    presets = {name for preset in PRESETS.values() for name in preset} if METHODS[method].memory else set()
    return sorted({*BY_METHOD, *settings, *presets})
