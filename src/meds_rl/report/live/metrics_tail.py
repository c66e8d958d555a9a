"""Reads ``metrics.jsonl`` while it is written: whole lines only, and none twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from meds_rl.rollouts.metrics import metrics_row

Stamp = tuple[int, int, int]
"""A file's identity, time and size: a file that was replaced has another one."""


class MetricsTail:
    """What has been appended since the last look.

    Args:
        path: The file; it need not exist yet.

    Attributes:
        stamp: Of the file at the last look; None before there was one.
        begun_anew: Whether the last look found another file than the one before: what was read of that one is void.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stamp: Stamp | None = None
        self.begun_anew = False
        self._offset = 0

    def read(self) -> list[dict[str, Any]]:
        """The new rows. A line that is no row (a kill cut it off, and a later run went on after it) is passed over."""
        stamp, before = stamp_of(self.path), self.stamp
        self.begun_anew = False
        if stamp is None or stamp == before:
            return []
        # A resumed run replaces the file by one without its later rows.
        if before is not None and (stamp[0] != before[0] or stamp[2] < self._offset):
            self.begun_anew, self._offset = True, 0
        self.stamp = stamp
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")  # the last line may still be in the making
        except OSError:
            return []  # it has just gone; the next look finds what comes instead
        self._offset += len(whole) + len(newline)
        return [row for line in whole.split(b"\n") if (row := metrics_row(line)) is not None]


def stamp_of(path: Path) -> Stamp | None:
    """Of a file; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
