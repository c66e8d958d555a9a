"""The method, in numpy: penalty -> clustering -> memory -> shaper. It knows no engine."""

from meds_rl.shaping.advantage import group_advantages
from meds_rl.shaping.checks import PromptId
from meds_rl.shaping.clustering import (
    Clustering,
    HDBSCANClustering,
    IncrementalClustering,
    Refit,
    hdbscan_labels,
)
from meds_rl.shaping.entry import MemoryEntry
from meds_rl.shaping.labels import NO_ANSWER, NOISE, NOT_SCORED, UNSEEN
from meds_rl.shaping.memory import Assigned, ErrorMemory, Renewal, Visit
from meds_rl.shaping.penalty import penalty
from meds_rl.shaping.result import Reason, ShapedBatch
from meds_rl.shaping.shaper import RewardShaper
from meds_rl.shaping.sharing import Share
from meds_rl.shaping.storage import SCHEMA_VERSION, MemoryFileError

__all__ = [
    "NOISE",
    "NOT_SCORED",
    "NO_ANSWER",
    "SCHEMA_VERSION",
    "UNSEEN",
    "Assigned",
    "Clustering",
    "ErrorMemory",
    "HDBSCANClustering",
    "IncrementalClustering",
    "MemoryEntry",
    "MemoryFileError",
    "PromptId",
    "Reason",
    "Refit",
    "Renewal",
    "RewardShaper",
    "ShapedBatch",
    "Share",
    "Visit",
    "group_advantages",
    "hdbscan_labels",
    "penalty",
]
