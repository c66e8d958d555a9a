"""The meanings of strategy names, for a reader who did not write the task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meds_rl.report.source import RunData

UNNAMED = ("other",)
"""Names for completions whose strategy the task did not recognise."""

POCKET = {
    "left_to_right": "computes from left to right: 7 + 5 * 4 as 12 * 4",
    "right_to_left": "computes from right to left: 7 - 5 + 4 as 7 - 9",
    "additions_first": "adds and subtracts before it multiplies",
    "drop_first": "leaves the first term out and computes the rest from left to right",
    "drop_last": "leaves the last term out and computes the rest from left to right",
    "misread_sign": "turns the first plus or minus around and computes from left to right",
    "misread_times": "reads times as plus",
    "arithmetic slip": "follows one of the strategies, but a step has a wrong result",
}
"""The strategies of the pocket task."""

OF_NONE = "follows no strategy that the task knows"
OF_THE_RIGHT_WAY = "the right strategy; here the answer is wrong"


def with_meaning(run: RunData, way: Mapping[str, Any]) -> dict[str, Any]:
    """A way of going wrong (`meds_rl.report.ways.ways`) with its ``meaning``, and ``is_right`` if it is a strategy.

    A strategy is the right one if most completions that follow it are right. A meaning that is there is kept.
    """
    if way.get("by", "strategy") != "strategy":
        return dict(way)
    is_right = _is_right_way(run, str(way["name"]))
    return {**way, "meaning": way.get("meaning") or _meaning(run, str(way["name"]), is_right), "is_right": is_right}


def _meaning(run: RunData, name: str, is_right: bool) -> str:
    if is_right:
        return OF_THE_RIGHT_WAY
    if name in UNNAMED:
        return OF_NONE
    return POCKET.get(name, "") if run.recipe.task == "pocket" else ""


def _is_right_way(run: RunData, name: str) -> bool:
    followed = (run.rollouts["strategy"] == name).to_numpy()
    graded = run.rollouts["reward"].notna().to_numpy() & followed
    right = run.rollouts["is_correct"].to_numpy(dtype=bool) & graded
    return bool(right.sum() * 2 > graded.sum())
