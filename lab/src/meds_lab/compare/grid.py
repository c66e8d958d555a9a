"""Reads a grid: the YAML file of the methods that are compared, the tasks, checkpoints and seeds."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from meds_lab.train import RIVAL_FIELDS
from meds_rl.files import load_yaml

# ---- The plain values of a grid's file: names, numbers, lists and pairs of methods.


class GridError(ValueError):
    """A grid cannot be read, or has something that is not allowed."""


def check_names(names: Iterable[str], allowed: Sequence[str], where: str) -> None:
    """Refuse a name that is not allowed.

    Raises:
        GridError: with the nearest names that are.
    """
    for name in names:
        if name not in allowed:
            close = difflib.get_close_matches(str(name), allowed, n=3)
            listed = ", ".join(allowed) if len(allowed) < 20 else "the fields of docs/settings.md"
            hint = f"Did you mean {' or '.join(close)}?" if close else f"Allowed: {listed}."
            raise GridError(f"{where}: unknown name {name!r}. {hint}")


MOST_SEEDS = 10_000


def seeds(given: Any) -> tuple[int, ...]:
    """A number of seeds from 0, or a list of seeds.

    Raises:
        GridError: neither, or one comes twice.

    Example:
        >>> seeds(3), seeds([7, 1])
        ((0, 1, 2), (7, 1))
    """
    listed = list(range(given)) if _is_int(given) and 0 < given <= MOST_SEEDS else given
    if not isinstance(listed, list) or not listed or not all(_is_int(seed) and 0 <= seed < 2**32 for seed in listed):
        raise GridError(
            f"seeds must be a number of seeds, at most {MOST_SEEDS:,}, or a list of whole numbers from 0 to 2**32 - 1; "
            f"got {given!r}."
        )
    if len(set(listed)) != len(listed):
        raise GridError(f"seeds must not repeat: each repetition would count twice; got {given!r}.")
    return tuple(listed)


def positive(given: Any, where: str) -> int | None:
    """A whole number from 1, or None.

    Raises:
        GridError: anything else.
    """
    if given is None:
        return None
    if not _is_int(given) or given < 1:
        raise GridError(f"{where} must be a whole number from 1; got {given!r}.")
    return int(given)


def texts(given: Any, where: str) -> tuple[str, ...]:
    """One text or a list of them; empty where nothing is given.

    Raises:
        GridError: anything else.
    """
    listed = [given] if isinstance(given, str) else given or []
    if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
        raise GridError(f"{where} must be a list of names; got {given!r}.")
    return tuple(listed)


def pairs(given: Any, methods: Sequence[str], baseline: str) -> tuple[tuple[str, str], ...]:
    """Pairs [method, other method] that are compared besides every method with the baseline.

    Raises:
        GridError: no list of pairs, an unknown method, a method with itself, or a pair that is compared already.

    Example:
        >>> pairs([["meds", "count"]], ["dapo", "count", "meds"], "dapo")
        (('meds', 'count'),)
    """
    listed = given or []
    if not isinstance(listed, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in listed):
        raise GridError(f"also must be a list of pairs [method, other method]; got {given!r}.")
    found: list[tuple[str, str]] = []
    for method, other in listed:
        check_names([method, other], methods, "also")
        if method == other:
            raise GridError(f"also: [{method}, {other}] compares a method with itself.")
        if baseline in (method, other):
            raise GridError(
                f"also: [{method}, {other}] is in the tables as it is: every method is compared with {baseline}."
            )
        if (method, other) in found or (other, method) in found:
            raise GridError(f"also: {method} and {other} come twice.")
        found.append((method, other))
    return tuple(found)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


Fields: TypeAlias = Mapping[str, Any]
"""Recipe fields and their values."""

KEYS = (
    "recipe",
    "fields",
    "tasks",
    "checkpoints",
    "seeds",
    "methods",
    "baseline",
    "also",
    "k",
    "groups",
    "budget_may_differ",
)
"""Of the file."""

OURS = ("seed", "output_dir", "resume_from_checkpoint", "eval_before_from")
"""Recipe fields that `meds-lab compare` sets."""

PAIRED_BY = ("task", "task_options", "model_name_or_path", "model_revision")
"""Recipe fields that are the same for every method, or there would be no pairs."""

BEFORE = "before"
"""Row of the tables for the checkpoints before training; no method can have this name."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=-]*")
_ENDINGS = (".yaml", ".json", ".log")


@dataclass(frozen=True)
class Grid:
    """A grid as in its file, checked for form.

    Attributes:
        path: the file.
        base: fields of the common recipe, with ``fields`` of the grid over them.
        tasks: by name; fields over ``base``.
        checkpoints: of each task by name; fields over the task's.
        seeds: of training and evaluation, each once.
        methods: by name; fields over the checkpoint's, and `rival` and `rival_options` (`meds_lab.train`).
        baseline: the method that the others are compared with.
        also: more pairs that are compared, each a method and the one it is compared with.
        k: of pass@k; None for the recipe's.
        groups: of problems that are compared; empty for all.
        budget_may_differ: fields of the budget in which methods may differ all the same.
    """

    path: Path
    base: Fields
    tasks: Mapping[str, Fields]
    checkpoints: Mapping[str, Mapping[str, Fields]]
    seeds: tuple[int, ...]
    methods: Mapping[str, Fields]
    baseline: str
    also: tuple[tuple[str, str], ...]
    k: int | None
    groups: tuple[str, ...]
    budget_may_differ: tuple[str, ...]


def read_grid(path: Path, base: Fields, known_fields: Sequence[str]) -> Grid:
    """Read a grid whose common recipe has been read already.

    Args:
        path: the YAML file.
        base: fields of the recipe that `recipe_of` names.
        known_fields: every field that a recipe may have.

    Raises:
        GridError: what is wrong, where, and what is allowed.
    """
    content = _mapping_at(path)
    check_names(content, KEYS, str(path))
    _check_recipe_fields(base, known_fields, "recipe", forbidden=("resume_from_checkpoint", "eval_before_from"))
    common = _fields(content.get("fields"), known_fields, "fields")
    shared = _named(content, "checkpoints", needed=False)
    tasks: dict[str, Fields] = {}
    checkpoints: dict[str, Mapping[str, Fields]] = {}
    for name, given in _named(content, "tasks").items():
        own = dict(_as_mapping(given, f"tasks.{name}"))
        listed = own.pop("checkpoints", None)
        where = "checkpoints" if listed is None else f"tasks.{name}.checkpoints"
        tasks[name] = _fields(own, known_fields, f"tasks.{name}")
        found = shared if listed is None else _checked_names(listed, where)
        checkpoints[name] = {
            key: _fields(value, known_fields, f"{where}.{key}") for key, value in (found or {"base": None}).items()
        }
    methods = {
        name: _fields(given, (*known_fields, *RIVAL_FIELDS), f"methods.{name}", (*OURS, *PAIRED_BY))
        for name, given in _named(content, "methods").items()
    }
    if BEFORE in methods:
        raise GridError(
            f"methods: {BEFORE!r} cannot be a name: the tables have it for the checkpoints before training."
        )
    baseline = _chosen(content.get("baseline"), list(methods), "baseline")
    return Grid(
        path,
        {**base, **common},
        tasks,
        checkpoints,
        seeds(content.get("seeds", 1)),
        methods,
        baseline,
        pairs(content.get("also"), list(methods), baseline),
        positive(content.get("k"), "k"),
        texts(content.get("groups"), "groups"),
        texts(content.get("budget_may_differ"), "budget_may_differ"),
    )


def recipe_of(path: Path) -> str:
    """The common recipe that a grid names.

    Raises:
        GridError: it names none.
    """
    recipe = _mapping_at(path).get("recipe")
    if not isinstance(recipe, str) or not recipe:
        raise GridError(f"{path}: recipe must be the path of the recipe that all runs share; got {recipe!r}.")
    return recipe


def read_fields(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        GridError: the file cannot be read, or holds no mapping.
    """
    return _mapping_at(path)


def _mapping_at(path: Path) -> dict[str, Any]:
    try:
        content = load_yaml(path.read_text(encoding="utf-8"), aliases=True)
    except ValueError as error:
        raise GridError(f"{path} is not YAML: {error}") from None
    return _as_mapping(content, str(path))


def _as_mapping(given: Any, where: str) -> dict[str, Any]:
    given = {} if given is None else given
    if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
        raise GridError(f"{where} must be a mapping of names to values; got {given!r}.")
    return given


def _fields(given: Any, known: Sequence[str], where: str, forbidden: Sequence[str] = OURS) -> Fields:
    fields = _as_mapping(given, where)
    _check_recipe_fields(fields, known, where, forbidden)
    return fields


def _check_recipe_fields(fields: Fields, known: Sequence[str], where: str, forbidden: Sequence[str]) -> None:
    check_names(fields, known, where)
    for name in fields:
        if name in forbidden:
            by = (
                "meds-lab compare sets it" if name in OURS else "it is the same for all methods, which are paired by it"
            )
            raise GridError(f"{where}: {name} cannot be given here; {by}.")


def _named(content: Fields, key: str, needed: bool = True) -> dict[str, Any]:
    """The mapping of names under a key; each is a folder's or file's name later."""
    found = _checked_names(content.get(key), key)
    if needed and not found:
        raise GridError(f"{key} must name at least one; got {content.get(key)!r}.")
    return found


def _checked_names(given: Any, where: str) -> dict[str, Any]:
    found = _as_mapping(given, where)
    for name in found:
        if not _NAME.fullmatch(name) or name.endswith(_ENDINGS):
            raise GridError(
                f"{where}: {name!r} cannot be a name: letters, digits and _ . + = - are allowed, the first a letter or "
                f"digit, and no {', '.join(_ENDINGS)} at its end."
            )
    return found


def _chosen(given: Any, allowed: Sequence[str], where: str) -> str:
    if given is None:
        raise GridError(f"{where} must be one of the methods: {', '.join(allowed)}.")
    check_names([given], allowed, where)
    return str(given)
