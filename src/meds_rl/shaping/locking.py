"""A lock that copies, pickles and forks leave open."""

import os
import sys
import threading
import weakref
from typing import Any


class BatchLock:
    """Makes several calls one whole among threads; the thread that holds it may take it again.

    A copy, one out of a pickle, and one in a forked process are new and open: the threads that may have held the
    first are not there.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _LOCKS.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()

    def open_anew(self) -> None:
        """Forget who holds it."""
        self._lock = threading.RLock()


_LOCKS: "weakref.WeakSet[BatchLock]" = weakref.WeakSet()


def _open_all() -> None:
    for lock in list(_LOCKS):
        lock.open_anew()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_open_all)
