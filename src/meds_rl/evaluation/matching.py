"""The agreement percentage: the best that one label a cluster can do."""

import numpy as np
from numpy.typing import NDArray

from meds_rl.evaluation.contingency import Contingency


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
