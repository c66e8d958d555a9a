"""Clusters against labels, counted: the table that the measures of agreement are made from."""

from collections.abc import Hashable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.shaping.labels import NOISE

Noise: TypeAlias = Literal["group", "alone"]
"""What the members of no cluster (label -1) are: "group", one cluster like any other, as the authors' release counts
them; "alone", each a cluster of its own."""

_NAN = object()


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
        own, columns = np.asarray(clusters), numbered(labels)
        if own.ndim != 1 or own.shape != columns.shape:
            raise ValueError(
                f"clusters and labels must be (n,) both, got shapes {own.shape} and {columns.shape}"
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
        width = int(columns.max()) + 1
        cells, counts = np.unique(rows * width + columns, return_counts=True)
        return cls(rows, columns, cells // width, cells % width, counts.astype(np.int64))


def totals(names: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """(k,) the counts of each name, summed, in ascending order of the names."""
    inverse = np.unique(names, return_inverse=True)[1]
    return np.bincount(inverse, weights=counts).astype(np.int64)


def numbered(labels: ArrayLike | Sequence[Any]) -> NDArray[np.int64]:
    """(n,) labels as numbers, equal where they are equal as Python compares them; NaN equals NaN.

    Not through an array of texts: it gives each the width of the longest, makes 1 and "1" one label, and drops zero
    characters at the end.

    Raises:
        ValueError: More than one axis, or a label that cannot be compared (a list, a dict).

    Example:
        >>> numbered([1, "1", "a", None, ("a", 2), "a"]).tolist()
        [0, 1, 2, 3, 4, 2]
    """
    if isinstance(labels, np.ndarray) and labels.dtype.kind != "O":
        if labels.ndim != 1:
            raise ValueError(f"labels must be (n,), got shape {labels.shape}")
        return np.unique(labels, return_inverse=True)[1].astype(np.int64)
    numbers: dict[Hashable, int] = {}
    try:
        found = [numbers.setdefault(_comparable(label), len(numbers)) for label in _listed(labels)]
    except TypeError:
        raise ValueError("labels must be (n,): numbers, texts, None or tuples of them") from None
    return np.array(found, dtype=np.int64)


def _listed(labels: Any) -> list[Any]:
    return labels.tolist() if isinstance(labels, np.ndarray) else list(labels)


def _comparable(label: Any) -> Hashable:
    return _NAN if isinstance(label, (float, np.floating)) and label != label else label
