"""Figures of the course of training that come from ``metrics.jsonl``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from meds_rl.report.batches import Line

NAMES: Mapping[str, Line] = {
    "meds/memory_size": ("memory", "size"),
    "meds/fingerprint_ms": ("time", "fingerprint"),
    "meds/memory_ms": ("time", "memory"),
    "meds/reencode_ms": ("time", "reencode"),
    "pass/pass@1": ("pass", "pass@1"),
    "diversity/answer_entropy": ("entropy", "entropy"),
    "diversity/distinct_wrong": ("distinct", "distinct"),
    "diversity/top1_eigenvalue_ratio": ("eigenvalue", "problem"),
    "reward": ("reward", "shaped"),
}
"""Logged name -> panel and line."""

PASS_AT_G = re.compile(r"pass/pass@([0-9]+)")
PREFERRED = ("pass", "memory")
"""Panels whose logged figures are better than those of the rollouts, which know neither the groups that dynamic
sampling threw away nor what the memory has forgotten."""


def logged_figures(row: Mapping[str, Any]) -> dict[Line, float]:
    """Figures of one row of ``metrics.jsonl``, by panel and line."""
    figures = {
        line: float(row[name]) for name, line in NAMES.items() if isinstance(row.get(name), int | float)
    }
    if ("reward", "shaped") in figures:  # the trainer logs the penalty as a reward of its own
        figures["reward", "raw"] = figures["reward", "shaped"] - float(
            row.get("rewards/meds_penalty/mean") or 0
        )
    if ("pass", "pass@1") not in figures and isinstance(row.get("dynamic_sampling/raw_accuracy"), float):
        figures["pass", "pass@1"] = row["dynamic_sampling/raw_accuracy"]
    for name, value in row.items():
        found = PASS_AT_G.fullmatch(name)
        if found is not None and found[1] != "1" and isinstance(value, int | float):
            figures["pass", "pass@G"] = float(value)
    step_time = row.get("step_time")
    spent = [value for (panel, _), value in figures.items() if panel == "time"]
    if spent and isinstance(step_time, int | float) and step_time > 0:
        figures["time_share", "share"] = sum(spent) / (1000 * step_time)
    return figures
