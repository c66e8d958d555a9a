"""How well clusters agree with labels that are known from elsewhere: planted strategies, answers, annotations."""

from collections.abc import Hashable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.labels import NOISE

# ---- Clusters against labels, counted: the table that the measures of agreement are made from.

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


# ---- The agreement percentage: the best that one label a cluster can do.


def best_matching(table: Contingency) -> int:
    """Most completions that lie in a cell of one-to-one pairs of clusters and labels.

    The assignment problem, solved by scipy; parts of the table that share neither a cluster nor a label are solved each
    by itself, so that a large table of small parts stays cheap.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    num_clusters, num_labels = int(table.clusters.max()) + 1, int(table.labels.max()) + 1
    size = num_clusters + num_labels
    links = coo_matrix(
        (np.ones(len(table.counts)), (table.clusters, num_clusters + table.labels)), shape=(size, size)
    )
    part = connected_components(links, directed=False)[1][table.clusters]
    order = np.argsort(part, kind="stable")
    starts = np.flatnonzero(np.diff(part[order])) + 1
    return sum(_matched(table, cells) for cells in np.split(order, starts))


def _matched(table: Contingency, cells: NDArray[np.int64]) -> int:
    from scipy.optimize import linear_sum_assignment

    if len(cells) == 1:
        return int(table.counts[cells[0]])
    rows = np.unique(table.clusters[cells], return_inverse=True)[1]
    columns = np.unique(table.labels[cells], return_inverse=True)[1]
    dense = np.zeros((int(rows.max()) + 1, int(columns.max()) + 1), dtype=np.int64)
    dense[rows, columns] = table.counts[cells]
    return int(dense[linear_sum_assignment(dense, maximize=True)].sum())


__all__ = [
    "Agreement",
    "Noise",
    "adjusted_rand",
    "agreement",
    "agreement_percentage",
    "purity",
    "splits",
    "v_measure",
]


class Agreement(NamedTuple):
    """How n clusters labels agree with n true ones.

    Attributes:
        adjusted_rand: `adjusted_rand`, 1 for the same partition, about 0 for one drawn at random.
        purity: `purity`, in (0, 1].
        splits: `splits`, 1 or more.
        homogeneity, completeness, v_measure: `v_measure`, each in [0, 1].
        nmi: normalised mutual information, by the arithmetic mean of the two entropies: the same number as `v_measure`.
        percentage: `agreement_percentage`, in (0, 100].
    """

    adjusted_rand: float
    purity: float
    splits: float
    homogeneity: float
    completeness: float
    v_measure: float
    nmi: float
    percentage: float


def agreement(clusters: ArrayLike, labels: ArrayLike | Sequence[Any], *, noise: Noise = "group") -> Agreement:
    """All measures of this module at once.

    Args:
        clusters: (n,) integers, one cluster a completion; -1 for none.
        labels: (n,) integers or texts, what each completion truly is. Every value is a label like any other, None too.
        noise: Whether those in no cluster count as one "group" or each "alone".

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
    return Agreement(
        _adjusted_rand(table),
        _purity(table),
        _splits(table),
        homogeneity,
        completeness,
        v,
        v,
        _percentage(table),
    )


def adjusted_rand(clusters: ArrayLike, labels: ArrayLike | Sequence[Any], *, noise: Noise = "group") -> float:
    """Adjusted Rand index (Hubert and Arabie 1985) of the two partitions, by scikit-learn.

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
    return _adjusted_rand(Contingency.of(clusters, labels, noise))


def v_measure(
    clusters: ArrayLike, labels: ArrayLike | Sequence[Any], *, noise: Noise = "group"
) -> tuple[float, float, float]:
    """Homogeneity, completeness and V-measure (Rosenberg and Hirschberg 2007), by scikit-learn.

    With entropies H over the completions: homogeneity 1 - H(label | cluster) / H(label), 1 if no cluster mixes labels;
    completeness 1 - H(cluster | label) / H(cluster), 1 if no label is split; V their harmonic mean, which equals the
    normalised mutual information 2 I / (H(cluster) + H(label)). A share of an entropy of 0 is 1. Not adjusted for
    chance: many small clusters agree with anything to some degree, so read it beside `adjusted_rand`.

    Args: and Raises: as `agreement`.

    Example:
        >>> found = v_measure([0, 1, 2, 2], ["a", "a", "b", "b"])  # H(cluster) is 1.5 bits, .5 of them within labels
        >>> [round(value, 4) for value in found]
        [1.0, 0.6667, 0.8]
    """
    return _v_measure(Contingency.of(clusters, labels, noise))


def purity(clusters: ArrayLike, labels: ArrayLike | Sequence[Any], *, noise: Noise = "group") -> float:
    """Share of the completions that have the commonest label of their cluster: (1/n) sum_c max_l n_cl.

    1 if no cluster mixes labels, so also if every completion is a cluster of its own: read it beside `splits`.

    Args: and Raises: as `agreement`.

    Example:
        >>> purity([0, 0, 0, 1], ["a", "a", "b", "b"])
        0.75
    """
    return _purity(Contingency.of(clusters, labels, noise))


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
    return _splits(Contingency.of(clusters, labels, noise))


def agreement_percentage(
    clusters: ArrayLike, labels: ArrayLike | Sequence[Any], *, noise: Noise = "group"
) -> float:
    """Percentage of the completions whose label is the one that their cluster stands for.

    (100/n) max_s sum_c n_{c,s(c)}, where s gives each cluster at most one label and each label to at most one
    cluster, and is the best that there is (the assignment problem; "clustering accuracy"). The paper reports
    agreement percentages of clusters with an LLM's labels and does not say how clusters and labels are matched; this
    is our reading. A label that is split counts only where its largest part is, unlike in `purity`, which never falls
    when clusters are cut up. It depends on how many labels are common: one single cluster has the share of the
    commonest label.

    Args: and Raises: as `agreement`.

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

    # Rounding: scikit-learn's parts of an entropy may miss 0 and 1 by a few 1e-16.
    values = np.clip(homogeneity_completeness_v_measure(table.columns, table.rows), 0.0, 1.0)
    homogeneity, completeness, v = values.tolist()
    return homogeneity, completeness, v


def _purity(table: Contingency) -> float:
    starts = np.flatnonzero(np.diff(table.clusters, prepend=-1))  # cells come cluster by cluster
    return float(np.maximum.reduceat(table.counts, starts).sum() / table.counts.sum())


def _splits(table: Contingency) -> float:
    order = np.argsort(table.labels, kind="stable")
    labels, counts = table.labels[order], table.counts[order]
    sums = totals(labels, counts)
    shares = counts / np.repeat(sums, np.unique(labels, return_counts=True)[1])
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    entropies = -np.add.reduceat(shares * np.log(shares), starts)
    return float((sums * np.exp(entropies)).sum() / sums.sum())


def _percentage(table: Contingency) -> float:
    return 100 * best_matching(table) / int(table.counts.sum())
