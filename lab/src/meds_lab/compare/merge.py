"""Reads finished cells of a grid from ``cells.parquet`` files, of other machines or of the evidence."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meds_lab.compare.cells import Cell, cell_name
from meds_lab.compare.grid import GridError
from meds_lab.compare.outcomes import COUNTS, VERSION, VERSION_KEY, Cost, Outcome, cells_schema
from meds_lab.compare.state import asked_fields, differing_fields, differing_meaning

if TYPE_CHECKING:
    import pandas as pd

    from meds_rl.train.recipe import Recipe


def read_merged(paths: Iterable[Path], recipes: Mapping[Cell, Recipe]) -> dict[Cell, Outcome]:
    """The grid's cells that these files hold. Of a cell in several files the first one counts.

    Args:
        paths: ``cells.parquet`` files of the same grid, run on other machines or in other folders.
        recipes: of the grid's cells, resolved.

    Raises:
        GridError: a file cannot be read, is of another version, holds no cell of the grid, or one that was trained with
            another recipe or by a version in which its method and preset set other values.
    """
    found: dict[Cell, Outcome] = {}
    for path in paths:
        rows = _rows_by_cell(path)
        of_grid = {cell: recipe for cell, recipe in recipes.items() if (*cell.unit, cell.method) in rows}
        if not of_grid:
            raise GridError(f"{path} holds no cell of this grid; it has {_some(rows)}.")
        for cell, recipe in of_grid.items():
            outcome, given = _outcome(cell, rows[(*cell.unit, cell.method)])
            differing = differing_fields(given, asked_fields(cell))
            differing += differing_meaning(outcome.meaning, recipe.training)
            if differing:
                listed = "; ".join(f"{name} was {there}, it is now {now}" for name, there, now in differing)
                raise GridError(
                    f"{cell.name} in {path} was trained with other fields than this grid asks for: {listed}. Leave the "
                    "file out, or give these fields in the grid and rename the method."
                )
            found.setdefault(cell, outcome)
    return found


def _rows_by_cell(path: Path) -> dict[tuple[str, str, int, str], list[dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise GridError(f"{path} cannot be read as the cells.parquet of a grid: {error}") from None
    version = (table.schema.metadata or {}).get(VERSION_KEY.encode(), b"").decode()
    if version != VERSION:
        what = f"version {version} of them" if version else "no cells of a grid"
        raise GridError(
            f"{path} holds {what}; version {VERSION} can be merged. With its run folders, meds-lab compare GRID.yaml "
            "--table writes it again."
        )
    missing = [name for name in cells_schema().names if name not in table.column_names]
    if missing:
        raise GridError(f"{path} is not whole: it has no column {', '.join(missing)}.")
    rows: dict[tuple[str, str, int, str], list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        rows.setdefault((row["task"], row["checkpoint"], row["seed"], row["method"]), []).append(row)
    for cell, of_cell in rows.items():
        _check_rows(path, cell_name(*cell), of_cell)
    return rows


def _check_rows(path: Path, cell: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Each group once before and once after."""
    places = [(row["when"], row["group"]) for row in rows]
    twice = next((place for place in places if places.count(place) > 1), None)
    if twice is not None:
        raise GridError(f"{path} holds {cell} twice, {' '.join(twice)}.")
    for when in ("before", "after"):
        if when not in {found for found, _ in places}:
            raise GridError(f"{path} is not whole: of {cell} it has nothing {when} training.")


def _some(rows: Mapping[tuple[str, str, int, str], Any]) -> str:
    names = [cell_name(*cell) for cell in rows]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "none at all"


def _outcome(cell: Cell, rows: Sequence[Mapping[str, Any]]) -> tuple[Outcome, dict[str, Any]]:
    """A cell, and what its recipe gave."""
    first = rows[0]
    seconds = float("nan") if first["seconds_per_step"] is None else first["seconds_per_step"]
    outcome = Outcome(
        cell,
        _problems(row for row in rows if row["when"] == "before"),
        _problems(row for row in rows if row["when"] == "after"),
        Cost(seconds, first["updates"], first["samples_generated"]),
        tuple(first["jobs"]),
        first["eval_k"],
        json.loads(first["packages"]),
        json.loads(first["meaning"]),
    )
    return outcome, json.loads(first["given"])


def _problems(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """As `meds_lab.compare.outcomes.read_cell_problems` gives them."""
    import pandas as pd

    tables = []
    for row in rows:
        ids = row["problem_id"]
        counts = {name: row[f"problem_{name}"] for name in COUNTS}
        exact = counts.pop("exact")
        table = pd.DataFrame({"group": row["group"], "problem_id": ids, **counts})
        table["exact"] = pd.Series([None] * len(ids) if exact is None else exact, dtype=object)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
