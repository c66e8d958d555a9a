"""Figures of the course of training that come from ``metrics.jsonl``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from meds_rl.report.batches import Line
from meds_rl.report.numbers import finite

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
    """Figures of one row of ``metrics.jsonl``, by panel and line; what is no finite number is left out."""
    figures = {line: value for name, line in NAMES.items() if (value := finite(row.get(name))) is not None}
    if ("reward", "shaped") in figures:  # the trainer logs the penalty as a reward of its own
        penalty = finite(row.get("rewards/meds_penalty/mean"))
        figures["reward", "raw"] = figures["reward", "shaped"] - (penalty or 0.0)
    accuracy = finite(row.get("dynamic_sampling/raw_accuracy"))
    if ("pass", "pass@1") not in figures and accuracy is not None:
        figures["pass", "pass@1"] = accuracy
    for name, logged in row.items():
        found, value = PASS_AT_G.fullmatch(name), finite(logged)
        if found is not None and found[1] != "1" and value is not None:
            figures["pass", "pass@G"] = value
    step_time = finite(row.get("step_time"))
    spent = [value for (panel, _), value in figures.items() if panel == "time"]
    if spent and step_time is not None and step_time > 1e-9:
        figures["time_share", "share"] = sum(spent) / (1000 * step_time)
    return figures
