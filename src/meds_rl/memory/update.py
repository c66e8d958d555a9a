"""What a batch changes in an entry: completions are appended, the oldest dropped, the rest clustered again."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meds_rl.labels import NOISE
from meds_rl.memory.clustering import IncrementalClustering, check_labels, check_tree
from meds_rl.memory.entry import (
    MemoryEntry,
    MemoryState,
    Runs,
    Visit,
    empty_entry,
    extended,
    ids_of,
    length,
    without_first,
)
from meds_rl.memory.vote import unit_vectors


class Arrival(NamedTuple):
    """New completions of one entry: fingerprints (m, D), and how many have no answer.

    Their ids count up from `first_id`: first those of the fingerprints, then those without an answer.
    """

    vectors: NDArray[np.float32]
    n_no_answer: int
    first_id: int


def updated(
    entry: MemoryEntry | None, arrival: Arrival, step: int, capacity: int | None, clustering: IncrementalClustering
) -> MemoryEntry:
    """The entry after a batch: new completions are appended and the oldest dropped, down to `capacity`.

    If fingerprints came or went, they are clustered again, and clusters keep their numbers (`carry_over`). TypeError or
    ValueError if the clustering returns something wrong.
    """
    old = empty_entry() if entry is None else entry
    n, m = len(old.vectors), len(arrival.vectors)
    vectors = old.vectors
    if m:
        # An entry without vectors may be from before D was known.
        vectors = np.concatenate([old.vectors, arrival.vectors]) if n else arrival.vectors
    runs = extended(old.runs, arrival.first_id, step, m)
    no_answer_runs = extended(old.no_answer_runs, arrival.first_id + m, step, arrival.n_no_answer)
    gone, no_answer_gone = _oldest(runs, no_answer_runs, capacity)
    if gone:
        vectors = vectors[gone:].copy()  # a view would keep the dropped ones in memory
    clusters, tree, next_cluster = old.clusters, old.tree, old.next_cluster
    if m or gone:
        sources = np.append(np.arange(n), np.full(m, -1))[gone:]
        old_clusters = np.append(old.clusters, np.full(m, NOISE, dtype=np.int32))[gone:]
        labels, tree = map(np.asarray, clustering.refit(unit_vectors(vectors), old.tree, sources))
        check_tree(tree, len(vectors))
        labels = check_labels(labels, len(vectors))
        clusters, next_cluster = carry_over(old_clusters, labels, old.next_cluster)
    return MemoryEntry(
        vectors=vectors,
        clusters=clusters,
        tree=tree,
        runs=without_first(runs, gone),
        no_answer_runs=without_first(no_answer_runs, no_answer_gone),
        next_cluster=next_cluster,
    )


def _oldest(runs: Runs, no_answer_runs: Runs, capacity: int | None) -> tuple[int, int]:
    """How many completions of each kind exceed `capacity`: the oldest, which have the smallest ids and come first."""
    excess = 0 if capacity is None else length(runs) + length(no_answer_runs) - capacity
    if excess <= 0:
        return 0, 0
    ids = ids_of(runs)
    last_gone = np.partition(np.append(ids, ids_of(no_answer_runs)), excess - 1)[excess - 1]
    gone = int((ids <= last_gone).sum())
    return gone, excess - gone


# ---- Back: the batches that a memory was made of.


def remembered_visits(state: MemoryState) -> dict[int, list[Visit]]:
    """By step the visits of its batch, as far as they are still stored, in the order of their ids."""
    found: dict[int, list[tuple[int, Visit]]] = {}
    for key, entry in state.entries.items():
        first_ids: dict[int, int] = {}
        parts: dict[int, list[NDArray[np.float32]]] = {}
        start = 0
        for first_id, step, count in entry.runs.tolist():
            first_ids[step], parts[step] = first_id, [entry.vectors[start : start + count]]
            start += count
        for first_id, step, count in entry.no_answer_runs.tolist():
            first_ids.setdefault(step, first_id)
            parts.setdefault(step, []).append(np.full((count, state.n_features or 1), np.nan, dtype=np.float32))
        for step, rows in parts.items():
            visit = Visit(key.prompt_id, np.concatenate(rows), key.is_correct)
            found.setdefault(step, []).append((first_ids[step], visit))
    return {step: [visit for _, visit in sorted(visits, key=lambda one: one[0])] for step, visits in found.items()}


# ---- HDBSCAN numbers clusters differently at every refit. Here each keeps the number of the one it overlaps most.


def carry_over(
    before: NDArray[np.int32], labels: NDArray[np.int64], next_cluster: int
) -> tuple[NDArray[np.int32], int]:
    """Lasting numbers for the clusters of a refit.

    Old and new clusters are matched by the number of members they share, the largest overlap first; of equal overlaps
    the older cluster first, then the new one whose first member was remembered first. An old number goes to at most one
    new cluster: where a cluster splits, its largest part keeps the number; where clusters merge, the number of the one
    with most members in it stays. A cluster without a match gets a number that was never used.

    Args:
        before: (n,) lasting number of each member so far, NOISE for none or for a new member.
        labels: (n,) its label in the refit, NOISE for none.
        next_cluster: the first number that was never used.

    Returns:
        The lasting numbers (n,) int32, and the next `next_cluster`.

    Example:
        >>> before = np.array([0, 0, 1, 1, 1, -1, -1], dtype=np.int32)  # the last two are new
        >>> after = np.array([1, 1, 0, 2, 2, 0, -1])  # cluster 1 has split
        >>> numbers, next_cluster = carry_over(before, after, 2)
        >>> numbers.tolist(), next_cluster
        ([0, 0, 2, 1, 1, 2, -1], 3)
    """
    # Renumber the refit's clusters by their first members: 0, 1, 2, ...; noise stays -1.
    by_first_member = dict.fromkeys(labels[labels != NOISE].tolist())
    position = {NOISE: NOISE} | {label: place for place, label in enumerate(by_first_member)}
    positions = np.array([position[label] for label in labels.tolist()], dtype=np.int64)
    numbers = _matched(before, positions, len(by_first_member))
    is_new = numbers < 0
    numbers[is_new] = next_cluster + np.arange(int(is_new.sum()))
    return np.append(numbers, NOISE)[positions].astype(np.int32), next_cluster + int(is_new.sum())


def _matched(before: NDArray[np.int32], positions: NDArray[np.int64], n_clusters: int) -> NDArray[np.int64]:
    """(n_clusters,) the old number that each new cluster keeps, -1 for none."""
    numbers = np.full(n_clusters, -1, dtype=np.int64)
    both = (before != NOISE) & (positions >= 0)
    if not both.any():
        return numbers
    pairs, shared = np.unique(before[both].astype(np.int64) * n_clusters + positions[both], return_counts=True)
    order = np.lexsort((pairs, -shared))  # pairs ascend by the old number, then by the new position
    taken: set[int] = set()
    for old, new in zip(*(part.tolist() for part in np.divmod(pairs[order], n_clusters)), strict=True):
        if old not in taken and numbers[new] < 0:
            taken.add(old)
            numbers[new] = old
    return numbers
