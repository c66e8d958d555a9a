"""How well clusters agree with known labels: planted strategies, answers, an annotator's categories."""

from collections.abc import Hashable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.labels import NOISE

Noise: TypeAlias = Literal["group", "alone"]
"""Completions without a cluster (label -1): one "group", as in the authors' release, or each "alone"."""
Labels: TypeAlias = ArrayLike | Sequence[Any]

_NAN = object()


class Contingency(NamedTuple):
    """The contingency table: `rows` and `columns` (n,) number each completion's cluster and label; `clusters`, `labels`
    and `counts` (cells,) are the cells that are not empty, sorted by cluster, then by label."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    clusters: NDArray[np.int64]
    labels: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, clusters: ArrayLike, labels: Labels, noise: Noise) -> "Contingency":
        """Count; errors as `agreement`."""
        if noise not in ("group", "alone"):
            raise ValueError(f'noise must be "group" or "alone", got {noise!r}')
        own, columns = np.asarray(clusters), numbered(labels)
        if own.ndim != 1 or own.shape != columns.shape:
            raise ValueError(f"clusters and labels must be (n,) both, got shapes {own.shape} and {columns.shape}")
        if not len(own):
            raise ValueError("there is nothing to compare: clusters and labels are empty")
        if own.dtype.kind not in "iu":
            raise TypeError(f"clusters must be integers, got dtype {own.dtype}")
        rows = np.unique(own, return_inverse=True)[1].astype(np.int64)
        if noise == "alone":
            alone = np.flatnonzero(own == NOISE)
            rows[alone] = len(own) + alone
            rows = np.unique(rows, return_inverse=True)[1].astype(np.int64)
        width = int(columns.max()) + 1
        cells, counts = np.unique(rows * width + columns, return_counts=True)
        return cls(rows, columns, cells // width, cells % width, counts.astype(np.int64))


def numbered(labels: Labels) -> NDArray[np.int64]:
    """(n,) labels as numbers, equal where Python compares them as equal; NaN equals NaN. ValueError for other shapes.

    NumPy would convert texts to a common width, make 1 and "1" one label, and drop trailing zero characters.

    Example:
        >>> numbered([1, "1", "a", None, ("a", 2), "a"]).tolist()
        [0, 1, 2, 3, 4, 2]
    """
    if isinstance(labels, np.ndarray) and labels.dtype.kind != "O":
        if labels.ndim != 1:
            raise ValueError(f"labels must be (n,), got shape {labels.shape}")
        return np.unique(labels, return_inverse=True)[1].astype(np.int64)
    values: list[Any] = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)  # type: ignore[arg-type]
    numbers: dict[Hashable, int] = {}
    try:
        found = [numbers.setdefault(_comparable(label), len(numbers)) for label in values]
    except TypeError:
        raise ValueError("labels must be (n,): numbers, texts, None or tuples of them") from None
    return np.array(found, dtype=np.int64)


def _comparable(label: Any) -> Hashable:
    return _NAN if isinstance(label, (float, np.floating)) and label != label else label


class Agreement(NamedTuple):
    """How well clusters agree with labels, by the functions of this module.

    `nmi`, the normalised mutual information by the arithmetic mean of the two entropies, equals `v_measure`.
    """

    adjusted_rand: float
    purity: float
    splits: float
    homogeneity: float
    completeness: float
    v_measure: float
    nmi: float
    percentage: float


def agreement(clusters: ArrayLike, labels: Labels, *, noise: Noise = "group") -> Agreement:
    """All measures of this module at once.

    Args:
        clusters: (n,) integers; -1 for no cluster.
        labels: (n,) integers or texts; None is a label, too.
        noise: whether completions without a cluster are one "group" or each "alone".

    Raises:
        TypeError: The clusters are not integers.
        ValueError: Nothing to compare, different lengths, more than one axis, or an unknown `noise`.

    Example:
        >>> found = agreement([0, 0, 1, 1, 1], ["sign", "sign", "sign", "order", "order"])
        >>> round(found.adjusted_rand, 4), found.purity, round(found.splits, 4), found.percentage
        (0.1667, 0.8, 1.5339, 80.0)
    """
    table = Contingency.of(clusters, labels, noise)
    homogeneity, completeness, v = _v_measure(table)
    parts = _adjusted_rand(table), _purity(table), _splits(table)
    return Agreement(*parts, homogeneity, completeness, v, v, _percentage(table))


def adjusted_rand(clusters: ArrayLike, labels: Labels, *, noise: Noise = "group") -> float:
    """Adjusted Rand index (Hubert and Arabie 1985) of the two partitions, by scikit-learn.

    Over all pairs of completions, with tp pairs together in both, fp in the clusters only, fn in the labels only and tn
    in neither: 2 (tp tn - fn fp) / ((tp + fn)(fn + tn) + (tp + fp)(fp + tn)). 1 if no pair differs (also for a single
    completion), 0 on average for random clusters of the same sizes; it may be negative. Arguments as `agreement`.

    Example:
        >>> adjusted_rand([0, 0, 1, 1], ["b", "b", "a", "a"])
        1.0
        >>> adjusted_rand([0, 1, 0, 1], ["b", "b", "a", "a"])
        -0.5
    """
    return _adjusted_rand(Contingency.of(clusters, labels, noise))


def v_measure(clusters: ArrayLike, labels: Labels, *, noise: Noise = "group") -> tuple[float, float, float]:
    """Homogeneity, completeness and V-measure (Rosenberg and Hirschberg 2007), by scikit-learn.

    Homogeneity is 1 - H(label | cluster) / H(label), 1 if no cluster mixes labels; completeness is
    1 - H(cluster | label) / H(cluster), 1 if no label is split; V is their harmonic mean, the normalised mutual
    information. Where an entropy is 0 the value is 1. It is not adjusted for chance: many small clusters agree with
    anything to some degree, so read it with `adjusted_rand`. Arguments as `agreement`.

    Example:
        >>> found = v_measure([0, 1, 2, 2], ["a", "a", "b", "b"])  # H(cluster) is 1.5 bits, .5 of them within labels
        >>> [round(value, 4) for value in found]
        [1.0, 0.6667, 0.8]
    """
    return _v_measure(Contingency.of(clusters, labels, noise))


def purity(clusters: ArrayLike, labels: Labels, *, noise: Noise = "group") -> float:
    """Fraction of completions with the most common label of their cluster: (1/n) sum_c max_l n_cl.

    1 if no cluster mixes labels, also if every completion is its own cluster: read it with `splits`. Arguments as
    `agreement`.

    Example:
        >>> purity([0, 0, 0, 1], ["a", "a", "b", "b"])
        0.75
    """
    return _purity(Contingency.of(clusters, labels, noise))


def splits(clusters: ArrayLike, labels: Labels, *, noise: Noise = "group") -> float:
    """Into how many clusters a label is split: the effective number, averaged over completions.

    For label l with fractions p_c = n_cl / n_l in the clusters c: exp(-sum_c p_c ln p_c), which is k for k equal parts,
    averaged with weights n_l. 1 if no label is split, also if there is one cluster: read it with `purity`. Arguments as
    `agreement`.

    Example:
        >>> splits([0, 0, 1, 1], ["a", "a", "a", "a"])
        2.0
    """
    return _splits(Contingency.of(clusters, labels, noise))


def agreement_percentage(clusters: ArrayLike, labels: Labels, *, noise: Noise = "group") -> float:
    """Percentage of completions whose label is the one matched to their cluster ("clustering accuracy").

    (100/n) max_s sum_c n_{c,s(c)}, where s matches each cluster to at most one label and each label to at most one
    cluster (the assignment problem). The paper reports agreement percentages with an LLM's labels without saying how
    they are matched; this is our reading. Of a split label only the largest part counts, while `purity` never falls
    when clusters are split. One single cluster gets the fraction of the most common label. Arguments as `agreement`.

    Example:
        >>> agreement_percentage([0, 0, 1, 1, 2], ["a", "a", "a", "b", "b"])  # 0 is a (2), 1 or 2 is b (1): 3 of 5
        60.0
        >>> agreement_percentage([0, 0, 0, 0], ["a", "a", "a", "b"])
        75.0
    """
    return _percentage(Contingency.of(clusters, labels, noise))


def _adjusted_rand(table: Contingency) -> float:
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(table.columns, table.rows))


def _v_measure(table: Contingency) -> tuple[float, float, float]:
    from sklearn.metrics import homogeneity_completeness_v_measure

    # scikit-learn's values may miss 0 and 1 by a few 1e-16.
    values = np.clip(homogeneity_completeness_v_measure(table.columns, table.rows), 0.0, 1.0)
    homogeneity, completeness, v = values.tolist()
    return homogeneity, completeness, v


def _purity(table: Contingency) -> float:
    starts = np.flatnonzero(np.diff(table.clusters, prepend=-1))  # cells are sorted by cluster
    return float(np.maximum.reduceat(table.counts, starts).sum() / table.counts.sum())


def _splits(table: Contingency) -> float:
    order = np.argsort(table.labels, kind="stable")
    labels, counts = table.labels[order], table.counts[order]
    sums = np.bincount(labels, weights=counts)
    shares = counts / sums[labels]
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    entropies = -np.add.reduceat(shares * np.log(shares), starts)
    return float((sums * np.exp(entropies)).sum() / sums.sum())


def _percentage(table: Contingency) -> float:
    """The assignment problem, by scipy; each connected part of the table by itself, which keeps large tables cheap."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    num_clusters, num_labels = int(table.clusters.max()) + 1, int(table.labels.max()) + 1
    size = num_clusters + num_labels
    links = coo_matrix((np.ones(len(table.counts)), (table.clusters, num_clusters + table.labels)), shape=(size, size))
    part = connected_components(links, directed=False)[1][table.clusters]
    order = np.argsort(part, kind="stable")
    starts = np.flatnonzero(np.diff(part[order])) + 1
    matched = sum(_matched(table, cells) for cells in np.split(order, starts))
    return 100 * matched / int(table.counts.sum())


def _matched(table: Contingency, cells: NDArray[np.int64]) -> int:
    from scipy.optimize import linear_sum_assignment

    if len(cells) == 1:
        return int(table.counts[cells[0]])
    rows = np.unique(table.clusters[cells], return_inverse=True)[1]
    columns = np.unique(table.labels[cells], return_inverse=True)[1]
    dense = np.zeros((int(rows.max()) + 1, int(columns.max()) + 1), dtype=np.int64)
    dense[rows, columns] = table.counts[cells]
    return int(dense[linear_sum_assignment(dense, maximize=True)].sum())
