"""One prompt's entry from what it was to what it becomes: which completions stay, which join, and the new clusters."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meds_rl.shaping.clustering import IncrementalClustering, check_labels, check_tree
from meds_rl.shaping.entry import EntryKey, MemoryEntry, empty_entry
from meds_rl.shaping.forgetting import DropFirst, Grown, choose, plan_drops
from meds_rl.shaping.history import Runs, extended, ids_of, kept_only, length
from meds_rl.shaping.identities import carry_over
from meds_rl.shaping.labels import NOISE
from meds_rl.shaping.state import MemoryState
from meds_rl.shaping.voting import unit_vectors


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


_NO_IDS: NDArray[np.int64] = np.zeros(0, dtype=np.int64)


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
