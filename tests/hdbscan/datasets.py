"""Random data sets of many kinds."""

import numpy as np

KINDS = ("normal", "blobs", "sphere", "copies", "collinear", "uneven", "grid", "constant")


def data_set(rng, kind, n, n_features):
    """(n, n_features) points. On a grid many distances tie; in copies only those of 0 between identical points do."""
    normal = rng.normal(size=(n, n_features))
    if kind == "blobs":
        return normal + 6 * rng.integers(0, 4, size=(n, 1))
    if kind == "sphere":
        centres = rng.normal(size=(4, n_features))
        points = centres[rng.integers(0, 4, size=n)] + 0.2 * normal
        return points / np.linalg.norm(points, axis=1, keepdims=True)
    if kind == "copies":
        return normal[rng.integers(0, max(n // 2, 1), size=n)]
    if kind == "collinear":
        return rng.normal(size=(n, 1)) * np.arange(1.0, n_features + 1)
    if kind == "uneven":
        return normal * np.exp(2 * rng.normal(size=(n, 1)))
    if kind == "grid":
        return rng.integers(0, 4, size=(n, n_features)).astype(np.float64)
    if kind == "constant":
        return np.full((n, n_features), 0.1)
    return normal


def batches(rng, n):
    """Sizes that add up to n: single points, small and large batches, empty ones."""
    while n > 0:
        size = min(n, int(rng.choice([0, 1, 1, 2, 5, 16, 40, n, rng.integers(1, n + 1)])))
        yield size
        n -= size
