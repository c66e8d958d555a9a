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


def partition(clusters: ArrayLike, noise: Noise) -> NDArray[np.int64]:
    """(n,) clusters as numbers of 0 or more; "alone" gives each completion without a cluster a number of its own."""
    if noise not in ("group", "alone"):
        raise ValueError(f'noise must be "group" or "alone", got {noise!r}')
    given = np.asarray(clusters)
    if given.ndim != 1:
        raise ValueError(f"clusters must be (n,), got shape {given.shape}")
    if given.size and given.dtype.kind not in "iu":
        raise TypeError(f"clusters must be integers, got dtype {given.dtype}")
    numbers = np.unique(given, return_inverse=True)[1].astype(np.int64)
    if noise == "alone":
        alone = np.flatnonzero(given == NOISE)
        numbers[alone] = len(given) + alone
    return numbers


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
    pair = _numbers(clusters, labels, noise)
    homogeneity, completeness, v = v_measure(*pair)
    parts = adjusted_rand(*pair), purity(*pair), splits(*pair)
    return Agreement(*parts, homogeneity, completeness, v, v, agreement_percentage(*pair))


def adjusted_rand(clusters: ArrayLike, labels: Labels, *, noise: Noise = "group") -> float:
    """Adjusted Rand index (Hubert and Arabie 1985) of the two partitions, by scikit-learn; arguments as `agreement`.

    Over all pairs of completions, with tp pairs together in both, fp in the clusters only, fn in the labels only and tn
    in neither: 2 (tp tn - fn fp) / ((tp + fn)(fn + tn) + (tp + fp)(fp + tn)). 1 if no pair differs (also for a single
    completion), 0 on average for random clusters of the same sizes; it may be negative.

    Example:
        >>> adjusted_rand([0, 0, 1, 1], ["b", "b", "a", "a"]), adjusted_rand([0, 1, 0, 1], ["b", "b", "a", "a"])
        (1.0, -0.5)
    """
    from sklearn.metrics import adjusted_rand_score

    own, true = _numbers(clusters, labels, noise)
    return float(adjusted_rand_score(true, own))


def v_measure(clusters: ArrayLike, labels: Labels, *, noise: Noise = "group") -> tuple[float, float, float]:
    """Homogeneity, completeness and V-measure (Rosenberg and Hirschberg 2007), by scikit-learn; see `agreement`.

    Homogeneity is 1 - H(label | cluster) / H(label), 1 if no cluster mixes labels; completeness is
    1 - H(cluster | label) / H(cluster), 1 if no label is split; V is their harmonic mean, the normalised mutual
    information. Where an entropy is 0 the value is 1. It is not adjusted for chance: many small clusters agree with
    anything to some degree, so read it with `adjusted_rand`.

    Example:
        >>> found = v_measure([0, 1, 2, 2], ["a", "a", "b", "b"])  # H(cluster) is 1.5 bits, .5 of them within labels
        >>> [round(value, 4) for value in found]
        [1.0, 0.6667, 0.8]
    """
    from sklearn.metrics import homogeneity_completeness_v_measure

    own, true = _numbers(clusters, labels, noise)
    # scikit-learn's values may miss 0 and 1 by a few 1e-16.
    values = np.clip(homogeneity_completeness_v_measure(true, own), 0.0, 1.0)
    homogeneity, completeness, v = values.tolist()
    return homogeneity, completeness, v


def purity(clusters: ArrayLike, labels: Labels, *, noise: Noise = "group") -> float:
    """Fraction of completions with the most common label of their cluster: (1/n) sum_c max_l n_cl; see `agreement`.

    1 if no cluster mixes labels, also if every completion is its own cluster: read it with `splits`.

    Example:
        >>> purity([0, 0, 0, 1], ["a", "a", "b", "b"])
        0.75
    """
    table = _table(clusters, labels, noise)
    return float(table.max(axis=1).sum() / table.sum())


def splits(clusters: ArrayLike, labels: Labels, *, noise: Noise = "group") -> float:
    """Into how many clusters a label is split: the effective number, averaged over completions; see `agreement`.

    For label l with fractions p_c = n_cl / n_l in the clusters c: exp(-sum_c p_c ln p_c), which is k for k equal parts,
    averaged with weights n_l. 1 if no label is split, also if there is one cluster: read it with `purity`.

    Example:
        >>> splits([0, 0, 1, 1], ["a", "a", "a", "a"])
        2.0
    """
    cells = _table(clusters, labels, noise).tocoo()
    sums = np.bincount(cells.col, weights=cells.data)
    shares = cells.data / sums[cells.col]
    entropies = -np.bincount(cells.col, weights=shares * np.log(shares))
    return float((sums * np.exp(entropies)).sum() / sums.sum())


def agreement_percentage(clusters: ArrayLike, labels: Labels, *, noise: Noise = "group") -> float:
    """Percentage of completions whose label is the one matched to their cluster ("clustering accuracy").

    (100/n) max_s sum_c n_{c,s(c)}, where s matches each cluster to at most one label and each label to at most one
    cluster (the assignment problem). The paper reports agreement percentages with an LLM's labels without saying how
    they are matched; this is our reading. Of a split label only the largest part counts, while `purity` never falls
    when clusters are split. One single cluster gets the fraction of the most common label. Arguments as `agreement`.

    Example:
        >>> agreement_percentage([0, 0, 1, 1, 2], ["a", "a", "a", "b", "b"])  # 0 is a (2), 1 or 2 is b (1): 3 of 5
        60.0
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import bmat
    from scipy.sparse.csgraph import connected_components

    table = _table(clusters, labels, noise)
    cells = table.tocoo()
    # Each connected part of the table is an assignment problem of its own, which keeps large tables cheap.
    links = bmat([[None, table], [table.T, None]])
    part = connected_components(links, directed=False)[1][cells.row]
    order = np.argsort(part, kind="stable")
    matched = 0
    for own in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
        rows = np.unique(cells.row[own], return_inverse=True)[1]
        columns = np.unique(cells.col[own], return_inverse=True)[1]
        dense = np.zeros((rows.max() + 1, columns.max() + 1), dtype=np.int64)
        dense[rows, columns] = cells.data[own]
        matched += int(dense[linear_sum_assignment(dense, maximize=True)].sum())
    return 100 * matched / int(table.sum())


def _numbers(clusters: ArrayLike, labels: Labels, noise: Noise) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    own, true = partition(clusters, noise), numbered(labels)
    if own.shape != true.shape:
        raise ValueError(f"clusters and labels must be (n,) both, got shapes {own.shape} and {true.shape}")
    if not len(own):
        raise ValueError("there is nothing to compare: clusters and labels are empty")
    return own, true


def _table(clusters: ArrayLike, labels: Labels, noise: Noise) -> Any:
    """The contingency table (clusters, labels), sparse."""
    from scipy.sparse import csr_matrix

    own, true = _numbers(clusters, labels, noise)
    return csr_matrix((np.ones(len(own), dtype=np.int64), (own, true)))  # equal pairs are added up
