"""What `meds compare` shows while it runs: a line for each cell that ends, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn

from tqdm import tqdm

from meds_rl.experiments.remaining import in_words, seconds_left

if TYPE_CHECKING:
    from meds_rl.experiments.cells import Cell
    from meds_rl.experiments.runner import Progress


def bar(num_cells: int) -> tqdm[NoReturn]:
    """A bar of the cells that are to run; none where the output is no terminal."""
    return tqdm(
        total=num_cells, disable=None, bar_format="{n_fmt} of {total_fmt} cells |{bar}| {elapsed}{postfix}"
    )


def watcher(bar: tqdm[NoReturn], earlier: Mapping[Cell, float], jobs: int) -> Callable[[Progress], None]:
    """A function that is told a few times a second where the grid stands.

    Args:
        bar: moves with it.
        earlier: seconds of cells that were done before this run.
        jobs: cells at once.
    """
    told: set[Cell] = set()

    def look(progress: Progress) -> None:
        ended = {cell: f"done in {in_words(seconds)}" for cell, seconds in progress.done.items()}
        ended |= {
            one.cell: f"failed with status {one.status}, see {one.cell.log_path}" for one in progress.failed
        }
        left = seconds_left(progress.waiting, progress.running, {**earlier, **progress.done}, jobs)
        rest = "" if left is None else f", about {in_words(left)} left"
        for cell, how in ended.items():
            if cell not in told:
                told.add(cell)
                bar.write(f"[{len(told)} of {bar.total}] {cell.name}: {how}{rest}")
        bar.n = len(told)
        bar.set_postfix_str(rest.removeprefix(", "))

    return look
