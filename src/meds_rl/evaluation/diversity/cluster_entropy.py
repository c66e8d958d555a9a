"""Cluster entropy: how evenly a problem's completions spread over clusters of errors."""

import numpy as np
from numpy.typing import ArrayLike

from meds_rl.evaluation.agreement import Noise
from meds_rl.evaluation.diversity.answer_entropy import answer_entropy
from meds_rl.shaping.labels import NOISE


def cluster_entropy(clusters: ArrayLike, *, noise: Noise = "group", normalize: bool = False) -> float:
    """Shannon entropy of the cluster labels of one problem, in nats: -sum_c p_c ln p_c, p_c the share of cluster c.

    From 0 (one cluster) to ln n. It is as good as the clusters are: where they are not the errors (see `agreement`), it
    says how the fingerprints lie, no more. Clusters made of more completions are more and finer.

    Args:
        clusters: (n,) integers; -1 for no cluster. -2, "no answer", is a cluster like any other.
        noise: What those in no cluster are: one "group", as the authors' release counts them, or each "alone".
        normalize: Divided by ln n.

    Returns:
        The entropy; NaN without completions, and normalised also for a single one.

    Raises:
        TypeError: The clusters are not integers.
        ValueError: More than one axis, or an unknown `noise`.

    Example:
        >>> round(cluster_entropy([0, 0, 1, 1]), 4)  # ln 2
        0.6931
        >>> round(cluster_entropy([0, 0, -1, -1], noise="alone"), 4)  # .5 ln 2 + 2 (.25 ln 4)
        1.0397
    """
    labels = np.asarray(clusters)
    if noise not in ("group", "alone"):
        raise ValueError(f'noise must be "group" or "alone", got {noise!r}')
    if labels.ndim != 1:
        raise ValueError(f"clusters must be (n,), got shape {labels.shape}")
    if labels.size and labels.dtype.kind not in "iu":
        raise TypeError(f"clusters must be integers, got dtype {labels.dtype}")
    names = [
        (label, row if label == NOISE and noise == "alone" else -1)
        for row, label in enumerate(labels.tolist())
    ]
    return answer_entropy(names, normalize=normalize)
