"""What a bounded memory drops, and how much an old error still counts."""

import heapq
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meds_rl.shaping.entry import EntryKey, MemoryEntry
from meds_rl.shaping.labels import NO_ANSWER

DropFirst: TypeAlias = Literal["oldest", "largest"]
ClusterSizes: TypeAlias = NDArray[np.int64] | NDArray[np.float64]
"""|C|: a count, or with a half-life the sum of what each member counts."""


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


def weights(steps: NDArray[np.int64], now: int, half_life: float) -> NDArray[np.float64]:
    """(n,) what each remembered completion counts: 2^(-(now - step) / half_life), age in remembered batches.

    Example:
        >>> weights(np.array([0, 5, 10]), now=10, half_life=5).tolist()
        [0.25, 0.5, 1.0]
    """
    with np.errstate(over="ignore"):  # ages that are endless half-lives: a weight of 0
        return np.asarray(np.exp2((steps - now) / half_life), dtype=np.float64)


def no_sizes(n: int, half_life: float | None) -> ClusterSizes:
    """(n,) sizes of 0."""
    return np.zeros(n, dtype=np.int64) if half_life is None else np.zeros(n, dtype=np.float64)
