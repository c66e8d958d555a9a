"""HDBSCAN spelled out slowly: components by threshold from a matrix of distances, and no spanning tree at all."""

from itertools import count

import numpy as np
from scipy.sparse.csgraph import connected_components


def mutual_reachability(points, min_samples):
    points = np.asarray(points, dtype=np.float64)
    total = np.zeros((len(points), len(points)))
    for d in range(points.shape[1]):
        total += (points[:, None, d] - points[None, :, d]) ** 2
    distances = np.sqrt(total)
    core = np.sort(distances, axis=1)[:, min(min_samples, len(points)) - 1]
    return np.maximum(distances, np.maximum(core[:, None], core[None, :]))


def parts(distances, members):
    """The distance at which the last of these points joins, and what is connected below it."""
    among = distances[np.ix_(members, members)]
    for threshold in np.unique(among)[::-1]:
        n_parts, part = connected_components(among < threshold, directed=False)
        if n_parts > 1:
            return threshold, [members[part == i] for i in range(n_parts)]
    raise AssertionError("one point has no parts")


def density(distance):
    return 1 / distance if distance > 0 else np.inf


class Cluster:
    """A cluster of the condensed tree: when each point leaves it, and what it splits into."""

    def __init__(self, distances, members, birth, min_cluster_size):
        self.stability, self.left, self.children = 0.0, dict.fromkeys(members.tolist(), 0.0), []
        while True:
            distance, pieces = parts(distances, members)
            self.end = density(distance)
            big = [piece for piece in pieces if len(piece) >= min_cluster_size]
            for i in members:
                self.left[int(i)] = self.end
            if len(big) == 1:
                self.stability += (self.end - birth) * (len(members) - len(big[0]))
                members = big[0]
                continue
            self.stability += (self.end - birth) * len(members)
            self.children = [Cluster(distances, piece, self.end, min_cluster_size) for piece in big]
            return

    def best(self):
        """Excess of mass and the clusters that have it."""
        below = [child.best() for child in self.children]
        total = sum(sorted(mass for mass, _ in below))
        if total > self.stability:
            return total, [cluster for _, clusters in below for cluster in clusters]
        return self.stability, [self]

    def leaves(self):
        return [leaf for child in self.children for leaf in child.leaves()] if self.children else [self]

    def departures(self):
        """The density at which each point leaves the smallest cluster it was in."""
        left = dict(self.left)
        for child in self.children:
            left |= child.departures()
        return left


def hdbscan(points, min_cluster_size=2, min_samples=2, method="eom", allow_single_cluster=False):
    """Labels, numbered by first point, and probabilities."""
    n = len(points)
    labels, probabilities = np.full(n, -1), np.zeros(n)
    if n < max(min_cluster_size, min_samples):
        return labels, probabilities
    root = Cluster(mutual_reachability(points, min_samples), np.arange(n), 0.0, min_cluster_size)
    if method == "leaf":
        chosen = root.leaves() if root.children else []
    elif allow_single_cluster:
        chosen = root.best()[1]
    else:
        chosen = [cluster for child in root.children for cluster in child.best()[1]]
    for cluster in chosen:
        for i, left in cluster.departures().items():
            if cluster is root and left < root.end:
                continue
            labels[i] = id(cluster) % 2**62
            probabilities[i] = 1.0 if cluster.end == 0 or left >= cluster.end else left / cluster.end
    return by_first_point(labels), probabilities


def by_first_point(labels):
    """The same partition, its clusters numbered by their first point."""
    numbers, fresh = {-1: -1}, count()
    return np.array([numbers[i] if i in numbers else numbers.setdefault(i, next(fresh)) for i in labels.tolist()])
