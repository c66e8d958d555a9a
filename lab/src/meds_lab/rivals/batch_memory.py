"""The batch only: a completion is compared with the other scored completions of its group. No memory.

HDBSCAN finds almost no clusters among eight completions. ``clustering: count`` counts equal fingerprints, which gives
*batch counts*: if n_k errors of the group have the fingerprint k, then |C| = n_k - 1 (the completion itself is not
counted), and the penalty min(alpha ln(|C| + 1), beta) is min(alpha ln n_k, beta). Use it with a fingerprint that is
equal for equal errors: ``answer_string``, ``steps`` or ``outcome``. For true names, ``rival: named`` has
``batch_only``.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from meds_rl import ErrorMemory
from meds_rl.checks import check_choice, check_features, has_answer
from meds_rl.engines.settings import make_hdbscan
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.engines.trl.batch import Batch, Features
from meds_rl.labels import NO_ANSWER
from meds_rl.memory import Assigned, Visit, equal_vectors
from meds_rl.memory.clustering import Clustering


class BatchMemory(ErrorMemory):
    """Remembers nothing, and compares the rows of a visit with each other.

    The rows are clustered together, without a vote. |C| is the number of other rows in a row's cluster. Noise counts as
    one cluster, and so do rows without an answer.

    Example:
        >>> rows = np.array([[1, 0], [0, 1], [1, 0], [np.nan, np.nan]], dtype=np.float32)
        >>> BatchMemory(equal_vectors).assign("x", rows).sizes.tolist()
        [1, 0, 1, 0]
    """

    def assign_batch(
        self, visits: Sequence[Visit], *, n_neighbors: int = 3, max_distance: float | None = None
    ) -> list[Assigned]:
        """Clusters and sizes of each visit's rows."""
        return [self._compared(check_features(visit.features)) for visit in visits]

    def remember_batch(self, visits: Sequence[Visit]) -> list[NDArray[np.int64]]:
        """Ids of -1, as nothing is remembered."""
        return [np.full(len(check_features(visit.features)), -1, dtype=np.int64) for visit in visits]

    def _compared(self, rows: NDArray[np.float32]) -> Assigned:
        clusters = np.full(len(rows), NO_ANSWER, dtype=np.int64)
        answered = np.flatnonzero(has_answer(rows))
        if len(answered):
            # A new memory, filled once: its clusters do not depend on the order of the rows.
            fresh = ErrorMemory(self.clustering, num_threads=1)
            ids = fresh.remember("x", rows[answered])
            entry = fresh.entry("x")
            if entry is not None:
                label_of = dict(zip(entry.ids.tolist(), entry.clusters.tolist(), strict=True))
                clusters[answered] = [label_of[row] for row in ids.tolist()]
        _, found, counts = np.unique(clusters, return_inverse=True, return_counts=True)
        return Assigned(clusters, (counts[found] - 1).astype(np.int64))


class BatchTrainer(MEDSTrainer):
    """`MEDSTrainer` whose memory is visited by groups: two groups of one prompt in a batch are not compared."""

    def shape(self, batch: Batch, features: Features) -> None:
        """Shape with each group as a prompt of its own."""
        prompt_ids = batch.prompt_ids
        batch.prompt_ids = batch.group_ids.tolist()
        try:
            super().shape(batch, features)
        finally:
            batch.prompt_ids = prompt_ids


def clustering_of(name: str, args: MEDSConfig) -> Clustering:
    """HDBSCAN with the settings of ``args``, or for "count" the clusters of equal fingerprints."""
    check_choice("clustering", name, ("hdbscan", "count"))
    return equal_vectors if name == "count" else make_hdbscan(args.settings)


def trainer(
    model: Any,
    reward_funcs: Any,
    args: MEDSConfig,
    train_dataset: Any,
    *,
    clustering: Literal["hdbscan", "count"] = "hdbscan",
    **kwargs: Any,
) -> MEDSTrainer:
    """A `BatchTrainer`.

    Args:
        model, reward_funcs, args, train_dataset, kwargs: as in `MEDSTrainer`.
        clustering: "hdbscan" with the settings of ``args``, or "count".
    """
    memory = BatchMemory(clustering_of(clustering, args))
    return BatchTrainer(model, reward_funcs, args, train_dataset, memory=memory, **kwargs)
