"""What readers of run folders share: the rows of ``metrics.jsonl``, and the error that names a damaged file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MAX_STEP = 2**53
"""No run is longer; a larger number is damage."""


def metrics_row(line: bytes) -> dict[str, Any] | None:
    """The row that a line holds; None where it holds none: half a line, no object, no whole number as its step.

    Example:
        >>> metrics_row(b'{"step": 3, "loss": 0.5}'), metrics_row(b'{"step": "3"}'), metrics_row(b'{"st')
        ({'step': 3, 'loss': 0.5}, None, None)
    """
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):  # no UTF-8, no JSON, or brackets within brackets without end
        return None
    step = row.get("step") if isinstance(row, dict) else None
    is_step = isinstance(step, int) and not isinstance(step, bool) and 0 <= step <= MAX_STEP
    return row if is_step else None


def read_metrics(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The rows, and how many lines are none. What follows the last newline was cut off by a kill and does not count.

    Raises:
        OSError: the file is not there or cannot be opened.
    """
    lines = [line for line in path.read_bytes().split(b"\n")[:-1] if line.strip()]
    rows = [row for line in lines if (row := metrics_row(line)) is not None]
    return rows, len(lines) - len(rows)


class RunFolderError(ValueError):
    """A folder is not a run, a run of a newer schema, or holds a file that cannot be read; the message names it."""
