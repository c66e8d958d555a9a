"""A small grid, and a stand-in for `meds-lab train`."""

import sys
from pathlib import Path

import pytest
import yaml

from meds_lab.compare.cells import make_cells
from meds_lab.compare.command import load_grid

ROOT = Path(__file__).parents[3]

GRID = {
    "recipe": str(ROOT / "recipes" / "pocket.yaml"),
    "baseline": "dapo",
    "seeds": 2,
    "fields": {"eval_samples": 8, "eval_k": 4, "eval_every": 0, "max_steps": 3, "num_generations": 4},
    "tasks": {"pocket": None},
    "methods": {"dapo": {"method": "dapo"}, "meds": {"method": "meds"}},
}


@pytest.fixture
def stand_in():
    """What trains a cell, as `run_cells` wants it."""
    program = str(Path(__file__).with_name("stand_in.py"))

    def command(cell, overrides):
        return [sys.executable, program, str(cell.recipe_path), *overrides]

    return command


@pytest.fixture
def write_grid(tmp_path):
    """Writes the small grid, with some keys otherwise (None leaves one out); gives its path."""

    def write(**changes):
        content = {name: value for name, value in {**GRID, **changes}.items() if value is not None}
        path = tmp_path / "grid.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    return write


@pytest.fixture
def make(write_grid, tmp_path):
    """The small grid, with some keys otherwise, and its cells."""

    def make(**changes):
        grid = load_grid(write_grid(**changes))
        return grid, make_cells(grid, tmp_path / "out")

    return make
