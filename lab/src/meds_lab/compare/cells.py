"""The cells of a grid: one training each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from meds_lab.compare.grid import Fields, Grid
from meds_rl.files import write_atomically


@dataclass(frozen=True, eq=False)
class Cell:
    """One training: a task, a base checkpoint, a seed and a method.

    Attributes:
        fields: of its recipe, everything that is given.
        folder: its run folder, DIR/task/checkpoint/seed-S/method. Beside it lie ``method.yaml`` (its recipe),
            ``method.log`` (what the training printed) and ``method.json`` (how often it was begun, how long it took).
    """

    task: str
    checkpoint: str
    seed: int
    method: str
    fields: Fields
    folder: Path

    @property
    def unit(self) -> tuple[str, str, int]:
        """What the methods are paired by."""
        return self.task, self.checkpoint, self.seed

    @property
    def name(self) -> str:
        """For messages: ``pocket/base/seed-0/dapo``."""
        return cell_name(self.task, self.checkpoint, self.seed, self.method)

    @property
    def recipe_path(self) -> Path:
        """Its recipe: ``meds-lab train`` with it trains this cell."""
        return self.folder.with_name(f"{self.method}.yaml")

    @property
    def log_path(self) -> Path:
        """What the training printed, one attempt after the other."""
        return self.folder.with_name(f"{self.method}.log")

    @property
    def record_path(self) -> Path:
        """The attempts, as JSON."""
        return self.folder.with_name(f"{self.method}.json")

    def recipe_text(self) -> str:
        """The recipe as YAML."""
        return (
            f"# {self.name}, a cell of a grid. Trained by: meds-lab train {self.recipe_path.name}\n"
            + yaml.safe_dump(dict(self.fields), sort_keys=True, allow_unicode=True)
        )

    def write_recipe(self) -> None:
        """Write the recipe to `recipe_path`."""
        write_atomically(self.recipe_path, self.recipe_text().encode("utf-8"))


def make_cells(grid: Grid, folder: Path) -> list[Cell]:
    """All cells, seed by seed, and of a seed the methods of a task and checkpoint together: a grid that was stopped
    half-way has whole pairs.

    Later fields win: the recipe's, the grid's, the task's, the checkpoint's, the method's.
    """
    return [
        _cell(grid, folder, task, checkpoint, seed, method)
        for seed in grid.seeds
        for task in grid.tasks
        for checkpoint in grid.checkpoints[task]
        for method in grid.methods
    ]


def _cell(grid: Grid, folder: Path, task: str, checkpoint: str, seed: int, method: str) -> Cell:
    where = folder / task / checkpoint / f"seed-{seed}" / method
    # Progress bars of several trainings at once would only fill the logs.
    fields = {
        "disable_tqdm": True,
        **grid.base,
        **grid.tasks[task],
        **grid.checkpoints[task][checkpoint],
        **grid.methods[method],
        "seed": seed,
        "output_dir": str(where),
    }
    return Cell(task, checkpoint, seed, method, fields, where)


def cell_name(task: str, checkpoint: str, seed: int, method: str) -> str:
    """The name of a cell in messages."""
    return f"{task}/{checkpoint}/seed-{seed}/{method}"
