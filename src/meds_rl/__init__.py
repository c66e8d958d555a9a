"""meds-rl: reinforcement learning of language models with a memory of past mistakes (MEDS, arXiv 2604.11297).

The core below needs numpy only; torch, TRL and verl are imported by the adapters in :mod:`meds_rl.engines`.
"""

from meds_rl.shaping.memory import ErrorMemory, MemoryEntry
from meds_rl.shaping.penalty import penalty
from meds_rl.shaping.result import ShapedBatch
from meds_rl.shaping.shaper import RewardShaper
from meds_rl.shaping.storage import MemoryFileError

__version__ = "0.1.0"

__all__ = [
    "ErrorMemory",
    "MemoryEntry",
    "MemoryFileError",
    "RewardShaper",
    "ShapedBatch",
    "__version__",
    "penalty",
]
