"""Score: to which remembered cluster completions belong, and what that cluster counts."""

import numpy as np
from numpy.typing import NDArray

from meds_rl.shaping.checks import has_answer
from meds_rl.shaping.entry import MemoryEntry
from meds_rl.shaping.forgetting import no_sizes, weights
from meds_rl.shaping.labels import NO_ANSWER, UNSEEN
from meds_rl.shaping.visits import Assigned
from meds_rl.shaping.voting import vote


def assign(
    entry: MemoryEntry | None,
    rows: NDArray[np.float32],
    n_neighbors: int,
    *,
    max_distance: float | None = None,
    now: int,
    half_life: float | None,
) -> Assigned:
    """Look rows (m, D) up in an entry, rows of NaN as completions without an answer.

    Args:
        entry: what is remembered of their prompt and side, or None.
        rows: checked features.
        n_neighbors: how many nearest members vote.
        max_distance: members further away do not vote; None for any distance.
        now: the memory's step.
        half_life: in batches, or None.
    """
    answered = has_answer(rows)
    clusters, sizes = np.where(answered, UNSEEN, NO_ANSWER), no_sizes(len(rows), half_life)
    if entry is None:
        return Assigned(clusters, sizes)
    sizes[~answered] = _worth(entry.no_answer_steps, now, half_life).sum()
    if len(entry.vectors):
        n_voters = min(n_neighbors, len(entry.vectors))
        clusters[answered] = vote(rows[answered], entry.vectors, entry.clusters, n_voters, max_distance)
        found = answered & (clusters != UNSEEN)
        # Noise, -1, is the first bin.
        totals = np.bincount(entry.clusters + 1, weights=_worth(entry.steps, now, half_life))
        sizes[found] = totals[clusters[found] + 1]
    return Assigned(clusters, sizes)


def _worth(steps: NDArray[np.int64], now: int, half_life: float | None) -> NDArray[np.float64]:
    return np.ones(len(steps), dtype=np.float64) if half_life is None else weights(steps, now, half_life)
