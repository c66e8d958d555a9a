"""One prompt's entry from what it was to what it becomes: which completions stay, which join, and the new clusters."""

import heapq
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meds_rl.labels import NO_ANSWER, NOISE
from meds_rl.memory.clustering import IncrementalClustering, check_labels, check_tree
from meds_rl.memory.entry import (
    EntryKey,
    MemoryEntry,
    MemoryState,
    Runs,
    empty_entry,
    extended,
    ids_of,
    kept_only,
    length,
)
from meds_rl.memory.vote import unit_vectors

# ---- Cluster numbers that last: after a refit a cluster goes by the number of the old one that it overlaps most.


def carry_over(
    before: NDArray[np.int32], labels: NDArray[np.int64], next_cluster: int
) -> tuple[NDArray[np.int32], int]:
    """Lasting numbers for the clusters of a refit.

    Pairs of an old and a new cluster are matched by the number of members that they share, the largest overlap first;
    of equal overlaps the older cluster first, then the new one whose first member was remembered first. Each old number
    goes to one new cluster at most. So where a cluster splits, its largest part keeps the number; where clusters merge,
    the number of the one that brings most members stays. New clusters that match none get new numbers. A number is
    never given twice: a cluster that dissolved and forms again is a new one. (A prompt that a bound has forgotten
    altogether starts anew.)

    Args:
        before: (n,) lasting number that each member had before, NOISE for none or for a new member.
        labels: (n,) its label in the refit, NOISE for none.
        next_cluster: the first number that was never given.

    Returns:
        numbers: (n,) int32.
        next_cluster: the first number that is still not given.

    Example:
        >>> before = np.array([0, 0, 1, 1, 1, -1, -1], dtype=np.int32)  # the last two are new
        >>> after = np.array([1, 1, 0, 2, 2, 0, -1])  # cluster 1 has split
        >>> numbers, next_cluster = carry_over(before, after, 2)
        >>> numbers.tolist(), next_cluster
        ([0, 0, 2, 1, 1, 2, -1], 3)
    """
    found, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    clusters = np.flatnonzero(found != NOISE)
    clusters = clusters[np.argsort(first[clusters], kind="stable")]
    # Position of each new cluster in the order of its first member, -1 for noise.
    position = np.full(len(found), -1, dtype=np.int64)
    position[clusters] = np.arange(len(clusters))
    positions = position[inverse.reshape(-1)]
    numbers = _matched(before, positions, len(clusters))
    is_new = numbers < 0
    numbers[is_new] = next_cluster + np.arange(int(is_new.sum()))
    table = np.append(numbers, NOISE)  # position -1 is noise
    return table[positions].astype(np.int32), next_cluster + int(is_new.sum())


def _matched(before: NDArray[np.int32], positions: NDArray[np.int64], n_clusters: int) -> NDArray[np.int64]:
    """(n_clusters,) the old number that each new cluster keeps, -1 for none."""
    numbers = np.full(n_clusters, -1, dtype=np.int64)
    both = (before != NOISE) & (positions >= 0)
    if not both.any():
        return numbers
    pairs, shared = np.unique(
        before[both].astype(np.int64) * n_clusters + positions[both], return_counts=True
    )
    order = np.lexsort((pairs, -shared))  # pairs ascend by the old number, then by the new position
    taken: set[int] = set()
    for old, new in zip(*(part.tolist() for part in np.divmod(pairs[order], n_clusters)), strict=True):
        if old not in taken and numbers[new] < 0:
            taken.add(old)
            numbers[new] = old
    return numbers


# ---- What a bounded memory drops, and how much an old error still counts.

DropFirst: TypeAlias = Literal["oldest", "largest"]


class Kept(NamedTuple):
    """Which completions of an entry stay: bool for the answered (n_old + m,) and for those without an answer."""

    answered: NDArray[np.bool_]
    no_answer: NDArray[np.bool_]


class Grown(NamedTuple):
    """An entry and the ids that a batch adds to it, before anything is dropped: all that a choice needs."""

    entry: MemoryEntry
    answered_ids: NDArray[np.int64]
    no_answer_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.entry) + len(self.answered_ids) + len(self.no_answer_ids)

    def all_ids(self) -> NDArray[np.int64]:
        """Ids of all, the answered first."""
        return np.concatenate([self._answered(), self._no_answer()])

    def all_clusters(self) -> NDArray[np.int64]:
        """The cluster in which each is, in the order of `all_ids`; the batch's own fingerprints are one group, -3."""
        new = np.full(len(self.answered_ids), -3, dtype=np.int64)
        return np.concatenate([self.entry.clusters, new, np.full(len(self._no_answer()), NO_ANSWER)])

    def kept(self, stays: NDArray[np.bool_]) -> Kept:
        """`stays`, in the order of `all_ids`, taken apart."""
        n = len(self._answered())
        return Kept(stays[:n], stays[n:])

    def _answered(self) -> NDArray[np.int64]:
        return np.concatenate([self.entry.ids, self.answered_ids])

    def _no_answer(self) -> NDArray[np.int64]:
        return np.concatenate([self.entry.no_answer_ids, self.no_answer_ids])


def plan_drops(
    entries: dict[EntryKey, MemoryEntry],
    grown: dict[EntryKey, Grown],
    capacity: int | None,
    total_capacity: int | None,
    drop_first: DropFirst,
) -> dict[EntryKey, int]:
    """How many completions each entry must drop.

    Args:
        entries: all entries as they were.
        grown: those to which this batch adds, and new ones.
        capacity: most completions of one prompt and side; None for no bound.
        total_capacity: most completions of the whole memory.
        drop_first: "oldest": over all prompts the completions remembered first go first. "largest": the prompt with
            most completions loses first, of equals the one that was remembered first.
    """
    drops = (
        {}
        if capacity is None
        else {key: len(one) - capacity for key, one in grown.items() if len(one) > capacity}
    )
    if total_capacity is None:
        return drops
    sizes = {key: len(entry) for key, entry in entries.items()}
    sizes |= {key: len(one) - drops.get(key, 0) for key, one in grown.items()}
    excess = sum(sizes.values()) - total_capacity
    if excess <= 0:
        return drops
    if drop_first == "largest":
        more = _from_the_largest(sizes, excess)
    else:
        more = _from_the_oldest(entries, grown, drops, excess)
    return {key: drops.get(key, 0) + more.get(key, 0) for key in drops | more}


def _from_the_largest(sizes: dict[EntryKey, int], excess: int) -> dict[EntryKey, int]:
    """The prompt with most completions loses one, over and over; of equals the first."""
    heap = [(-size, place, key) for place, (key, size) in enumerate(sizes.items())]
    heapq.heapify(heap)
    drops: dict[EntryKey, int] = {}
    for _ in range(excess):
        size, place, key = heap[0]
        drops[key] = drops.get(key, 0) + 1
        heapq.heapreplace(heap, (size + 1, place, key))
    return drops


def _from_the_oldest(
    entries: dict[EntryKey, MemoryEntry],
    grown: dict[EntryKey, Grown],
    drops: dict[EntryKey, int],
    excess: int,
) -> dict[EntryKey, int]:
    """The `excess` smallest ids of all, beyond those that `drops` takes already."""

    def remaining(key: EntryKey) -> NDArray[np.int64]:
        one = grown[key] if key in grown else Grown(entries[key], _NO_IDS, _NO_IDS)
        return np.sort(one.all_ids())[drops.get(key, 0) :]

    heap: list[tuple[int, int, EntryKey]] = []
    for place, (key, entry) in enumerate((entries | {key: one.entry for key, one in grown.items()}).items()):
        # A lower bound that costs nothing: the entry's first id. The exact one is looked up when its turn comes.
        heads = [int(runs[0, 0]) for runs in (entry.runs, entry.no_answer_runs) if len(runs)]
        heap.append((min(heads, default=0), place, key))
    heapq.heapify(heap)
    taken: dict[EntryKey, int] = {}
    ids: dict[EntryKey, NDArray[np.int64]] = {}
    while excess > 0 and heap:
        head, place, key = heapq.heappop(heap)
        if key not in ids:
            ids[key], taken[key] = remaining(key), 0
        rest = ids[key][taken[key] :]
        if len(rest) and rest[0] == head:
            # The oldest of all, and what else of this entry is older than the next entry's oldest.
            until = heap[0][0] if heap else np.iinfo(np.int64).max
            count = min(max(1, int(np.searchsorted(rest, until))), excess)
            taken[key] += count
            excess -= count
            rest = rest[count:]
        if len(rest):
            heapq.heappush(heap, (int(rest[0]), place, key))
    return {key: count for key, count in taken.items() if count}


_NO_IDS: NDArray[np.int64] = np.zeros(0, dtype=np.int64)


def choose(grown: Grown, n_drops: int, drop_first: DropFirst) -> Kept:
    """Which completions of one entry stay when `n_drops` go.

    "oldest": those remembered first go. "largest": over and over the oldest member of the largest cluster goes (noise
    and completions without an answer count as a cluster each, this batch's fingerprints as one), so that rare errors
    are remembered longest; of equally large ones the one with the oldest member.
    """
    ids = grown.all_ids()
    stays = np.ones(len(ids), dtype=np.bool_)
    if drop_first == "oldest":
        stays[np.argsort(ids, kind="stable")[:n_drops]] = False
        return grown.kept(stays)
    _, group, sizes = np.unique(grown.all_clusters(), return_inverse=True, return_counts=True)
    order = np.argsort(ids, kind="stable")
    members = [order[group[order] == one].tolist()[::-1] for one in range(len(sizes))]  # the oldest last
    heap = [(-len(rows), int(ids[rows[-1]]), one) for one, rows in enumerate(members)]
    heapq.heapify(heap)
    for _ in range(n_drops):
        _, _, one = heapq.heappop(heap)
        stays[members[one].pop()] = False
        if members[one]:
            heapq.heappush(heap, (-len(members[one]), int(ids[members[one][-1]]), one))
    return grown.kept(stays)


class Visited(NamedTuple):
    """What a batch adds to one entry: fingerprints (m, D) in their order, then completions without an answer.

    Their ids count up from `first_id` in this order.
    """

    vectors: NDArray[np.float32]
    n_no_answer: int
    first_id: int


class Fit(NamedTuple):
    """What clustering an entry anew gives: all that must travel between processes."""

    clusters: NDArray[np.int32]
    tree: NDArray[np.int32]
    next_cluster: int


@dataclass(frozen=True)
class Change:
    """An entry's next contents, not yet clustered.

    Attributes:
        old: the entry as it was.
        vectors: (n, D) the next fingerprints.
        sources: (n,) which vector of the old entry each is, unchanged; -1 for another one.
        before: (n,) the lasting cluster in which each completion was, NOISE for none.
        runs, no_answer_runs, encoded: as in `MemoryEntry`.
    """

    old: MemoryEntry
    vectors: NDArray[np.float32]
    sources: NDArray[np.int64]
    before: NDArray[np.int32]
    runs: Runs
    no_answer_runs: Runs
    encoded: NDArray[np.int32] | None

    @property
    def is_refit(self) -> bool:
        """Whether any vector comes, goes or changes."""
        return len(self.vectors) != len(self.old.vectors) or bool((self.sources < 0).any())

    @property
    def cost(self) -> int:
        """About how many distances a refit measures."""
        # The constant stands for what does not depend on how many are new.
        return (int((self.sources < 0).sum()) + 8) * len(self.vectors) if self.is_refit else 0

    def entry(self, fit: Fit) -> MemoryEntry:
        """The entry, once it is clustered."""
        return MemoryEntry(
            vectors=self.vectors,
            clusters=fit.clusters,
            tree=fit.tree,
            runs=self.runs,
            no_answer_runs=self.no_answer_runs,
            next_cluster=fit.next_cluster,
            encoded=self.encoded,
        )


def refit(clustering: IncrementalClustering, change: Change) -> Fit:
    """Cluster an entry's next contents; its clusters keep their numbers."""
    old = change.old
    if not change.is_refit:
        return Fit(old.clusters, old.tree, old.next_cluster)
    labels, tree = clustering.refit(unit_vectors(change.vectors), old.tree, change.sources)
    labels = check_labels(labels, len(change.vectors))
    check_tree(tree, len(change.vectors))
    clusters, next_cluster = carry_over(change.before, labels, old.next_cluster)
    return Fit(clusters, tree, next_cluster)


def plan_batch(
    state: MemoryState,
    arrivals: dict[EntryKey, Visited],
    capacity: int | None,
    total_capacity: int | None,
    drop_first: DropFirst,
) -> dict[EntryKey, Change]:
    """What a batch changes: the entries that it adds to, and those that make room for it."""
    arrivals = {
        key: visited for key, visited in arrivals.items() if len(visited.vectors) + visited.n_no_answer
    }
    grown = {key: _grown(state.entries.get(key), visited) for key, visited in arrivals.items()}
    drops = plan_drops(state.entries, grown, capacity, total_capacity, drop_first)
    nobody = Visited(np.zeros((0, state.n_features or 0), dtype=np.float32), 0, state.next_id)
    changes = {}
    for key in grown | dict.fromkeys(drops):
        one = grown[key] if key in grown else Grown(state.entries[key], _NO_IDS, _NO_IDS)
        visited = arrivals.get(key, nobody)
        changes[key] = _change(one, visited, state.step, drops.get(key, 0), drop_first)
    return changes


def _grown(entry: MemoryEntry | None, visited: Visited) -> Grown:
    n, k = len(visited.vectors), visited.n_no_answer
    ids = np.arange(visited.first_id, visited.first_id + n + k)
    return Grown(empty_entry() if entry is None else entry, ids[:n], ids[n:])


def _change(grown: Grown, visited: Visited, step: int, n_drops: int, drop_first: DropFirst) -> Change:
    old, m = grown.entry, len(visited.vectors)
    vectors = old.vectors
    if m:
        # An entry without vectors may be from before D was known.
        vectors = np.concatenate([old.vectors, visited.vectors]) if len(old.vectors) else visited.vectors
    change = Change(
        old=old,
        vectors=vectors,
        sources=np.append(np.arange(len(old.vectors)), np.full(m, -1)),
        before=np.append(old.clusters, np.full(m, NOISE, dtype=np.int32)),
        runs=extended(old.runs, visited.first_id, step, m),
        no_answer_runs=extended(old.no_answer_runs, visited.first_id + m, step, visited.n_no_answer),
        encoded=None if old.encoded is None else np.append(old.encoded, np.full(m, step, dtype=np.int32)),
    )
    if not n_drops:
        return change
    kept = choose(grown, n_drops, drop_first)
    rows = kept.answered
    return Change(
        old=old,
        vectors=vectors[rows],
        sources=change.sources[rows],
        before=change.before[rows],
        runs=kept_only(change.runs, rows),
        no_answer_runs=kept_only(change.no_answer_runs, kept.no_answer),
        encoded=None if change.encoded is None else change.encoded[rows],
    )


def renewed(entry: MemoryEntry, ids: NDArray[np.int64], vectors: NDArray[np.float32], step: int) -> Change:
    """The entry with other fingerprints in the place of those with these ids (m,), taken at `step`."""
    known = ids_of(entry.runs)
    order = np.argsort(ids)
    at = np.searchsorted(known, ids[order])
    found = at < length(entry.runs)
    found[found] = known[at[found]] == ids[order][found]
    rows, taken = at[found], order[found]
    next_vectors, sources = entry.vectors.copy(), np.arange(len(known))
    next_vectors[rows] = vectors[taken]
    # The same numbers again are no change, however they were come by.
    sources[rows[(next_vectors[rows] != entry.vectors[rows]).any(axis=1)]] = -1
    encoded = entry.encoded_steps.astype(np.int32)
    encoded[rows] = step
    return Change(
        old=entry,
        vectors=next_vectors,
        sources=sources,
        before=entry.clusters,
        runs=entry.runs,
        no_answer_runs=entry.no_answer_runs,
        encoded=encoded,
    )
