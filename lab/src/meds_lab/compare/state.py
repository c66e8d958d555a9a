"""What is on disk of a cell, and whether it was trained with the recipe that the grid asks for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from meds_lab.compare.cells import Cell
from meds_lab.compare.grid import OURS, Fields, GridError
from meds_rl.engines.settings import METHODS, PRESETS, name_in
from meds_rl.files import write_atomically
from meds_rl.report.recipe import PREFIX, read_recipe

if TYPE_CHECKING:
    from meds_rl.engines.trl.config import MEDSConfig
    from meds_rl.train.recipe import Recipe

_NOT_COMPARED = (*(name for name in OURS if name != "seed"), "disable_tqdm")
_ABSENT = "not given"


class State(Enum):
    """Of a cell, by what the next run of the grid does with it."""

    TO_BEGIN = "to begin"
    TO_RESUME = "to resume from its last checkpoint"
    TO_RESTART = "to start again: stopped before its first checkpoint"
    FINISHED = "finished"


def state_of(cell: Cell) -> State:
    """Read a cell's folder. `changed_fields` compares what it was trained with."""
    if not cell.folder.is_dir():
        return State.TO_BEGIN
    if is_finished(cell.folder):
        return State.FINISHED
    if _has_whole_checkpoint(cell.folder):
        return State.TO_RESUME
    return State.TO_RESTART if any(cell.folder.iterdir()) else State.TO_BEGIN


def is_finished(folder: Path) -> bool:
    """Whether a run has its evaluation after training, which comes last, and of that the figures, which come last."""
    return all((folder / "evaluation" / f"after.{kind}").is_file() for kind in ("parquet", "json"))


def refuse_changed(cells: Iterable[Cell]) -> None:
    """Refuse run folders that were trained with other fields than the grid asks for; they are not touched.

    Raises:
        GridError: which cell, and which fields differ; or a folder that `meds-lab compare` did not make.
    """
    for cell in cells:
        if cell.folder.exists() and not cell.recipe_path.is_file():
            raise GridError(
                f"{cell.folder} exists, but not {cell.recipe_path.name} beside it: meds-lab compare did not make it. "
                "Name another folder with --output."
            )
        changed = changed_fields(cell)
        if changed:
            listed = "; ".join(f"{name} was {there}, the grid asks for {asked}" for name, there, asked in changed)
            raise GridError(
                f"{cell.folder} was trained with another recipe: {listed}. Name another folder with --output, rename "
                "the method, or delete this folder to train it again."
            )


def changed_fields(cell: Cell) -> list[tuple[str, str, str]]:
    """Name, value there and value asked for, of each given field in which the run folder's recipe differs.

    None where the folder holds no recipe yet.
    """
    there = given_fields(cell.folder / "recipe.yaml")
    return [] if there is None else differing_fields(there, asked_fields(cell))


def asked_fields(cell: Cell) -> dict[str, Any]:
    """What the grid gives of a cell's recipe and what makes its result: no folders, no progress bars."""
    return {name: value for name, value in _as_written(cell.fields).items() if name not in _NOT_COMPARED}


def differing_fields(there: Fields, asked: Fields) -> list[tuple[str, str, str]]:
    """Name, value there and value asked for, of each field in which two recipes differ and that makes the result."""
    names = sorted({*there, *asked} - set(_NOT_COMPARED))
    return [
        (name, _shown(there, name), _shown(asked, name)) for name in names if _shown(there, name) != _shown(asked, name)
    ]


def given_fields(path: Path) -> dict[str, Any] | None:
    """What the user gave, from the head of a run's ``recipe.yaml``; None where there is no such file.

    Raises:
        GridError: the file's head cannot be read.
    """
    if not path.is_file():
        return None
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if line.startswith(PREFIX):
            lines.append(line.removeprefix(PREFIX))
    try:
        given = yaml.safe_load("\n".join(lines))
    except yaml.YAMLError as error:
        raise GridError(f"{path} does not contain what was given: {error}") from None
    if not isinstance(given, dict):
        raise GridError(f"{path} does not contain what was given.")
    return given


def _as_written(fields: Fields) -> dict[str, Any]:
    """The fields as they come back from a file."""
    written: dict[str, Any] = yaml.safe_load(yaml.safe_dump(dict(fields)))
    return written


def _shown(fields: Fields, name: str) -> str:
    return repr(fields[name]) if name in fields else _ABSENT


def _has_whole_checkpoint(folder: Path) -> bool:
    """As `meds_rl.engines.trl.checkpoint` sees it: the file that is written last is there and is JSON."""
    for path in folder.glob("checkpoint-*/trainer_state.json"):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        return True
    return False


# ---- The values that a method and a preset set when a cell was trained, and those that they set today.


def refuse_changed_meaning(recipes: Mapping[Cell, Recipe]) -> None:
    """Refuse cells that were trained when their method or preset set other values: they are not comparable.

    `refuse_changed` compares the fields that were given.

    Raises:
        GridError: which cell, and every field with both values.
    """
    for cell, recipe in recipes.items():
        changed = differing_meaning(read_recipe(cell.folder).fields, recipe.training)
        if changed:
            listed = "; ".join(f"{name} was {there}, it is now {now}" for name, there, now in changed)
            raise GridError(
                f"{cell.folder} was trained by a version in which its method and preset set other values: {listed}. "
                "Name another folder with --output, give these fields in the grid and rename the method, or delete "
                "this folder to train it again."
            )


def differing_meaning(there: Mapping[str, Any], now: MEDSConfig) -> list[tuple[str, str, str]]:
    """Name, value there and value now of each field that method and preset set and in which they differ.

    Args:
        there: of a resolved recipe all fields, or those that `values_set` kept; empty where nothing was trained.
        now: the training arguments of today.
    """
    today = now.__dict__
    return [
        (name, repr(there[name]), repr(today[name]))
        for name in fields_set(now.method)
        if name in there and there[name] != today[name]
    ]


def values_set(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Of a resolved recipe the fields that its method and preset set."""
    method = str(resolved.get("method"))
    return {name: resolved[name] for name in fields_set(method) if name in resolved} if method in METHODS else {}


def fields_set(method: str) -> list[str]:
    """Fields that a method sets, and, with a memory, those that presets set; without a memory these have no effect.

    Example:
        >>> "meds_beta" in fields_set("meds"), "meds_beta" in fields_set("dapo"), "beta" in fields_set("dapo")
        (True, False, True)
    """
    by_preset = {name_in("trl", name) for preset in PRESETS.values() for name in preset}
    by_any_method = set().union(*METHODS.values())  # "trl" sets all of them to TRL's defaults
    by_method = by_any_method if method == "trl" else METHODS[method].keys()
    return sorted(by_method | (by_preset if method in ("trl", "meds") else set()))


# ---- How often a cell was begun, how that ended, and how long it took: ``method.json`` beside its run folder.


@dataclass(frozen=True)
class Attempt:
    """One process that trained a cell.

    Attributes:
        seconds: wall clock, from the process's start to its end, evaluations included.
        status: of its exit; 0 is done.
        jobs: how many cells `meds-lab compare` ran at once: timings are comparable within one number.
        resumed: whether it resumed from a checkpoint.
    """

    seconds: float
    status: int
    jobs: int
    resumed: bool


def read_attempts(cell: Cell) -> list[Attempt]:
    """In order; none where the file is missing or damaged: it only serves estimates and a note."""
    try:
        rows = json.loads(cell.record_path.read_text(encoding="utf-8"))
        return [
            Attempt(float(row["seconds"]), int(row["status"]), int(row["jobs"]), bool(row["resumed"])) for row in rows
        ]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def add_attempt(cell: Cell, attempt: Attempt) -> None:
    """Append one."""
    rows = [asdict(one) for one in (*read_attempts(cell), attempt)]
    write_atomically(cell.record_path, json.dumps(rows, indent=1).encode())


def full_seconds(cell: Cell) -> float | None:
    """Seconds of a cell that was trained in one go; None where it was not, or is not known."""
    attempts = read_attempts(cell)
    done = attempts and attempts[-1].status == 0 and not attempts[-1].resumed
    return attempts[-1].seconds if done else None
