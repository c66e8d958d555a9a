"""What is on disk of a cell, and whether it is what the grid asks for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from meds_lab.compare.cells import Cell
from meds_lab.compare.grid import OURS, Fields, GridError
from meds_rl.report.recipe import PREFIX

_NOT_COMPARED = (*(name for name in OURS if name != "seed"), "disable_tqdm")
_ABSENT = "not given"


class State(Enum):
    """Of a cell, by what the next run of the grid does with it."""

    TO_BEGIN = "to begin"
    TO_RESUME = "to go on from its last checkpoint"
    TO_BEGIN_ANEW = "to begin anew: stopped before its first checkpoint"
    FINISHED = "finished"


def state_of(cell: Cell) -> State:
    """Read a cell's folder. Whether it was trained as the grid asks is `changed_fields`' question."""
    if not cell.folder.is_dir():
        return State.TO_BEGIN
    if is_finished(cell.folder):
        return State.FINISHED
    if _has_whole_checkpoint(cell.folder):
        return State.TO_RESUME
    return State.TO_BEGIN_ANEW if any(cell.folder.iterdir()) else State.TO_BEGIN


def is_finished(folder: Path) -> bool:
    """Whether a run has its evaluation after training, which comes last, and of that the figures, which come last."""
    return all((folder / "evaluation" / f"after.{kind}").is_file() for kind in ("parquet", "json"))


def refuse_changed(cells: Iterable[Cell]) -> None:
    """A run folder that was trained otherwise than the grid now asks is neither used nor touched.

    Raises:
        GridError: which cell, and which fields differ; or a folder that `meds compare` did not make.
    """
    for cell in cells:
        if cell.folder.exists() and not cell.recipe_path.is_file():
            raise GridError(
                f"{cell.folder} exists, but not {cell.recipe_path.name} beside it: meds compare did not make it. Name "
                "another folder with --output."
            )
        changed = changed_fields(cell)
        if changed:
            said = "; ".join(
                f"{name} was {there}, the grid asks for {asked}" for name, there, asked in changed
            )
            raise GridError(
                f"{cell.folder} was trained with another recipe: {said}. Name another folder with --output, call the "
                "method otherwise, or delete this folder to train it anew."
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
        (name, _shown(there, name), _shown(asked, name))
        for name in names
        if _shown(there, name) != _shown(asked, name)
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
        raise GridError(f"{path} does not say what was given: {error}") from None
    if not isinstance(given, dict):
        raise GridError(f"{path} does not say what was given.")
    return given


def _as_written(fields: Fields) -> dict[str, Any]:
    """The fields after their way through a file."""
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
