"""Which remembered errors are the same error: HDBSCAN on unit vectors, as in the paper."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from meds_rl.shaping.labels import NOISE

Clustering: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.integer]]
"""From unit vectors (n, D), n >= 1, to one label each (n,): clusters 0, 1, 2, ... and NOISE (-1)."""


def hdbscan_labels(unit_vectors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Cluster labels (n,) of one prompt's unit vectors (n, D): HDBSCAN with the paper's settings.

    Euclidean distance, `min_cluster_size` 2, excess of mass, no single cluster at the root. `min_samples` is
    1 in the paper, which is hdbscan's count; scikit-learn counts the point itself too, so it is 2 here.
    A single tight group comes back as all noise, since nothing splits off the root.

    Example:
        >>> angles = np.array([0.0, 0.01, 0.02, 1.5, 1.51])
        >>> hdbscan_labels(np.stack([np.cos(angles), np.sin(angles)], axis=1)).tolist()
        [0, 0, 0, 1, 1]
        >>> hdbscan_labels(np.ones((4, 1))).tolist()
        [-1, -1, -1, -1]
    """
    if len(unit_vectors) < 2:
        return np.full(len(unit_vectors), NOISE, dtype=np.int64)
    from sklearn.cluster import HDBSCAN  # scikit-learn takes longer to import than all of meds_rl

    # kd_tree measures every distance directly. "brute" expands |a - b|^2 and puts equal vectors 1e-8 apart.
    model = HDBSCAN(min_cluster_size=2, min_samples=2, metric="euclidean", algorithm="kd_tree", copy=True)
    return np.asarray(model.fit_predict(unit_vectors), dtype=np.int64)


def labels_from(clustering: Clustering, unit_vectors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Labels (n,) int64 from any clustering function, checked: one integer >= -1 for each of n vectors."""
    labels = np.asarray(clustering(unit_vectors))
    if labels.shape != (len(unit_vectors),):
        raise ValueError(f"clustering must return {len(unit_vectors)} labels, got shape {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"clustering must return integer labels, got dtype {labels.dtype}")
    if labels.min(initial=0) < NOISE:
        raise ValueError(f"clustering must return labels of {NOISE} (noise) or more, got {labels.min()}")
    return labels.astype(np.int64)
