"""The memory of past errors: per prompt, fingerprints and their clusters."""

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.shaping import storage
from meds_rl.shaping.checks import (
    PromptId,
    check_features,
    check_positive_int,
    check_prompt_id,
    check_width,
    has_answer,
)
from meds_rl.shaping.clustering import Clustering, hdbscan_labels, labels_from
from meds_rl.shaping.entry import EntryKey, MemoryEntry, empty_entry
from meds_rl.shaping.labels import NO_ANSWER, UNSEEN
from meds_rl.shaping.voting import canonical_order, unit_vectors, vote

__all__ = ["ErrorMemory", "MemoryEntry", "Visit"]


class Visit(NamedTuple):
    """The completions of one prompt, all right or all wrong, that one batch adds: features (m, D)."""

    prompt_id: PromptId
    features: ArrayLike
    is_correct: bool = False


class ErrorMemory:
    """Fingerprints of past completions, kept per prompt and clustered anew whenever some are added.

    Args:
        clustering: From unit vectors (n, D) to labels (n,), -1 for noise. Default: HDBSCAN as in the paper.

    Example:
        >>> memory = ErrorMemory()
        >>> ids = memory.remember("2 + 2", [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
        >>> clusters, sizes = memory.assign("2 + 2", [[1.0, 0.2]])
        >>> sizes.tolist()
        [2]
    """

    def __init__(self, clustering: Clustering = hdbscan_labels) -> None:
        if not callable(clustering):
            raise TypeError(f"clustering must be a function from vectors to labels, got {clustering!r}")
        self.clustering = clustering
        self._state = storage.MemoryState(entries={}, step=0, next_id=0, n_features=None)

    def __repr__(self) -> str:
        return f"ErrorMemory({len(self)} completions of {len(self.prompt_ids)} prompts, after {self.step} batches)"

    @property
    def step(self) -> int:
        """Number of batches remembered so far."""
        return self._state.step

    @property
    def n_features(self) -> int | None:
        """D, fixed by the first fingerprint remembered; None before."""
        return self._state.n_features

    @property
    def prompt_ids(self) -> list[PromptId]:
        """The prompts of which anything is remembered, in the order of their first batch."""
        return list(dict.fromkeys(key.prompt_id for key in self._state.entries))

    def __len__(self) -> int:
        """Number of remembered completions, those without an answer included."""
        return sum(map(len, self._state.entries.values()))

    def __contains__(self, prompt_id: object) -> bool:
        return any((prompt_id, side) in self._state.entries for side in (False, True))

    def entry(self, prompt_id: PromptId, is_correct: bool = False) -> MemoryEntry | None:
        """What is remembered of a prompt's wrong (or right) completions, or None."""
        entry = self._state.entries.get(EntryKey(check_prompt_id(prompt_id), bool(is_correct)))
        if entry is None or len(entry.vectors):
            return entry
        # Stored before D was known: nothing but completions without an answer.
        return replace(entry, vectors=np.zeros((0, self.n_features or 0), dtype=np.float32))

    def assign(
        self, prompt_id: PromptId, features: ArrayLike, *, is_correct: bool = False, n_neighbors: int = 3
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Look up to which remembered cluster each completion belongs, and how big it is. Changes nothing.

        Args:
            prompt_id: The prompt.
            features: (m, D), rows of NaN for no answer.
            is_correct: Whether to look among the right completions instead of the wrong ones.
            n_neighbors: How many nearest members vote (`meds_rl.shaping.voting.vote`).

        Returns:
            clusters: (m,) a label >= 0, NOISE, NO_ANSWER, or UNSEEN where no fingerprint is remembered.
            sizes: (m,) members of that cluster in memory: for NOISE all noise points, for NO_ANSWER all
                completions without an answer, for UNSEEN 0.

        Raises:
            TypeError, ValueError: The arguments have a wrong type, shape or width.
        """
        rows = check_features(features)
        check_width(rows, self.n_features)
        check_positive_int("n_neighbors", n_neighbors)
        entry = self.entry(prompt_id, is_correct)
        answered = has_answer(rows)
        clusters = np.where(answered, UNSEEN, NO_ANSWER)
        sizes = np.zeros(len(rows), dtype=np.int64)
        if entry is None:
            return clusters, sizes
        sizes[~answered] = len(entry.no_answer_ids)
        if len(entry.vectors):
            clusters[answered] = vote(rows[answered], entry.vectors, entry.labels, n_neighbors)
            names, counts = np.unique(entry.labels, return_counts=True)
            sizes[answered] = counts[np.searchsorted(names, clusters[answered])]
        return clusters, sizes

    def remember(
        self, prompt_id: PromptId, features: ArrayLike, *, is_correct: bool = False
    ) -> NDArray[np.int64]:
        """Add the completions of one prompt as a batch of their own, then cluster. See `remember_batch`.

        Args:
            prompt_id: The prompt.
            features: (m, D), rows of NaN for no answer.
            is_correct: Whether these are right completions instead of wrong ones.

        Returns:
            (m,) int64 ids of the remembered completions.
        """
        return self.remember_batch([Visit(prompt_id, features, is_correct)])[0]

    def remember_batch(self, visits: Sequence[Visit]) -> list[NDArray[np.int64]]:
        """Add a batch, cluster each prompt in it anew and count one `step`; on an error nothing changes.

        The memory afterwards does not depend on the order of a visit's rows: they are stored sorted. It does
        depend on the order of the visits (ids count through them).

        Returns:
            For each visit the (m,) int64 ids of its completions, in the order of its rows. Rows that are
            equal are interchangeable.

        Raises:
            TypeError, ValueError: A visit has a wrong type, shape or width, or a prompt comes twice.
        """
        entries: dict[EntryKey, MemoryEntry] = {}
        all_ids: list[NDArray[np.int64]] = []
        next_id, n_features = self._state.next_id, self._state.n_features
        for visit in visits:
            key = EntryKey(check_prompt_id(visit.prompt_id), bool(visit.is_correct))
            if key in entries:
                raise ValueError(f"prompt {key.prompt_id!r} comes twice in one batch")
            rows = check_features(visit.features)
            check_width(rows, n_features)
            if n_features is None and has_answer(rows).any():
                n_features = rows.shape[1]
            order = _storage_order(rows)
            ids = np.empty(len(rows), dtype=np.int64)
            ids[order] = np.arange(next_id, next_id + len(rows))
            next_id += len(rows)
            all_ids.append(ids)
            if len(rows):
                entries[key] = self._extended(self._state.entries.get(key), rows[order], ids[order])
        self._state = storage.MemoryState(
            entries=self._state.entries | entries,
            step=self._state.step + 1,
            next_id=next_id,
            n_features=n_features,
        )
        return all_ids

    def _extended(
        self, entry: MemoryEntry | None, rows: NDArray[np.float32], ids: NDArray[np.int64]
    ) -> MemoryEntry:
        answered = has_answer(rows)
        old = empty_entry(rows.shape[1]) if entry is None else entry
        vectors, labels = old.vectors, old.labels
        if answered.any():
            vectors = np.concatenate([old.vectors, rows[answered]]) if len(old.vectors) else rows[answered]
            labels = labels_from(self.clustering, unit_vectors(vectors))
        steps = np.full(len(rows), self.step, dtype=np.int64)
        return MemoryEntry(
            vectors=vectors,
            labels=labels,
            ids=np.concatenate([old.ids, ids[answered]]),
            steps=np.concatenate([old.steps, steps[answered]]),
            no_answer_ids=np.concatenate([old.no_answer_ids, ids[~answered]]),
            no_answer_steps=np.concatenate([old.no_answer_steps, steps[~answered]]),
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the memory to one file, so that the file is at any moment the old one or the new one, whole.

        The clustering function is not written: hand the same one to `load`.
        """
        storage.write(path, self._state)

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        clustering: Clustering = hdbscan_labels,
        *,
        n_features: int | None = None,
    ) -> "ErrorMemory":
        """The memory that `save` wrote, equal to the last bit.

        Args:
            path: The file.
            clustering: As it was when the memory was saved; the file does not say.
            n_features: D of the fingerprints to come, where it is known: a memory of another width is refused.

        Raises:
            MemoryFileError: The file is truncated, corrupted, of a newer version, of another width, or no
                memory file.
            FileNotFoundError: There is no such file.
        """
        memory = cls(clustering)
        state = storage.read(path)
        if n_features is not None and state.n_features not in (None, n_features):
            reason = f"its fingerprints have {state.n_features} features, those of this run {n_features}"
            raise storage.MemoryFileError(path, reason)
        memory._state = state
        return memory


def _storage_order(rows: NDArray[np.float32]) -> NDArray[np.intp]:
    """Positions (m,) in which rows are stored: fingerprints sorted, then those without an answer."""
    answered = np.flatnonzero(has_answer(rows))
    return np.concatenate([answered[canonical_order(rows[answered])], np.flatnonzero(~has_answer(rows))])
