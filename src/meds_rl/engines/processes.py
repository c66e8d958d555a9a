"""Calls over all processes of torch.distributed, each of which has a part of the rows; without it, over this one.

torch is not imported here: if the trainer has not imported it, there is one process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


def rank() -> int:
    """The number of this process, from 0."""
    distributed = _distributed()
    return 0 if distributed is None else int(distributed.get_rank())


def of_all_processes(function: Callable[[], Result]) -> list[Result]:
    """Call a function in each process and return all results, by rank. Every process must call this.

    Raises:
        RuntimeError: the function failed in another process. The process where it failed raises the error itself.
    """
    distributed = _distributed()
    if distributed is None:
        return [function()]
    returned: list[Any] = [None] * distributed.get_world_size()
    mine: tuple[Result | None, str | None] = (None, None)
    try:
        mine = function(), None
    except Exception as error:
        mine = None, f"{type(error).__name__}: {error}"
        raise
    finally:
        distributed.all_gather_object(returned, mine)
    for number, (_, failure) in enumerate(returned):
        if failure is not None:
            raise RuntimeError(f"process {number} failed: {failure}")
    return [result for result, _ in returned]


def on_first_process(function: Callable[[], Result]) -> Result:
    """Call a function in the first process and return its result in each. Every process must call this.

    Raises:
        RuntimeError: the function failed. The first process raises the error itself.
    """
    distributed = _distributed()
    if distributed is None:
        return function()
    shared: list[Any] = [None, None]  # result, failure
    try:
        if distributed.get_rank() == 0:
            shared[0] = function()
    except Exception as error:
        shared[1] = f"process 0 failed: {type(error).__name__}: {error}"
        raise
    finally:
        distributed.broadcast_object_list(shared, src=0)
    if shared[1] is not None:
        raise RuntimeError(shared[1])
    result: Result = shared[0]
    return result


def _distributed() -> Any:
    """torch.distributed if several processes run; None for one process."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed if distributed.get_world_size() > 1 else None
