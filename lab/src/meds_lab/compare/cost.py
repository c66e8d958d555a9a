"""What a cell cost: seconds a step, updates, completions generated. From its metrics and its recipe."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from meds_rl.report.numbers import finite


@dataclass(frozen=True)
class Cost:
    """Of one training.

    Attributes:
        seconds_per_step: mean of TRL's ``step_time`` after the first log, which also loads and warms up; NaN where
            there is none.
        updates: optimiser steps done.
        samples_generated: completions sampled in training, those that dynamic sampling threw away too.
    """

    seconds_per_step: float
    updates: int
    samples_generated: int


def cost_of(metrics: Sequence[Mapping[str, Any]], recipe: Mapping[str, Any], num_processes: int = 1) -> Cost:
    """Read a cell's cost.

    ``step_time`` and ``dynamic_sampling/groups_generated`` are means over the steps between two logs; each log counts
    by the steps that it covers. So the completions are exact where every step is logged, or where
    nothing is thrown away.

    Args:
        metrics: rows of ``metrics.jsonl``, in order.
        recipe: the resolved one.
        num_processes: of the training.
    """
    updates = max((int(row["step"]) for row in metrics), default=0)
    batches = _generation_batches(updates, recipe, num_processes)
    groups = _mean_over_steps(metrics, "dynamic_sampling/groups_generated")
    if math.isnan(groups):
        samples = batches * int(recipe["generation_batch_size"])
    else:
        samples = round(groups * batches * int(recipe["num_generations"]))
    times = [row for row in metrics if finite(row.get("step_time")) is not None]
    first = times[0]["step"] if len(times) > 1 else 0
    return Cost(_mean_over_steps(times[1:] or times, "step_time", first), updates, samples)


def relative_cost(
    seconds: Mapping[tuple[Any, str], float], baseline: str
) -> dict[str, tuple[float, float, float]]:
    """Seconds a step relative to the baseline of the same unit: geometric mean, least and greatest over the units.

    Args:
        seconds: (unit, method) -> seconds a step.
        baseline: a method.

    Example:
        >>> seconds = {("a", "dapo"): 2.0, ("a", "meds"): 4.0, ("b", "dapo"): 3.0, ("b", "meds"): 3.0}
        >>> {name: [round(x, 3) for x in found] for name, found in relative_cost(seconds, "dapo").items()}
        {'dapo': [1.0, 1.0, 1.0], 'meds': [1.414, 1.0, 2.0]}
    """
    ratios: dict[str, list[float]] = {}
    for (unit, method), value in seconds.items():
        of_baseline = seconds.get((unit, baseline), math.nan)
        if value > 0 and of_baseline > 0:  # false for NaN
            ratios.setdefault(method, []).append(value / of_baseline)
    return {
        method: (float(np.exp(np.mean(np.log(found)))), min(found), max(found))
        for method, found in ratios.items()
    }


def _generation_batches(updates: int, recipe: Mapping[str, Any], num_processes: int) -> int:
    """Generation batches of so many optimiser steps: each is used ``num_iterations`` times."""
    per_step = (
        int(recipe["per_device_train_batch_size"])
        * int(recipe["gradient_accumulation_steps"])
        * num_processes
    )
    used = updates * per_step / int(recipe.get("num_iterations") or 1)
    return math.ceil(used / int(recipe["generation_batch_size"]))


def _mean_over_steps(rows: Iterable[Mapping[str, Any]], name: str, before: int = 0) -> float:
    """Mean of a logged figure, each log weighted by the steps since the one before."""
    total = weight = 0.0
    last = before
    for row in rows:
        value = finite(row.get(name))
        if value is None:
            continue
        steps = max(0, int(row["step"]) - last)
        last = int(row["step"])
        total, weight = total + steps * value, weight + steps
    return total / weight if weight else math.nan
