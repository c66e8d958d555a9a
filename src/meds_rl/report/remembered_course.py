"""Lines of the course of training that the memory tells: how varied the errors are inside, and which come back."""

from __future__ import annotations

import math

import numpy as np

from meds_rl.evaluation.diversity.eigenvalues import Center, top1_eigenvalue_ratio
from meds_rl.labels import NOISE
from meds_rl.report.batches import Line
from meds_rl.report.source import NOT_KEPT, RunData
from meds_rl.rollouts.remembered import NOT_FOUND

MAX_STEPS = 200
"""At most so many steps get an eigenvalue ratio, evenly spread: each gathers a batch's fingerprints."""

MAX_VECTORS = 2000
"""Of a step's fingerprints so many are looked at, evenly spread."""

CENTERS: tuple[tuple[str, Center], ...] = (("problem", "problem"), ("pooled", "pooled"))


def eigenvalue_ratios(run: RunData) -> dict[Line, dict[int, float]]:
    """Top-1 eigenvalue ratio of the fingerprints that each batch left in the memory, wrong completions only."""
    if run.memory is None or not len(run.rollouts):
        return {}
    table = run.memory.table
    wrong = [number for number, _, _ in run.wrong_entries()]
    table = table[(table["row"] != NOT_FOUND) & (table["member"] >= 0) & table["entry"].isin(wrong)]
    steps = run.rollouts["step"].to_numpy()[table["row"].to_numpy()]
    table = table.assign(step=steps).sort_values("step", kind="stable")
    lines: dict[Line, dict[int, float]] = {}
    for step in _spread(np.unique(steps), MAX_STEPS):
        low, high = np.searchsorted(table["step"].to_numpy(), [step, step + 1])
        rows = table.iloc[_spread(np.arange(low, high), MAX_VECTORS)]
        vectors = run.memory.vectors(rows)
        for line, center in CENTERS:
            ratio = top1_eigenvalue_ratio(vectors, rows["entry"].tolist(), center=center)
            if not math.isnan(ratio):
                lines.setdefault(("eigenvalue", line), {})[int(step)] = ratio
    return lines


def repeated_clusters(run: RunData) -> dict[Line, dict[int, float]]:
    """Share of a batch's remembered wrong completions in a cluster that an earlier batch was in.

    By the clusters as they are now; noise is no cluster, and "no answer" is one.
    """
    if run.clusters is None:
        return {}
    rows = run.wrong[run.clusters[run.wrong] != NOT_KEPT]
    if not len(rows):
        return {}
    clusters = run.clusters[rows]
    frame = run.rollouts.iloc[rows][["step", "generation", "prompt_id"]].assign(cluster=clusters)
    first = frame.groupby(["prompt_id", "cluster"], sort=False)["generation"].transform("min")
    repeats = (frame["generation"] > first) & (frame["cluster"] != NOISE)
    shares = repeats.groupby(frame["step"]).mean()
    return {("repeated", "cluster"): {int(step): float(share) for step, share in shares.items()}}


def _spread(values: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of the values, evenly spread."""
    if len(values) <= count:
        return values
    return values[np.linspace(0, len(values) - 1, count).round().astype(np.intp)]
