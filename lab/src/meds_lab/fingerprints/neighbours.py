"""How often a completion's nearest neighbours share its strategy, and how often any would; intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Pairs = Literal["all", "same answer", "other answer", "other problems"]
PAIRS: tuple[Pairs, ...] = ("all", "same answer", "other answer")
NEIGHBOURS = 5
FEWEST = 2 * NEIGHBOURS  # candidates; with fewer the nearest five are nearly all of them, and equal chance


@dataclass(frozen=True)
class Sample:
    """N completions whose strategy is known: all (N,) texts or numbers."""

    problem: np.ndarray
    strategy: np.ndarray
    answer: np.ndarray

    def candidates(self, row: int, pairs: Pairs) -> np.ndarray:
        """Which completions may be neighbours, without the completion itself."""
        if pairs == "other problems":
            return np.flatnonzero(self.problem != self.problem[row])
        near = self.problem == self.problem[row]
        near[row] = False
        if pairs == "same answer":
            near &= self.answer == self.answer[row]
        if pairs == "other answer":
            near &= self.answer != self.answer[row]
        return np.flatnonzero(near)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows at length 1, as the memory keeps them; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def shares(vectors: np.ndarray, sample: Sample, pairs: Pairs) -> np.ndarray:
    """(N,) share of the five nearest candidates that have the completion's strategy; NaN with too few candidates.

    Equally near ones count as one: what an answer string cannot tell apart is drawn from at random, on average.
    """
    vectors = unit(np.asarray(vectors, dtype=np.float64))
    found = np.full(len(vectors), np.nan)
    for row in range(len(vectors)):
        candidates = sample.candidates(row, pairs)
        if len(candidates) >= FEWEST:
            # Rounded: equal vectors must tie.
            cosines = (vectors[candidates] @ vectors[row]).round(9)
            same = sample.strategy[candidates] == sample.strategy[row]
            last = np.partition(cosines, -NEIGHBOURS)[-NEIGHBOURS]
            nearer, tied = cosines > last, cosines == last
            open_places = NEIGHBOURS - nearer.sum()
            found[row] = (same[nearer].sum() + open_places * same[tied].mean()) / NEIGHBOURS
    return found


def chances(sample: Sample, pairs: Pairs) -> np.ndarray:
    """(N,) share of all candidates that have the completion's strategy; NaN with too few."""
    found = np.full(len(sample.problem), np.nan)
    for row in range(len(found)):
        candidates = sample.candidates(row, pairs)
        if len(candidates) >= FEWEST:
            found[row] = (sample.strategy[candidates] == sample.strategy[row]).mean()
    return found


def best_shares(sample: Sample, pairs: Pairs) -> np.ndarray:
    """(N,) what a fingerprint that knew the strategy would reach: rare strategies have less than five others."""
    found = np.full(len(sample.problem), np.nan)
    for row in range(len(found)):
        candidates = sample.candidates(row, pairs)
        if len(candidates) >= FEWEST:
            same = (sample.strategy[candidates] == sample.strategy[row]).sum()
            found[row] = min(same, NEIGHBOURS) / NEIGHBOURS
    return found


def resamples(problem: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """(count, N) how often each completion is drawn: problems first, then completions within each drawn one."""
    rng = np.random.default_rng(seed)
    names, numbers = np.unique(problem, return_inverse=True)
    rows = [np.flatnonzero(numbers == number) for number in range(len(names))]
    drawn = np.zeros((count, len(problem)), dtype=np.int16)
    for one in drawn:
        for number in rng.integers(len(names), size=len(names)):
            one += np.bincount(rng.choice(rows[number], len(rows[number])), minlength=len(one)).astype(np.int16)
    return drawn


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratio(share: np.ndarray, chance: np.ndarray, drawn: np.ndarray) -> Estimate:
    """mean(share) / mean(chance), by completions; interval by the resamples."""
    valid = np.isfinite(share)
    top, bottom = drawn[:, valid] @ share[valid], drawn[:, valid] @ chance[valid]
    low, high = np.quantile(top[bottom > 0] / bottom[bottom > 0], [0.025, 0.975])
    return Estimate(float(share[valid].mean() / chance[valid].mean()), float(low), float(high))


def difference(share: np.ndarray, rival: np.ndarray, drawn: np.ndarray) -> Estimate:
    """mean(share - rival), paired by completion; interval by the resamples."""
    valid = np.isfinite(share)
    gaps, sizes = (share - rival)[valid], drawn[:, valid].sum(axis=1)
    means = (drawn[:, valid] @ gaps)[sizes > 0] / sizes[sizes > 0]
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(gaps.mean()), float(low), float(high))
