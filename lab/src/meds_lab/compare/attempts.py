"""How often a cell was begun, how that ended, and how long it took: ``method.json`` beside its run folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from meds_lab.compare.cells import Cell
from meds_rl.rollouts.folder import write_atomically


@dataclass(frozen=True)
class Attempt:
    """One process that trained a cell.

    Attributes:
        seconds: wall clock, from the process's start to its end, evaluations included.
        status: of its exit; 0 is done.
        jobs: how many cells `meds compare` ran at once: timings are comparable within one number.
        resumed: whether it went on from a checkpoint.
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
            Attempt(float(row["seconds"]), int(row["status"]), int(row["jobs"]), bool(row["resumed"]))
            for row in rows
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
