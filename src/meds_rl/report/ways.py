"""Errors across prompts: by the way of working where the task tells it, else by the final answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from meds_rl.report.life import stretches
from meds_rl.report.source import RunData
from meds_rl.report.text import shortened

MAX_WAYS = 30
"""So many are listed, the most frequent first."""


def ways(run: RunData) -> list[dict[str, Any]]:
    """The most frequent ways of being wrong, over all prompts of a run.

    ``share`` is of all wrong completions of the run; ``prompts`` in how many prompts it comes; ``course`` its number
    in each stretch of the run (`meds_rl.report.life.stretches`).
    """
    wrong = run.rollouts.iloc[run.wrong]
    column = "strategy" if wrong["strategy"].notna().any() else "answer"
    known = wrong[wrong[column].notna()]
    starts = stretches(run.num_steps)
    found = []
    for name, members in _largest(known, column):
        bins = np.searchsorted(starts, members["step"].to_numpy(), side="right") - 1
        found.append(
            {
                "run": run.id,
                "kind": column,
                "name": shortened(str(name)),
                "count": len(members),
                "share": len(members) / len(wrong),
                "prompts": int(members["prompt_id"].nunique()),
                "course": np.bincount(bins, minlength=len(starts)).tolist(),
            }
        )
    return found


def wrong_course(run: RunData) -> list[int]:
    """Number of all wrong completions in each stretch of a run (`meds_rl.report.life.stretches`)."""
    starts = stretches(run.num_steps)
    steps = run.rollouts["step"].to_numpy()[run.wrong]
    counts: list[int] = np.bincount(
        np.searchsorted(starts, steps, side="right") - 1, minlength=len(starts)
    ).tolist()
    return counts


def _largest(rows: pd.DataFrame, column: str) -> list[tuple[Any, pd.DataFrame]]:
    names = rows[column].value_counts(sort=True).index[:MAX_WAYS]
    groups = rows[rows[column].isin(names)].groupby(column, sort=False)
    return sorted(((name, group) for name, group in groups), key=lambda pair: -len(pair[1]))
