"""How well clusters agree with labels that are known from elsewhere: planted strategies, answers, annotations."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.shaping.labels import NOISE

Noise: TypeAlias = Literal["group", "alone"]
"""What the members of no cluster (label -1) are: "group", one cluster like any other, as the authors' release counts
them; "alone", each a cluster of its own."""


class Agreement(NamedTuple):
    """How n clusters labels agree with n true ones.

    Attributes:
        adjusted_rand: `adjusted_rand`, 1 for the same partition, about 0 for one drawn at random.
        purity: `purity`, in (0, 1].
        splits: `splits`, 1 or more.
    """

    adjusted_rand: float
    purity: float
    splits: float


def agreement(clusters: ArrayLike, labels: ArrayLike | Sequence[Any], *, noise: Noise = "group") -> Agreement:
    """All measures of this module at once.

    Args:
        clusters: (n,) integers, one cluster a completion; -1 for none.
        labels: (n,) integers or texts, what each completion truly is. Every value is a label like any other.
        noise: Whether those in no cluster count as one "group" or each "alone".

    Raises:
        TypeError: The clusters are not integers.
        ValueError: Nothing to compare, different lengths, more than one axis, or an unknown `noise`.

    Example:
        >>> agreement([0, 0, 1, 1, 1], ["sign", "sign", "sign", "order", "order"])
        Agreement(adjusted_rand=0.16666666666666666, purity=0.8, splits=1.533...)
    """
    table = _Table.of(clusters, labels, noise)
    return Agreement(_adjusted_rand(table), _purity(table), _splits(table))


def adjusted_rand(clusters: ArrayLike, labels: ArrayLike | Sequence[Any], *, noise: Noise = "group") -> float:
    """Adjusted Rand index (Hubert and Arabie 1985) of the two partitions.

    Over all pairs of completions, with tp pairs together in both, fp together in the clusters only, fn together in the
    labels only and tn together in neither: 2 (tp tn - fn fp) / ((tp + fn)(fn + tn) + (tp + fp)(fp + tn)). 1 if no
    pair is judged differently (also for a single completion), 0 on average for clusters drawn at random with the
    same sizes; it may be negative.

    Args: and Raises: as `agreement`.

    Example:
        >>> adjusted_rand([0, 0, 1, 1], ["b", "b", "a", "a"])
        1.0
        >>> adjusted_rand([0, 1, 0, 1], ["b", "b", "a", "a"])
        -0.5
    """
    return _adjusted_rand(_Table.of(clusters, labels, noise))


def purity(clusters: ArrayLike, labels: ArrayLike | Sequence[Any], *, noise: Noise = "group") -> float:
    """Share of the completions that have the commonest label of their cluster: (1/n) sum_c max_l n_cl.

    1 if no cluster mixes labels, so also if every completion is a cluster of its own: read it beside `splits`.

    Args: and Raises: as `agreement`.

    Example:
        >>> purity([0, 0, 0, 1], ["a", "a", "b", "b"])
        0.75
    """
    return _purity(_Table.of(clusters, labels, noise))


def splits(clusters: ArrayLike, labels: ArrayLike | Sequence[Any], *, noise: Noise = "group") -> float:
    """Into how many clusters a label falls: the effective number, averaged over the completions.

    For label l with shares p_c = n_cl / n_l in the clusters c: exp(-sum_c p_c ln p_c), which is k for k equal parts.
    The average is weighted by n_l. 1 if no label is split, so also if everything is one cluster: read it beside
    `purity`.

    Args: and Raises: as `agreement`.

    Example:
        >>> splits([0, 0, 1, 1], ["a", "a", "a", "a"])
        2.0
    """
    return _splits(_Table.of(clusters, labels, noise))


class _Table(NamedTuple):
    """The contingency table, its empty cells left out: cell i holds `counts[i]` of cluster and label number ..."""

    clusters: NDArray[np.int64]
    labels: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, clusters: ArrayLike, labels: ArrayLike | Sequence[Any], noise: Noise) -> "_Table":
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
        columns = np.unique(true, return_inverse=True)[1].astype(np.int64)
        width = int(columns.max()) + 1
        cells, counts = np.unique(rows * width + columns, return_counts=True)
        return cls(cells // width, cells % width, counts.astype(np.int64))


def _adjusted_rand(table: _Table) -> float:
    # Python's integers: the products pass 2^63 from some 100,000 completions on.
    n = int(table.counts.sum())
    both = int((table.counts**2).sum())
    of_clusters, of_labels = (
        int((_totals(names, table.counts) ** 2).sum()) for names in (table.clusters, table.labels)
    )
    tp, fp, fn = both - n, of_clusters - both, of_labels - both
    tn = n * n - both - fp - fn
    if fp == fn == 0:
        return 1.0
    return 2 * (tp * tn - fn * fp) / ((tp + fn) * (fn + tn) + (tp + fp) * (fp + tn))


def _purity(table: _Table) -> float:
    starts = np.flatnonzero(np.diff(table.clusters, prepend=-1))  # cells come cluster by cluster
    return float(np.maximum.reduceat(table.counts, starts).sum() / table.counts.sum())


def _splits(table: _Table) -> float:
    order = np.argsort(table.labels, kind="stable")
    labels, counts = table.labels[order], table.counts[order]
    totals = _totals(labels, counts)
    shares = counts / np.repeat(totals, np.unique(labels, return_counts=True)[1])
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    entropies = -np.add.reduceat(shares * np.log(shares), starts)
    return float((totals * np.exp(entropies)).sum() / totals.sum())


def _totals(names: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """(k,) the counts of each name, summed, in ascending order of the names."""
    inverse = np.unique(names, return_inverse=True)[1]
    return np.bincount(inverse, weights=counts).astype(np.int64)
