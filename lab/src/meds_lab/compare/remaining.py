"""How long a grid still takes, from the cells that are done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from meds_lab.compare.cells import Cell


def seconds_left(
    waiting: Sequence[Cell], running: Mapping[Cell, float], done: Mapping[Cell, float], jobs: int
) -> float | None:
    """Estimate of the time until every cell is done; None before the first one is.

    A cell takes what done cells of the same task and method took on average; where there is none, those of its method,
    then those of its task, then all. Work is shared evenly by ``jobs`` processes; no cell is faster than it is alone.

    Args:
        waiting: cells not begun.
        running: cells under way, with the seconds since each was begun.
        done: cells trained in one go, with their seconds.
        jobs: cells at once.
    """
    if not done:
        return None
    left = [max(0.0, expected_seconds(cell, done) - spent) for cell, spent in running.items()]
    left += [expected_seconds(cell, done) for cell in waiting]
    return max(sum(left) / jobs, max(left, default=0.0))


def expected_seconds(cell: Cell, done: Mapping[Cell, float]) -> float:
    """What a cell takes, from the nearest ones that are done."""
    same_method = [other for other in done if other.method == cell.method]
    same_task = [other for other in done if other.task == cell.task]
    both = [other for other in same_method if other.task == cell.task]
    chosen = both or same_method or same_task or list(done)
    return float(np.mean([done[other] for other in chosen]))


def in_words(seconds: float) -> str:
    """A duration, as short as it is good for.

    Example:
        >>> [in_words(seconds) for seconds in (42.0, 400.0, 9000.0)]
        ['42 s', '7 min', '2 h 30 min']
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
