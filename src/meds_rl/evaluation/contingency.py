"""Clusters against labels, counted: the table that the measures of agreement are made from."""

from collections.abc import Hashable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.shaping.labels import NOISE

Noise: TypeAlias = Literal["group", "alone"]
"""What the members of no cluster (label -1) are: "group", one cluster like any other, as the authors' release counts
them; "alone", each a cluster of its own."""


class Contingency(NamedTuple):
    """n completions, each in a cluster and of a label, both numbered; and the cells of the table that are not empty.

    Attributes:
        rows, columns: (n,) the cluster and the label of each completion.
        clusters, labels, counts: (cells,) cell i holds `counts[i]` completions of that cluster and that label; the
            cells are in ascending order of the cluster, then of the label.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    clusters: NDArray[np.int64]
    labels: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, clusters: ArrayLike, labels: ArrayLike | Sequence[Any], noise: Noise) -> "Contingency":
        """Count.

        Raises:
            TypeError: The clusters are not integers.
            ValueError: Nothing to compare, different lengths, more than one axis, or an unknown `noise`.
        """
        if noise not in ("group", "alone"):
            raise ValueError(f'noise must be "group" or "alone", got {noise!r}')
        own, true = np.asarray(clusters), np.asarray(labels)
        if own.ndim != 1 or own.shape != true.shape:
            raise ValueError(
                f"clusters and labels must be (n,) both, got shapes {own.shape} and {true.shape}"
            )
        if not len(own):
            raise ValueError("there is nothing to compare: clusters and labels are empty")
        if own.dtype.kind not in "iu":
            raise TypeError(f"clusters must be integers, got dtype {own.dtype}")
        rows = np.unique(own, return_inverse=True)[1].astype(np.int64)
        if noise == "alone":
            nowhere = np.flatnonzero(own == NOISE)
            rows[nowhere] = len(own) + nowhere
            rows = np.unique(rows, return_inverse=True)[1].astype(np.int64)
        columns = _numbered(true)
        width = int(columns.max()) + 1
        cells, counts = np.unique(rows * width + columns, return_counts=True)
        return cls(rows, columns, cells // width, cells % width, counts.astype(np.int64))


def totals(names: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """(k,) the counts of each name, summed, in ascending order of the names."""
    inverse = np.unique(names, return_inverse=True)[1]
    return np.bincount(inverse, weights=counts).astype(np.int64)


def _numbered(labels: NDArray[Any]) -> NDArray[np.int64]:
    if labels.dtype.kind != "O":
        return np.unique(labels, return_inverse=True)[1].astype(np.int64)
    numbers: dict[Hashable, int] = {}  # None among texts ("no answer") has no order to sort by
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels.tolist()], dtype=np.int64)
