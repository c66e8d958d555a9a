"""With what a completion is compared: its prompt's memory (as published), that of all prompts, or only this batch."""

from typing import Literal, TypeAlias

import numpy as np

from meds_rl.checks import has_answer
from meds_rl.labels import NO_ANSWER
from meds_rl.memory.clustering import NO_TREE, Clustering, check_labels, incremental
from meds_rl.memory.entry import Assigned
from meds_rl.memory.vote import canonical_order, unit_vectors
from meds_rl.shaping.groups import Side, merged

Scope: TypeAlias = Literal["prompt", "global", "batch"]

ALL_PROMPTS = "all prompts"
"""The one prompt id of a memory of scope "global"."""


def of_all_prompts(sides: list[Side]) -> list[Side]:
    """The wrong rows of all prompts as one side, and the right ones: what a global memory is visited by."""
    by_side = {right: [side for side in sides if side.is_correct == right] for right in (False, True)}
    return [merged(ALL_PROMPTS, right, found) for right, found in by_side.items() if found]


def compared_in_batch(side: Side, clustering: Clustering) -> Assigned:
    """Clusters and sizes (m,) of a side's completions among themselves, each one's own copy left out.

    They are clustered together; nobody votes. |C| is the number of the others in one's cluster, of the noise points
    the other noise points, and without an answer the others without.

    Example:
        >>> from meds_rl.shaping.clusterings import ExactClustering
        >>> rows = np.array([[1, 0], [0, 1], [1, 0], [np.nan, np.nan]], dtype=np.float32)
        >>> compared_in_batch(Side("x", False, np.arange(4), rows), ExactClustering()).sizes.tolist()
        [1, 0, 1, 0]
    """
    answered = has_answer(side.features)
    clusters = np.full(len(side.features), NO_ANSWER, dtype=np.int64)
    if answered.any():
        # In an order that depends on the rows alone, so that clusters are numbered alike however the rows come.
        rows = np.flatnonzero(answered)
        rows = rows[canonical_order(side.features[rows])]
        points = unit_vectors(side.features[rows])
        labels = incremental(clustering).refit(points, NO_TREE, np.full(len(points), -1)).labels
        clusters[rows] = check_labels(labels, len(points))
    _, found, counts = np.unique(clusters, return_inverse=True, return_counts=True)
    return Assigned(clusters, (counts[found] - 1).astype(np.int64))
