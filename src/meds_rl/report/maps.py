"""The maps: one prompt's remembered wrong completions, laid out by their fingerprints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from meds_rl.labels import NOISE
from meds_rl.report.source import RunData
from meds_rl.report.text import shortened
from meds_rl.rollouts.remembered import NOT_FOUND

MANY_POINTS = 500
"""Fewer different fingerprints are laid out on one thread."""

LEAST_FOR_TSNE = 5
"""Fewer different fingerprints are laid out along their two main directions."""

USUAL_PERPLEXITY = 30.0
APART = 0.01
"""Distance between the points of equal fingerprints, as a share of the width, so that each can be pointed at."""

LEAST = 5
"""Points of the smallest map."""

HELP = (
    "Each point is a wrong completion; near points have similar fingerprints. t-SNE of the fingerprints (unit length, "
    "Euclidean): neighbours mean something, distances between far groups do not. Equal fingerprints are drawn "
    "side by side."
)


@dataclass(frozen=True)
class Map:
    """One prompt of one run.

    Attributes:
        run, prompt_id: the run and the prompt.
        rows: (n,) the points' rows in the run's rollouts.
        positions: (n, 2).
        num_wrong: remembered wrong completions of the prompt; n of them are shown.
        perplexity: of t-SNE; None where there were too few different points for it.
    """

    run: RunData
    prompt_id: str
    rows: NDArray[np.int64]
    positions: NDArray[np.float64]
    num_wrong: int
    perplexity: float | None

    def to_dict(self) -> dict[str, Any]:
        """The map in the report's data, without the prompt and the completions."""
        rollouts = self.run.rollouts.iloc[self.rows]
        clusters = [] if self.run.clusters is None else self.run.clusters[self.rows].tolist()
        return {
            "run": self.run.id,
            "num_points": len(self.rows),
            "num_wrong": self.num_wrong,
            "x": self.positions[:, 0].round(4).tolist(),
            "y": self.positions[:, 1].round(4).tolist(),
            "cluster": ["in no cluster" if label == NOISE else f"cluster {label}" for label in clusters],
            "answer": [None if answer is None else shortened(str(answer)) for answer in rollouts["answer"].tolist()],
            "step": rollouts["step"].tolist(),
            "perplexity": self.perplexity,
            "help": HELP,
        }


def maps(
    runs: Sequence[RunData], num_prompts: int, num_points: int, seed: int, show_progress: bool = False
) -> list[Map]:
    """Maps of the prompts with the most remembered wrong completions, for each run with a memory.

    Args:
        runs: The runs. The same prompts are taken in all: those with the most over all runs.
        num_prompts: How many maps there are at most; the runs share them.
        num_points: Points of a map; of more completions a random sample is shown.
        seed: of the sample and of t-SNE.
        show_progress: whether a progress bar is shown.
    """
    remembering = [run for run in runs if run.wrong_entries()]
    if not remembering or num_prompts < 1:
        return []
    chosen = _largest_prompts(remembering, -(-num_prompts // len(remembering)))
    tasks = [(run, prompt_id) for run in remembering for prompt_id in chosen]
    bar = tqdm(tasks, desc="maps", unit="map", disable=None if show_progress else True, leave=False)
    return [found for task in bar if (found := _map(*task, num_points, seed)) is not None]


def _largest_prompts(runs: Sequence[RunData], count: int) -> list[str]:
    sizes: Counter[str] = Counter()
    for run in runs:
        for _, prompt_id, entry in run.wrong_entries():
            sizes[prompt_id] += len(entry.vectors)
    return [prompt_id for prompt_id, size in sizes.most_common(count) if size >= LEAST]


def _map(run: RunData, prompt_id: str, num_points: int, seed: int) -> Map | None:
    numbers = [number for number, name, _ in run.wrong_entries() if name == prompt_id]
    if run.memory is None or not numbers:
        return None
    table = run.memory.table
    table = table[(table["entry"] == numbers[0]) & (table["member"] >= 0) & (table["row"] != NOT_FOUND)]
    num_wrong = len(table)
    if num_wrong < LEAST:
        return None
    if num_wrong > num_points:
        drawn = np.random.default_rng(seed).choice(num_wrong, size=num_points, replace=False)
        table = table.iloc[np.sort(drawn)]
    positions, perplexity = layout(run.memory.vectors(table), seed)
    return Map(run, prompt_id, table["row"].to_numpy(dtype=np.int64), positions, num_wrong, perplexity)


def layout(vectors: NDArray[np.float32], seed: int) -> tuple[NDArray[np.float64], float | None]:
    """Lay out n fingerprints by t-SNE, which keeps neighbours together; far distances have no meaning.

    Distances are those of the clustering: Euclidean between vectors of length 1. Equal fingerprints count once and are
    drawn side by side.

    Args:
        vectors: (n, D), n at least 1.
        seed: of t-SNE.

    Returns:
        (n, 2) positions, and the perplexity; None where there were too few different fingerprints for t-SNE.
    """
    unit = _unit(vectors.astype(np.float64))
    different, inverse = np.unique(unit.round(6), axis=0, return_inverse=True)
    inverse = inverse.ravel()
    perplexity = None
    if len(different) >= LEAST_FOR_TSNE:
        perplexity = min(USUAL_PERPLEXITY, (len(different) - 1) / 3)
        places = _tsne(different, perplexity, seed)
    else:
        places = _main_directions(different)
    return _apart(places, inverse), perplexity


def _tsne(unit: NDArray[np.float64], perplexity: float, seed: int) -> NDArray[np.float64]:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    # Rotate into the directions that the points span: distances stay, and wide fingerprints cost no more.
    centred = unit - unit.mean(axis=0)
    if centred.shape[1] > len(centred):
        left, scales, _ = np.linalg.svd(centred, full_matrices=False)
        centred = left * scales
    # Start from the main directions at t-SNE's usual small scale; sklearn's own start divides by a variance that may
    # be 0.
    start = _main_directions(centred)
    start = (1e-4 * start / max(float(start[:, 0].std()), 1e-12)).astype(np.float32)
    # Threads of a small map mostly wait for each other: on a busy machine that took ten times as long.
    with threadpool_limits(1 if len(unit) < MANY_POINTS else None, user_api="openmp"):
        found = TSNE(perplexity=perplexity, init=start, random_state=seed).fit_transform(centred)
    return np.asarray(found, dtype=np.float64)


def _main_directions(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) coordinates along the two directions of most variance, signs fixed."""
    left, scales, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    scores = (left * scales)[:, :2]
    scores = np.pad(scores, ((0, 0), (0, 2 - scores.shape[1])))
    largest = np.abs(scores).argmax(axis=0)
    signs = np.sign(scores[largest, [0, 1]])
    return np.asarray(scores * np.where(signs == 0, 1, signs))


def _apart(places: NDArray[np.float64], inverse: NDArray[np.intp]) -> NDArray[np.float64]:
    """Each point at its place; the later ones of the same place on a spiral around it."""
    order = np.argsort(inverse, kind="stable")
    counts = np.bincount(inverse)
    nth = np.empty(len(inverse), dtype=np.int64)
    nth[order] = np.arange(len(inverse)) - np.repeat(np.cumsum(counts) - counts, counts)
    width = float(np.ptp(places, axis=0).max()) or 1.0
    radius = APART * width * np.sqrt(nth)
    angle = nth * np.pi * (3 - np.sqrt(5))
    return np.asarray(places[inverse] + np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1))


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    # Scale first: squares of large values overflow.
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0.0)
    scaled = vectors / np.where(largest > 0, largest, 1.0)
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.asarray(scaled / np.where(lengths > 0, lengths, 1.0))
