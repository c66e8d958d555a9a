"""What is remembered of each prompt: entries, clusters, the vote of the nearest, and the file that stores them."""

from meds_rl.memory.clustering import (
    Clustering,
    HDBSCANClustering,
    IncrementalClustering,
    Refit,
    equal_vectors,
    hdbscan_labels,
)
from meds_rl.memory.entry import Assigned, MemoryEntry, Visit
from meds_rl.memory.file import SCHEMA_VERSION, MemoryFileError
from meds_rl.memory.memory import ErrorMemory
from meds_rl.memory.recall import GroupVisit, Kept, RightCompletion

__all__ = [
    "SCHEMA_VERSION",
    "Assigned",
    "Clustering",
    "ErrorMemory",
    "GroupVisit",
    "HDBSCANClustering",
    "IncrementalClustering",
    "Kept",
    "MemoryEntry",
    "MemoryFileError",
    "Refit",
    "RightCompletion",
    "Visit",
    "equal_vectors",
    "hdbscan_labels",
]
