"""HDBSCAN as an estimator that takes points as they come."""

import math
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from meds_rl.hdbscan import hierarchy, spanning_tree
from meds_rl.hdbscan.compiled import ascending
from meds_rl.labels import NOISE


class IncrementalHDBSCAN(ClusterMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Cluster points by HDBSCAN, and new points together with all earlier ones, exactly.

    `partial_fit` adds m points to the n seen so far and gives the clusters of all n + m: the same as `fit` on all of
    them, whatever the order and the batches they came in.

    Parameters
    ----------
    min_cluster_size : int, default=2
        Points that make a cluster, 2 or more; smaller groups are noise.
    min_samples : int or None, default=2
        The core distance of a point is the distance to its `min_samples`-th nearest, itself the first, as in
        scikit-learn (the hdbscan package leaves the point out: its 1 is 2 here). None takes `min_cluster_size`.
        With 1 and 2 a `partial_fit` costs O(n m D); with more everything is computed again, O(n^2 D) (see Notes).
    cluster_selection_epsilon : float, default=0.0
        Clusters that split off at a distance below this are joined again, as in scikit-learn.
    cluster_selection_method : {"eom", "leaf"}, default="eom"
        Excess of mass, or the smallest clusters of the hierarchy.
    allow_single_cluster : bool, default=False
        Whether excess of mass may select the root: all points one cluster, except those that leave it early.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples_seen_,)
        Cluster of every point so far, in their order of arrival; -1 for noise. Clusters are numbered by first point.
    probabilities_ : ndarray of shape (n_samples_seen_,)
        Strength of membership: the density at which a point leaves its cluster over the largest there; 0 for noise.
    minimum_spanning_tree_ : ndarray of shape (n_samples_seen_ - 1, 3)
        The edges (i, j, mutual reachability), shortest first. Where distances tie it is one of several.
    single_linkage_distances_ : ndarray of shape (n_samples_seen_ - 1,)
        The distances at which the single-linkage hierarchy merges, ascending. These are unique, ties or not.
    n_samples_seen_ : int
        Points so far.
    n_features_in_ : int
        Features of a point.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where the first points came as a data frame with names.

    Notes
    -----
    **Why it is exact.** HDBSCAN's hierarchy is read from the minimum spanning tree of the mutual reachability
    distances max(d(a, b), core(a), core(b)). For `min_samples` 1 core distances are 0; for 2, core(a) is the distance
    to the nearest other point, never more than d(a, b). Either way mutual reachability is the plain distance, so
    distances between old points never change, and a minimum spanning tree of n + m points lies within the old tree and
    the edges that touch new points [3]_ [4]_. For larger `min_samples` a new point changes core distances of old ones.

    **Ties.** Points at exactly equal distances have several minimum spanning trees; implementations that merge two by
    two choose among their hierarchies. Here all merges at one distance are one, as in [1]_, so that the clusters depend
    only on the set of points. Where no two nonzero merge distances are equal and fewer than 2 * `min_cluster_size`
    points are identical, the partition is scikit-learn's and the hdbscan package's. With `min_samples` above 2 ties are
    the rule, as one core distance is the length of several edges: the merge distances are theirs then, the partition
    may differ.

    **Cost.** Memory is O(n D). Compiled by numba at the first import (about ten seconds; cached on disk).

    **Range.** Distances are roots of sums of squares. Values whose squares overflow, from about 1e153, are refused;
    distances below about 1e-160 count as 0, as in scikit-learn.

    **Few points.** Fewer than `min_cluster_size` or `min_samples` points are noise, also with `allow_single_cluster`.

    References
    ----------
    .. [1] Campello, Moulavi, Sander (2013). Density-based clustering based on hierarchical density estimates.
    .. [2] McInnes, Healy, Astels (2017). hdbscan: Hierarchical density based clustering.
    .. [3] Spira, Pan (1975). On finding and updating spanning trees and shortest paths.
    .. [4] Chin, Houck (1978). Algorithms for updating minimal spanning trees.

    Examples
    --------
    >>> clusterer = IncrementalHDBSCAN()
    >>> clusterer.fit([[0.0], [1.0], [6.0], [8.0]]).labels_
    array([0, 0, 1, 1])
    >>> clusterer.partial_fit([[30.0], [33.0], [0.5]]).labels_
    array([0, 0, 1, 1, 2, 2, 0])
    """

    def __init__(
        self,
        min_cluster_size: int = 2,
        min_samples: int | None = 2,
        *,
        cluster_selection_epsilon: float = 0.0,
        cluster_selection_method: Literal["eom", "leaf"] = "eom",
        allow_single_cluster: bool = False,
    ) -> None:
        self.min_cluster_size = min_cluster_size
        self.min_samples = min_samples
        self.cluster_selection_epsilon = cluster_selection_epsilon
        self.cluster_selection_method = cluster_selection_method
        self.allow_single_cluster = allow_single_cluster

    def fit(self, X: ArrayLike, y: Any = None) -> "IncrementalHDBSCAN":
        """Forget all earlier points and cluster X (n_samples, n_features); y is ignored.

        Raises ValueError for parameters out of their range, and for X that is empty, sparse or not finite.
        """
        self._check_parameters()
        points = self._validated(X)
        self._start(points.shape[1])
        self._add(points)
        return self

    def partial_fit(self, X: ArrayLike, y: Any = None) -> "IncrementalHDBSCAN":
        """Cluster X (n_samples, n_features), which may be empty, together with all points so far; y is ignored.

        Raises ValueError as `fit` does, and for another number of features; then nothing changes.
        """
        self._check_parameters()
        first = not hasattr(self, "n_samples_seen_")
        points = self._validated(X, reset=first, ensure_min_samples=0)
        if first:
            self._start(points.shape[1])
        self._add(points)
        return self

    @property
    def minimum_spanning_tree_(self) -> NDArray[np.float64]:
        """Edges (i, j, mutual reachability) of the minimum spanning tree, shortest first."""
        check_is_fitted(self)
        end = self._order[:-1]  # the last is the root, which has no parent
        return np.stack([end, self._parent[end], self._lengths[end]], axis=1, dtype=np.float64)

    @property
    def single_linkage_distances_(self) -> NDArray[np.float64]:
        """The distances at which the hierarchy merges, ascending."""
        check_is_fitted(self)
        return np.asarray(self._lengths[self._order[:-1]])

    def _check_parameters(self) -> None:
        _check_integer("min_cluster_size", self.min_cluster_size, 2)
        if self.min_samples is not None:
            _check_integer("min_samples", self.min_samples, 1)
        epsilon: object = self.cluster_selection_epsilon
        if isinstance(epsilon, bool) or not isinstance(epsilon, Real) or not 0 <= float(epsilon) < np.inf:
            raise ValueError(f"cluster_selection_epsilon must be a finite number of at least 0, got {epsilon!r}")
        method = self.cluster_selection_method
        if method not in ("eom", "leaf"):
            raise ValueError(f"cluster_selection_method must be 'eom' or 'leaf', got {method!r}")
        if not isinstance(self.allow_single_cluster, bool | np.bool_):
            raise ValueError(f"allow_single_cluster must be a bool, got {self.allow_single_cluster!r}")

    def _validated(self, X: ArrayLike, **options: Any) -> NDArray[np.float64]:
        """Points (n, D) whose distances are finite."""
        try:
            points: NDArray[np.float64] = validate_data(self, X, dtype=np.float64, order="C", **options)
        except OverflowError as error:  # an integer such as 10**400
            raise ValueError(f"X must be finite in float64: {error}") from None
        largest = np.abs(points).max(initial=0.0)
        most = math.sqrt(np.finfo(np.float64).max / points.shape[1]) / 2
        if largest > most:
            raise ValueError(
                f"X must be from {-most:.3g} to {most:.3g}, so that distances are finite; got {largest:.3g}"
            )
        return points

    def _start(self, n_features: int) -> None:
        self.n_samples_seen_ = 0
        self._points = np.empty((0, n_features))  # with spare rows beyond n_samples_seen_
        self._parent = np.empty(0, np.int32)
        self._is_euclidean = True

    def _add(self, new: NDArray[np.float64]) -> None:
        n, total = self.n_samples_seen_, self.n_samples_seen_ + len(new)
        if total > len(self._points):
            larger = np.empty((max(total, 2 * n), self._points.shape[1]))
            larger[:n] = self._points[:n]
            self._points = larger
        self._points[n:total] = new
        self.n_samples_seen_ = total
        self._update_tree(self._points[:total])
        self._order = ascending(self._lengths)
        self.labels_, self.probabilities_ = hierarchy.extract(
            self._parent,
            self._lengths,
            self.min_cluster_size,
            leaf=self.cluster_selection_method == "leaf",
            allow_single_cluster=bool(self.allow_single_cluster),
            epsilon=float(self.cluster_selection_epsilon),
        )
        if total < self._effective_min_samples():
            self.labels_[:], self.probabilities_[:] = NOISE, 0.0

    def _update_tree(self, points: NDArray[np.float64]) -> None:
        """The tree of all points: from the earlier points' tree, unless core distances may have changed."""
        min_samples = self._effective_min_samples()
        if min_samples > 2:
            core = spanning_tree.core_distances(points, min(min_samples, len(points)))
            self._parent = spanning_tree.build(points, core)
            self._lengths = spanning_tree.edge_lengths(points, self._parent, core)
        else:
            known = self._parent if self._is_euclidean else np.empty(0, np.int32)
            self._parent = spanning_tree.insert(points, known)
            self._lengths = spanning_tree.edge_lengths(points, self._parent)
        self._is_euclidean = min_samples <= 2

    def _effective_min_samples(self) -> int:
        return self.min_cluster_size if self.min_samples is None else self.min_samples


def _check_integer(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    if int(value) >= 2**31:
        raise ValueError(f"{name} must be below 2**31, got {value!r}")
