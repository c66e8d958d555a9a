"""The lock of a run folder: the training that writes to it holds it."""

from __future__ import annotations

from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

LOCK_FILE = ".lock"


def lock_of(folder: Path) -> BaseFileLock:
    """The lock of a folder, not yet held."""
    # Reward functions are called in any thread.
    return FileLock(folder / LOCK_FILE, thread_local=False)


def acquire(lock: BaseFileLock, option: str) -> None:
    """Hold a lock; make its folder if need be. Messages name `option`, the option with which the user gave the folder.

    Raises:
        FileExistsError: another training holds it.
        OSError: its file cannot be written.
    """
    file = Path(lock.lock_file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise FileExistsError(
            f"Another training writes to {file.parent} (it holds the lock {file}); nothing was changed. Wait until it "
            f"has ended, or name another {option}."
        ) from None
    except OSError as error:
        raise OSError(
            f"The run folder cannot be locked: {file}: {error.strerror or error}. Name a folder with {option} that can "
            "be written to, on a file system with file locks."
        ) from error
