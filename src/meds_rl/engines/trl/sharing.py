"""This process's share of a batch's work, where several train together."""

from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object

from meds_rl.memory.sharing import ALONE, Share


class ProcessShare:
    """One of several processes that accelerate has started; each holds the same memory.

    Args:
        accelerator: knows them.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.rank: int = accelerator.process_index
        self.size: int = accelerator.num_processes

    def exchange(self, value: Any) -> list[Any]:
        """Hand a picklable value to all processes; returns theirs, by rank."""
        values: list[Any] = gather_object([value])
        return values


def share_of(accelerator: Accelerator) -> Share:
    """The share of this process; of a single one, everything."""
    return ALONE if accelerator.num_processes == 1 else ProcessShare(accelerator)
