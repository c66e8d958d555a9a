"""A memory replayed on a recording: the same completions, other fingerprints, clustering and remedies."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from staleness_recording import FINGERPRINTS, Recording

from meds_rl import ErrorMemory
from meds_rl.engines.trl.reencoding import affordable
from meds_rl.evaluation import agreement
from meds_rl.memory import MemoryEntry, Renewal, Visit
from meds_rl.memory.clustering import PAPER_CLUSTERING, Clustering, HDBSCANClustering
from meds_rl.memory.vote import weights
from meds_rl.shaping.penalty import penalty

FEWEST = 8  # remembered completions of a prompt, from which on its clusters are looked at
Kind = Literal[
    "layer_logits", "all_layer_logits", "state_at_p", "answer_states", "answer_string", "text", "random"
]


@dataclass(frozen=True)
class Condition:
    """One way of remembering.

    Attributes:
        family: what it is drawn with.
        name: what it is called there.
        kind: the fingerprint.
        clustering: of each prompt's members.
        reference: whether fingerprints are those of the model before training.
        reencode: how much of a step's time may go into taking fingerprints anew; infinity for all that are compared.
        capacity, half_life: of the memory.
    """

    family: str
    name: str
    kind: Kind
    clustering: Clustering = PAPER_CLUSTERING
    reference: bool = False
    reencode: float = 0.0
    capacity: int | None = None
    half_life: float | None = None

    @property
    def encoder(self) -> str | None:
        """Which of `FINGERPRINTS` it takes; None for controls that look at no model."""
        if self.kind in ("layer_logits", "all_layer_logits", "state_at_p"):
            return "layer_logits"  # the state at p costs the same forward
        return self.kind if self.kind in FINGERPRINTS else None


def _same_string(unit_vectors: np.ndarray) -> np.ndarray:
    """One-hot vectors to clusters: the same string is the same cluster, however rare."""
    return unit_vectors.argmax(axis=1)


def _epsilon(value: float) -> Clustering:
    return HDBSCANClustering(cluster_selection_epsilon=value)


PUBLISHED, STATE, OURS, CONTROLS = "layer logits", "state at p", "answer states, epsilon 0.3", "controls"
POLICY, REFERENCE = "policy of the day", "frozen reference"
TENTH, UNLIMITED = "encoded anew, 10 % of a step", "encoded anew, all"
BOUND = "capacity 64"

CONDITIONS = (
    Condition(PUBLISHED, POLICY, "layer_logits"),  # as published
    Condition(PUBLISHED, REFERENCE, "layer_logits", reference=True),
    Condition(PUBLISHED, TENTH, "layer_logits", reencode=0.1),
    Condition(PUBLISHED, UNLIMITED, "layer_logits", reencode=math.inf),
    Condition(PUBLISHED, "all layers, policy of the day", "all_layer_logits"),
    Condition(PUBLISHED, "epsilon 0.3, policy of the day", "layer_logits", _epsilon(0.3)),
    Condition(STATE, POLICY, "state_at_p"),
    Condition(STATE, REFERENCE, "state_at_p", reference=True),
    Condition(STATE, TENTH, "state_at_p", reencode=0.1),
    Condition(STATE, UNLIMITED, "state_at_p", reencode=math.inf),
    Condition(STATE, BOUND, "state_at_p", capacity=64),
    Condition(STATE, "half-life 10 batches", "state_at_p", half_life=10),
    Condition(STATE, "epsilon 0.3, policy of the day", "state_at_p", _epsilon(0.3)),
    Condition(OURS, POLICY, "answer_states", _epsilon(0.3)),
    Condition(OURS, REFERENCE, "answer_states", _epsilon(0.3), reference=True),
    Condition(OURS, TENTH, "answer_states", _epsilon(0.3), reencode=0.1),
    Condition(OURS, UNLIMITED, "answer_states", _epsilon(0.3), reencode=math.inf),
    Condition(OURS, BOUND, "answer_states", _epsilon(0.3), capacity=64),
    Condition(OURS, "capacity 256", "answer_states", _epsilon(0.3), capacity=256),
    Condition(OURS, "epsilon 0, policy of the day", "answer_states"),
    Condition(OURS, "epsilon 0.45, policy of the day", "answer_states", _epsilon(0.45)),
    Condition(OURS, "epsilon 0.6, policy of the day", "answer_states", _epsilon(0.6)),
    Condition(CONTROLS, "answer string", "answer_string", _same_string),
    Condition(CONTROLS, "text of the working (tf-idf)", "text"),
    Condition(CONTROLS, "random vectors", "random"),
)


@dataclass
class Replayed:
    """What came out, one number a batch at which some prompt had `FEWEST` members.

    Attributes:
        step: the batch.
        strategy: adjusted Rand index of clusters and planted strategies, of the members whose working follows one;
            prompts weighted by how many that are.
        alone: the same, but each noise point a cluster of its own.
        everything: the same as `strategy`, with the workings that follow no planted strategy as labels like others.
        purity, splits: of the same clusters and strategies.
        answer: adjusted Rand index of clusters and answers.
        sizes, true_sizes: |C| and how many remembered completions of the prompt follow the same strategy, of each
            new completion with a known one.
        percent: CPU time of fingerprints and memory, in % of a training step; NaN where no model is looked at.
        members: the most members that a prompt had.
    """

    step: list[int] = field(default_factory=list)
    strategy: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    everything: list[float] = field(default_factory=list)
    purity: list[float] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    answer: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    true_sizes: list[float] = field(default_factory=list)
    percent: float = math.nan
    members: int = 0

    @property
    def size_ratio(self) -> float:
        """sum |C| over sum of true counts."""
        return float(np.sum(self.sizes) / np.sum(self.true_sizes))

    @property
    def penalty_error(self) -> float:
        """Mean distance of the penalty from the one that the true count would bring, in units of reward."""
        return float(np.abs(penalty(self.sizes) - penalty(self.true_sizes)).mean())


class Replay:
    """Replays a recording in one condition."""

    def __init__(self, recording: Recording, condition: Condition) -> None:
        self._recording, self._condition = recording, condition
        self._memory = ErrorMemory(
            condition.clustering,
            capacity=condition.capacity,
            half_life=condition.half_life,
            num_threads=1,
        )
        self._row_of_id = np.full(len(recording.completions), -1)
        self._features = _features(recording, condition.kind)
        self._seconds = 0.0
        if condition.encoder is not None:
            self._tokens = recording.tokens(condition.encoder)
            self._seconds_per_token = recording.encodings.seconds_per_token

    def run(self) -> Replayed:
        """Score, then remember, batch after batch."""
        found = Replayed()
        for batch in range(self._recording.num_batches):
            visits = self._recording.visits(batch)
            self._renew(batch, visits)
            self._score(batch, visits, found)
            with self._timed():
                all_ids = self._memory.remember_batch(
                    [Visit(name, self._taken(batch, rows)) for name, rows in visits.items()]
                )
            for ids, rows in zip(all_ids, visits.values(), strict=True):
                self._row_of_id[ids] = rows
                self._encode(rows)
        if self._condition.encoder is not None:
            steps = self._recording.num_batches * self._recording.step_seconds
            found.percent = 100 * self._seconds / steps
        return found

    @contextmanager
    def _timed(self) -> Iterator[None]:
        begin = time.process_time()
        yield
        self._seconds += time.process_time() - begin

    def _encode(self, rows: np.ndarray) -> None:
        """Count what taking these fingerprints costs."""
        if self._condition.encoder is not None:
            self._seconds += self._seconds_per_token * float(self._tokens[rows].sum())

    def _taken(self, batch: int, rows: np.ndarray) -> np.ndarray:
        return self._features(0 if self._condition.reference else batch, rows)

    def _renew(self, batch: int, visits: dict[str, np.ndarray]) -> None:
        """As in training: of the prompts that are about to be compared, the oldest encodings first."""
        if not self._condition.reencode:
            return
        entries = [entry for name in visits if (entry := self._memory.entry(name)) is not None]
        if not entries:
            return
        ids = np.concatenate([entry.ids for entry in entries])
        rows = self._row_of_id[ids]
        order = np.lexsort((ids, np.concatenate([entry.encoded_steps for entry in entries])))
        if math.isfinite(self._condition.reencode):
            seconds = self._condition.reencode * self._recording.step_seconds
            order = order[affordable(self._tokens[rows[order]], int(seconds / self._seconds_per_token))]
        ids, rows = ids[order], rows[order]
        names = self._recording.prompt[rows]
        renewals = [
            Renewal(str(name), ids[names == name], self._taken(batch, rows[names == name]))
            for name in np.unique(names)
        ]
        with self._timed():
            self._memory.renew_batch(renewals)
        self._encode(rows)

    def _score(self, batch: int, visits: dict[str, np.ndarray], found: Replayed) -> None:
        with self._timed():
            assigned = self._memory.assign_batch(
                [Visit(name, self._taken(batch, rows)) for name, rows in visits.items()]
            )
        scores, counts = [], []
        for (name, rows), (_, sizes) in zip(visits.items(), assigned, strict=True):
            entry = self._memory.entry(name)
            if entry is None or len(entry.ids) < FEWEST:
                continue
            found.members = max(found.members, len(entry.ids))
            self._compare_sizes(batch, name, rows, sizes, found)
            known = int(self._recording.is_known[self._row_of_id[entry.ids]].sum())
            if known:
                scores.append(self._agreements(entry))
                counts.append(known)
        if scores:
            found.step.append(batch)
            means = np.average(np.array(scores), axis=0, weights=counts)
            columns = (
                found.strategy,
                found.purity,
                found.splits,
                found.alone,
                found.everything,
                found.answer,
            )
            for column, mean in zip(columns, means.tolist(), strict=True):
                column.append(mean)

    def _agreements(self, entry: MemoryEntry) -> tuple[float, ...]:
        recording, rows, clusters = self._recording, self._row_of_id[entry.ids], entry.labels
        known = recording.is_known[rows]
        strategies = recording.strategy[rows]
        return (
            *agreement(clusters[known], strategies[known])[:3],
            agreement(clusters[known], strategies[known], noise="alone").adjusted_rand,
            agreement(clusters, strategies).adjusted_rand,
            agreement(clusters, recording.answer[rows]).adjusted_rand,
        )

    def _compare_sizes(
        self, batch: int, name: str, rows: np.ndarray, sizes: np.ndarray, found: Replayed
    ) -> None:
        recording, half_life = self._recording, self._condition.half_life
        earlier = np.flatnonzero((recording.prompt == name) & (recording.batch < batch))
        worth = np.ones(len(earlier))
        if half_life is not None:
            worth = weights(recording.batch[earlier], batch, half_life)
        for row, size in zip(rows, sizes, strict=True):
            if recording.is_known[row]:
                same = recording.strategy[earlier] == recording.strategy[row]
                found.sizes.append(float(size))
                found.true_sizes.append(float(worth[same].sum()))


def _features(recording: Recording, kind: Kind) -> Callable[[int, np.ndarray], np.ndarray]:
    """From the batch whose policy looks, and rows (m,), to fingerprints (m, D)."""
    if kind == "answer_string":
        numbers = np.unique(recording.answer, return_inverse=True)[1]
        return lambda _, rows: np.eye(numbers.max() + 1, dtype=np.float32)[numbers[rows]]
    if kind == "text":
        texts = _tfidf([one.text for one in recording.completions])
        return lambda _, rows: texts[rows]
    if kind == "random":
        noise = np.random.default_rng(0).normal(size=(len(recording.completions), 128)).astype(np.float32)
        return lambda _, rows: noise[rows]
    encodings = recording.encodings
    if kind == "layer_logits":  # the last half of the layers, as published
        half = encodings.features["layer_logits"].shape[1] // 2
        return lambda batch, rows: encodings.of("layer_logits", batch, rows)[:, -half:]
    if kind == "all_layer_logits":
        return lambda batch, rows: encodings.of("layer_logits", batch, rows)
    if kind == "state_at_p":  # the first half of the answer's states
        width = encodings.features["answer_states"].shape[1] // 2
        return lambda batch, rows: encodings.of("answer_states", batch, rows)[:, :width]
    return lambda batch, rows: encodings.of("answer_states", batch, rows)


def _tfidf(texts: list[str]) -> np.ndarray:
    """(N, 128) character n-grams of the working, without the boxed answer."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    workings = [text.partition("\\boxed{")[0] for text in texts]
    table = TfidfVectorizer(analyzer="char", ngram_range=(2, 5)).fit_transform(workings)
    reduced = TruncatedSVD(min(128, min(table.shape) - 1), random_state=0).fit_transform(table)
    return np.ascontiguousarray(reduced, dtype=np.float32)
