"""Puts fingerprints on a plane: t-SNE, which keeps neighbours together and says nothing about distances far apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_FOR_TSNE = 5
"""Different fingerprints; fewer are laid out along their two main directions."""

USUAL_PERPLEXITY = 30.0
APART = 0.01
"""How far equal fingerprints are drawn apart, as a share of the map's width: each point can be touched."""


def layout(vectors: NDArray[np.float32], seed: int) -> tuple[NDArray[np.float64], float | None]:
    """Lay out n fingerprints.

    Distances are those that the clustering sees: Euclidean between vectors of length 1. Equal fingerprints count once
    and are drawn side by side.

    Args:
        vectors: (n, D), n at least 1.
        seed: of t-SNE.

    Returns:
        (n, 2) positions, and the perplexity; None where there were too few different fingerprints for t-SNE.
    """
    unit = _unit(vectors.astype(np.float64))
    different, inverse = np.unique(unit.round(6), axis=0, return_inverse=True)
    inverse = inverse.ravel()
    perplexity = None
    if len(different) >= LEAST_FOR_TSNE:
        perplexity = min(USUAL_PERPLEXITY, (len(different) - 1) / 3)
        places = _tsne(different, perplexity, seed)
    else:
        places = _main_directions(different)
    return _apart(places, inverse), perplexity


def _tsne(unit: NDArray[np.float64], perplexity: float, seed: int) -> NDArray[np.float64]:
    from sklearn.manifold import TSNE

    # All directions that the points span: distances stay, and wide fingerprints cost no more than narrow ones.
    centred = unit - unit.mean(axis=0)
    if centred.shape[1] > len(centred):
        left, scales, _ = np.linalg.svd(centred, full_matrices=False)
        centred = left * scales
    # The main directions begin the map, on t-SNE's usual small scale; sklearn's own start divides by a variance that
    # may be 0.
    start = _main_directions(centred)
    start = (1e-4 * start / max(float(start[:, 0].std()), 1e-12)).astype(np.float32)
    found = TSNE(perplexity=perplexity, init=start, random_state=seed).fit_transform(centred)
    return np.asarray(found, dtype=np.float64)


def _main_directions(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) coordinates along the two directions of most variance, signs fixed."""
    left, scales, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    scores = (left * scales)[:, :2]
    scores = np.pad(scores, ((0, 0), (0, 2 - scores.shape[1])))
    largest = np.abs(scores).argmax(axis=0)
    signs = np.sign(scores[largest, [0, 1]])
    return np.asarray(scores * np.where(signs == 0, 1, signs))


def _apart(places: NDArray[np.float64], inverse: NDArray[np.intp]) -> NDArray[np.float64]:
    """Each point at its place; the second and later ones of a place on a sunflower's spiral around it."""
    order = np.argsort(inverse, kind="stable")
    counts = np.bincount(inverse)
    nth = np.empty(len(inverse), dtype=np.int64)
    nth[order] = np.arange(len(inverse)) - np.repeat(np.cumsum(counts) - counts, counts)
    width = float(np.ptp(places, axis=0).max()) or 1.0
    radius = APART * width * np.sqrt(nth)
    angle = nth * np.pi * (3 - np.sqrt(5))
    return np.asarray(places[inverse] + np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1))


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    # Scaled first: squares of large values overflow.
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0.0)
    scaled = vectors / np.where(largest > 0, largest, 1.0)
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.asarray(scaled / np.where(lengths > 0, lengths, 1.0))
