"""What is remembered of each prompt: entries, their clusters, the vote of the nearest, and the file that keeps them."""

from meds_rl.memory.clustering import (
    Clustering,
    HDBSCANClustering,
    IncrementalClustering,
    Refit,
    hdbscan_labels,
)
from meds_rl.memory.entry import Assigned, MemoryEntry, Renewal, Visit
from meds_rl.memory.file import SCHEMA_VERSION, MemoryFileError
from meds_rl.memory.memory import ErrorMemory
from meds_rl.memory.sharing import Share

__all__ = [
    "SCHEMA_VERSION",
    "Assigned",
    "Clustering",
    "ErrorMemory",
    "HDBSCANClustering",
    "IncrementalClustering",
    "MemoryEntry",
    "MemoryFileError",
    "Refit",
    "Renewal",
    "Share",
    "Visit",
    "hdbscan_labels",
]
