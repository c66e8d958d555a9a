"""Do the memory's clusters of a prompt's completions agree with strategies, also among completions of one answer?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.cluster import AgglomerativeClustering

from meds_lab.fingerprints.data import Data
from meds_lab.fingerprints.neighbours import unit
from meds_rl.evaluation.agreement import adjusted_rand
from meds_rl.memory.clustering import NO_TREE, ClusteringFunction, HDBSCANClustering


def _hdbscan(epsilon: float) -> ClusteringFunction:
    clustering = HDBSCANClustering(cluster_selection_epsilon=epsilon)
    return lambda points: clustering.refit(points, NO_TREE, np.full(len(points), -1)).labels


def _agglomerative(vectors: np.ndarray) -> np.ndarray:
    found = AgglomerativeClustering(n_clusters=None, distance_threshold=0.3, linkage="average")
    return np.asarray(found.fit_predict(vectors))


CLUSTERINGS: Mapping[str, ClusteringFunction] = {
    **{f"HDBSCAN, epsilon {epsilon}": _hdbscan(epsilon) for epsilon in (0.0, 0.1, 0.3)},
    "agglomerative, 0.3": _agglomerative,
}


def agreement_of(vectors: np.ndarray, data: Data, clustering: ClusteringFunction) -> tuple[float, float]:
    """Adjusted Rand index with strategies: of each problem's completions, and of those with one answer.

    Problems and answers count by their completions; answers that only one strategy leads to are left out.
    """
    strategy = next(iter(data.labels.values()))
    free, fixed = [], []
    for problem in np.unique(data.problem):
        rows = np.flatnonzero(data.problem == problem)
        labels = clustering(unit(vectors[rows].astype(np.float64)))
        free.append((len(rows), adjusted_rand(labels, strategy[rows])))
        for answer in np.unique(data.answer[rows]):
            same = data.answer[rows] == answer
            if len(np.unique(strategy[rows][same])) > 1:
                fixed.append((int(same.sum()), adjusted_rand(labels[same], strategy[rows][same])))
    return _mean(free), _mean(fixed)


def _mean(weighted: list[tuple[int, float]]) -> float:
    if not weighted:
        return float("nan")
    counts, values = zip(*weighted, strict=True)
    return float(np.average(values, weights=counts))
