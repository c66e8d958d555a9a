"""MEDS written down a second time, slowly: plain loops, the hdbscan package fitted anew, one look-up per sample.

Shares no code with `meds_rl`. Rows are remembered in the order in which they come.
"""

import math
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

import hdbscan


class ReferenceRow(NamedTuple):
    kind: str  # "cluster", "noise", "no_answer", "unseen", "not_scored"
    size: int
    penalty: float
    reward: float


def unit(vector: np.ndarray) -> np.ndarray:
    length = math.sqrt(math.fsum(float(x) ** 2 for x in vector))
    return np.array([float(x) / length if length else 0.0 for x in vector])


def fit_labels(vectors: list[np.ndarray]) -> list[int]:
    if len(vectors) < 2:
        return [-1] * len(vectors)
    model = hdbscan.HDBSCAN(min_cluster_size=2, min_samples=1, metric="euclidean")
    return [int(label) for label in model.fit_predict(np.stack([unit(vector) for vector in vectors]))]


def nearest_labels(query: np.ndarray, vectors: list[np.ndarray], labels: list[int], n_neighbors: int) -> list[int]:
    distances = []
    for index, vector in enumerate(vectors):
        cosine = math.fsum(a * b for a, b in zip(unit(query), unit(vector), strict=True))
        distances.append((round(1 - cosine, 9), index))
    return [labels[index] for _, index in sorted(distances)[:n_neighbors]]


def majority(labels: list[int]) -> int:
    counts = Counter(labels)
    best = max(counts.values())
    return next(label for label in labels if counts[label] == best)


class ReferenceShaper:
    def __init__(
        self,
        alpha: float = 0.1,
        beta: float = 0.2,
        target: str = "wrong",
        noise: str = "cluster",
        all_wrong: str = "skip",
        no_answer: str = "cluster",
        n_neighbors: int = 3,
        anneal: tuple[float, float] | None = None,
    ) -> None:
        self.alpha, self.beta, self.n_neighbors = alpha, beta, n_neighbors
        self.target, self.noise, self.all_wrong, self.no_answer = target, noise, all_wrong, no_answer
        self.anneal = anneal
        self.vectors: dict[Any, list[np.ndarray]] = {}
        self.labels: dict[Any, list[int]] = {}
        self.no_answers: Counter[Any] = Counter()

    def shape(
        self,
        rewards: np.ndarray,
        prompt_ids: list[Any],
        features: np.ndarray,
        is_correct: np.ndarray,
        progress: float = 0.0,
    ) -> list[ReferenceRow]:
        to_remember: list[tuple[Any, np.ndarray]] = []
        rows = []
        for i, reward in enumerate(rewards):
            graded = [bool(is_correct[j]) for j in range(len(rewards)) if prompt_ids[j] == prompt_ids[i]]
            if self._left_alone(graded, bool(is_correct[i])):
                rows.append(ReferenceRow("not_scored", 0, 0.0, float(reward)))
                continue
            key = (prompt_ids[i], bool(is_correct[i]))
            kind, size = self._look_up(key, features[i])
            penalty = min(self._alpha(progress) * math.log(size + 1), self.beta)
            rows.append(ReferenceRow(kind, size, penalty, self._shaped(reward, penalty, is_correct[i])))
            to_remember.append((key, features[i]))
        self._remember(to_remember)
        return rows

    def _alpha(self, progress: float) -> float:
        if self.anneal is None or progress <= self.anneal[0]:
            return self.alpha
        if progress >= self.anneal[1]:
            return 0.0
        return float(np.interp(progress, self.anneal, (self.alpha, 0.0)))

    def _left_alone(self, graded: list[bool], correct: bool) -> bool:
        if all(graded) or (not any(graded) and self.all_wrong == "skip"):
            return True
        return self.target not in ("both", "right" if correct else "wrong")

    def _look_up(self, key: Any, vector: np.ndarray) -> tuple[str, int]:
        if np.isnan(vector).all():
            return "no_answer", self.no_answers[key]
        vectors, labels = self.vectors.get(key, []), self.labels.get(key, [])
        if not vectors:
            return "unseen", 0
        label = majority(nearest_labels(vector, vectors, labels, self.n_neighbors))
        if label == -1:
            return "noise", 0 if self.noise == "free" else labels.count(-1)
        return "cluster", labels.count(label)

    def _shaped(self, reward: float, penalty: float, correct: bool) -> float:
        if not correct:
            return reward - penalty
        return reward / (1 + penalty) if reward > 0 else reward * (1 + penalty)

    def _remember(self, batch: list[tuple[Any, np.ndarray]]) -> None:
        for key, vector in batch:
            if not np.isnan(vector).all():
                self.vectors.setdefault(key, []).append(vector)
            elif self.no_answer == "cluster":
                self.no_answers[key] += 1
        for key in {key for key, _ in batch}:
            self.labels[key] = fit_labels(self.vectors.get(key, []))
