"""meds-rl: reinforcement learning of language models with a memory of past mistakes (MEDS, arXiv 2604.11297).

The core below needs numpy only; torch, TRL and verl are imported by the adapters in :mod:`meds_rl.engines`.
"""

from typing import TYPE_CHECKING, Any

from meds_rl.memory.entry import MemoryEntry
from meds_rl.memory.file import MemoryFileError
from meds_rl.memory.memory import ErrorMemory
from meds_rl.shaping.penalty import penalty
from meds_rl.shaping.result import ShapedBatch
from meds_rl.shaping.shaper import RewardShaper

if TYPE_CHECKING:
    from meds_rl.engines.reward import RepeatedErrorPenalty
    from meds_rl.hdbscan.incremental import IncrementalHDBSCAN

__version__ = "0.1.0"

__all__ = [
    "ErrorMemory",
    "IncrementalHDBSCAN",
    "MemoryEntry",
    "MemoryFileError",
    "RepeatedErrorPenalty",
    "RewardShaper",
    "ShapedBatch",
    "__version__",
    "penalty",
]


if not TYPE_CHECKING:  # or type checkers would take any name

    def __getattr__(name: str) -> Any:
        # Loaded when they are asked for: scikit-learn takes longer to import than all of meds_rl.
        if name == "IncrementalHDBSCAN":
            from meds_rl.hdbscan.incremental import IncrementalHDBSCAN

            return IncrementalHDBSCAN
        if name == "RepeatedErrorPenalty":
            from meds_rl.engines.reward import RepeatedErrorPenalty

            return RepeatedErrorPenalty
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
