"""Draws of a two-level bootstrap: clusters, and within each one drawn its members."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray


def members_of(clusters: Sequence[Hashable] | None, num_seeds: int) -> list[list[int]]:
    """The places of each cluster's seeds; without clusters, one that holds all.

    Raises:
        ValueError: another number of names than of seeds.

    Example:
        >>> members_of(["a", "b", "a"], 3), members_of(None, 3)
        ([[0, 2], [1]], [[0, 1, 2]])
    """
    if clusters is None:
        return [list(range(num_seeds))]
    if len(clusters) != num_seeds:
        raise ValueError(f"clusters must name one for each of the {num_seeds} pairs, got {len(clusters)}")
    found: dict[Hashable, list[int]] = {}
    for place, name in enumerate(clusters):
        found.setdefault(name, []).append(place)
    return list(found.values())


def draw_members(members: Sequence[Sequence[int]], size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(size, S) how often each seed is drawn: clusters first, then as many of a cluster's seeds as it has, for each
    time that it was drawn."""
    num = len(members)
    drawn = rng.multinomial(num, np.full(num, 1 / num), size=size)
    taken = np.zeros((size, sum(len(places) for places in members)), dtype=np.int64)
    for cluster, places in enumerate(members):
        within = np.full(len(places), 1 / len(places))
        taken[:, list(places)] = rng.multinomial(len(places) * drawn[:, cluster], within)
    return taken
