"""One `meds compare` at a time in a folder, also after one was killed and what it began trains on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meds_lab.compare.grid import GridError


@contextmanager
def folder_lock(folder: Path) -> Iterator[tuple[int, ...]]:
    """Hold a folder; gives the file descriptors that trainings must inherit.

    The lock belongs to the open file, which parent and children share: it is let go when the last of them has ended,
    however it ended. Windows has no such lock; there nothing is held.

    Raises:
        GridError: somebody else holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield ()
        return
    import fcntl

    with (folder / ".compare.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise GridError(
                f"Another meds compare, or a training that one began, still runs in {folder}. Wait for it, or end it."
            ) from None
        yield (file.fileno(),)
