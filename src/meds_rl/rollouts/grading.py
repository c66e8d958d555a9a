"""Decides which completions are right, from the rewards that a file has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meds_rl.rollouts.table import RunFolderError

Numbers = NDArray[np.float64]

ACCURACY = ("accura", "correct", "acc", "exact_match")
"""Parts of the names of rewards that say right or wrong."""

REWARD = ("reward", "score", *ACCURACY)
"""Parts of the names of rewards; other columns of numbers are other figures that were logged."""

NO_GRADE = ("format", "length", "trunc")
"""Parts of the names of rewards that say something else than right or wrong."""

ZERO_ONE = ((), (0.0,), (1.0,), (0.0, 1.0))


@dataclass(frozen=True)
class Grading:
    """The grades of N completions.

    Attributes:
        is_correct: (N,) 1 right, 0 wrong, NaN not graded.
        rewards: (N,) the reward.
        right: what counts as right.
        total: what the reward is, in a sentence; empty if `right` names it already.
    """

    is_correct: Numbers
    rewards: Numbers
    right: str
    total: str = ""

    @property
    def sentence(self) -> str:
        """What counts as right, and what the reward is."""
        return " ".join(filter(None, (f"Right: {self.right}.", self.total)))


def grade(
    rewards: Mapping[str, Numbers], name: str, total: str, above: float | None, *, sums_all: bool = False
) -> Grading:
    """Say which completions are right.

    Args:
        rewards: name -> (N,) values, NaN where there is none.
        name: the reward that says it; empty if that is to be found out.
        total: the recorded reward; empty for the sum of all.
        above: right is what has a larger reward; None: 1 is right, or the larger of two values (see `_right`).
        sums_all: whether all rewards are summed, also those whose names do not say that they are rewards.

    Raises:
        RunFolderError: the rewards do not show it. The message names the columns, or the reward's values.
    """
    named = {each: values for each, values in rewards.items() if _has_part(each, REWARD)} or dict(rewards)
    if total in rewards:
        summed, what, which = rewards[total], total, ""
    else:
        parts = rewards if sums_all else named
        summed, what = _sum(parts), " + ".join(parts)
        which = f"Reward: {what}." if len(parts) > 1 else ""
    if above is not None:
        return _graded(summed, summed, what, above, which)
    name = name or _that_says_right(named, total)
    try:
        return _graded(rewards[name], summed, name, None, which)
    except RunFolderError:
        without = next((each for each in rewards if each.startswith(f"{name} - ")), None)
        if without is None:
            raise
    return _graded(rewards[without], summed, without, None, which)


def _graded(values: Numbers, rewards: Numbers, name: str, above: float | None, which: str) -> Grading:
    known = np.isfinite(values)
    if not known.any():
        raise RunFolderError(f"{name} has no number that says right or wrong. Name another column with --reward.")
    right, words = _right(values[known], name, above)
    is_correct = np.full(len(values), np.nan)
    is_correct[known] = right
    return Grading(is_correct, rewards, words, which)


def _right(values: Numbers, name: str, above: float | None) -> tuple[NDArray[np.bool_], str]:
    if above is not None:
        return values > above, f"{name} is above {above:g}"
    different = tuple(np.unique(values).tolist())
    if different in ZERO_ONE:
        return values == 1, f"{name} is 1"
    # 0 and 0.1 are more likely wrong answers with and without a bonus for their form.
    if len(different) == 2 and (different[1] >= 1 or different[1] == -different[0]):
        low, high = different
        return values == high, f"{name} is {high:g}, the larger of its two values ({low:g} and {high:g})"
    such = _such_as(values)
    plural = "s" if len(different) > 1 else ""
    raise RunFolderError(
        f"{name} has {len(different):,} different value{plural}, from {different[0]:g} (median {np.median(values):g}) "
        f"to {different[-1]:g}: say above which one is right with --correct-above X{such}, or name another column with "
        "--reward."
    )


def _such_as(values: Numbers) -> str:
    """A bound to try: midway between the two commonest values, if most rows have them and they look like grades."""
    different, counts = np.unique(values, return_counts=True)
    commonest = sorted(different[np.argsort(-counts, kind="stable")[:2]].tolist())
    low, high = commonest[0], commonest[-1]
    if low == high or not (high >= 1 or high == -low) or np.isin(values, commonest).mean() < 0.5:
        return ""
    return f" (such as {(low + high) / 2:g}, midway between the commonest values, {low:g} and {high:g})"


def _that_says_right(rewards: Mapping[str, Numbers], total: str) -> str:
    """The only reward; else the one named as accuracy, of several the only one of 0 and 1; else the total.

    Without a name and a total, the only one that has both 0 and 1: a constant says nothing.
    """
    if len(rewards) == 1:
        return next(iter(rewards))
    accurate = [name for name in rewards if _has_part(name, ACCURACY)]
    values = {name: set(np.unique(rewards[name][np.isfinite(rewards[name])]).tolist()) for name in rewards}
    two = [name for name in accurate if 0 < len(values[name]) <= 2]
    binary = [name for name in accurate if values[name] and values[name] <= {0.0, 1.0}]
    varied = [name for name in rewards if values[name] == {0.0, 1.0} and not _has_part(name, NO_GRADE)]
    if len(binary) == 1 and not _contradict(rewards[binary[0]], rewards.get(total)):
        return binary[0]
    if binary and total in rewards and values[total] <= {0.0, 1.0}:
        names = ", ".join(dict.fromkeys((total, *binary)))
        raise RunFolderError(f"Several columns could say right or wrong: {names}. Name one with --reward.")
    if total in rewards:
        return total
    for chosen in (two, accurate) if accurate else (varied,):
        if len(chosen) == 1:
            return chosen[0]
    names = ", ".join(binary or two or accurate or varied or rewards)
    raise RunFolderError(f"Several columns could say right or wrong: {names}. Name one with --reward.")


def _contradict(grades: Numbers, total: Numbers | None) -> bool:
    """Whether both are 0 and 1, and not the same ones: one of them is something else, perhaps the right answers."""
    if total is None:
        return False
    known = np.isfinite(grades) & np.isfinite(total)
    return bool(np.isin(total[known], (0, 1)).all() and (grades[known] != total[known]).any())


def _has_part(name: str, parts: tuple[str, ...]) -> bool:
    return any(part in name.lower() for part in parts)


def _sum(rewards: Mapping[str, Numbers]) -> Numbers:
    """The sum of the values that are there; NaN without any."""
    stacked = np.stack(list(rewards.values()))
    known = ~np.isnan(stacked)
    return np.where(known.any(axis=0), np.where(known, stacked, 0.0).sum(axis=0), np.nan)
