"""P values of paired differences, and their correction for how many there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_lab.compare.grid import Grid

MAX_EXACT = 16
"""Differences of which all sign patterns are tried: 2^16."""

NUM_RANDOM = 100_000
"""Sign patterns drawn where there are more."""


def sign_flip_p(differences: ArrayLike, rng: np.random.Generator) -> float:
    """Two-sided p value of S paired differences by the sign-flip permutation test of their mean.

    If the method did nothing, each unit's difference might as well have had the other sign. p is the share of the 2^S
    patterns of signs whose mean is at least as far from 0 as the one seen; beyond `MAX_EXACT` units of random patterns,
    the one seen counted in. The smallest p that S units can give is 2 / 2^S.

    Args:
        differences: (S,) numbers.
        rng: draws the patterns where not all are tried.

    Returns:
        p in (0, 1]; NaN for no differences, or one that is no number.

    Example:
        >>> sign_flip_p([0.1, 0.2, 0.3], np.random.default_rng(0))
        0.25
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        return float("nan")
    seen = abs(values.sum())
    limit = seen - 1e-9 * np.abs(values).sum()  # equal sums may differ by rounding
    if values.size <= MAX_EXACT:
        return float(np.mean(np.abs(_all_signs(values.size) @ values) >= limit))
    drawn = np.frombuffer(rng.bytes(NUM_RANDOM * -(-values.size // 8)), dtype=np.uint8).reshape(NUM_RANDOM, -1)
    flipped = np.unpackbits(drawn, axis=1, count=values.size) @ values  # of bits, an eighth of the work of numbers
    return float((1 + np.sum(np.abs(values.sum() - 2 * flipped) >= limit)) / (1 + NUM_RANDOM))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction (1979): with m p values in order, the i-th smallest becomes max over j <= i of
    (m - j + 1) p_j, at most 1. Whatever the dependence between the tests, the chance that any true null falls below a
    level is at most the level.

    NaN stays NaN and does not count as a comparison.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    known = [place for place, p in enumerate(p_values) if not np.isnan(p)]
    order = sorted(known, key=lambda place: p_values[place])
    adjusted = [float("nan")] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def smallest_p(num_units: int) -> float:
    """The smallest p value that so many units can give.

    Example:
        >>> smallest_p(3), smallest_p(10)
        (0.25, 0.001953125)
    """
    if num_units > MAX_EXACT:
        return 1 / (1 + NUM_RANDOM)
    return min(1.0, 2.0 * 0.5**num_units)


def _all_signs(size: int) -> NDArray[np.float64]:
    """(2^size, size) of +1 and -1."""
    bits = (np.arange(2**size)[:, None] >> np.arange(size)) & 1
    return np.asarray(bits * 2.0 - 1.0, dtype=np.float64)


# ---- Whether a grid can show anything: the least p value that its units can give, corrected for all comparisons.

LEVEL = 0.05
"""Of significance."""


def planned_units(grid: Grid, groups: Mapping[str, Sequence[str]]) -> list[int]:
    """Units of each comparison by one measure, once every cell is done.

    Args:
        grid: the grid.
        groups: task -> groups of problems that are compared.
    """
    num_pairs = len(grid.methods) - 1 + len(grid.also)
    return [
        len(grid.checkpoints[task]) * len(grid.seeds)
        for task in grid.tasks
        for _ in range(num_pairs * len(groups[task]))
    ]


def power_note(units: Sequence[int]) -> str | None:
    """A note where no difference could pass the level, whatever the methods do; None where each could.

    Holm's correction grows with every p value in it. So with each comparison at the least p of its units, 2 / 2^n, it
    gives the least corrected p of each.

    Args:
        units: of each comparison by one measure, their number.

    Example:
        >>> power_note([10] * 22), power_note([10] * 28)[:57]
        (None, 'With 10 units and 28 comparisons the least corrected p is')
        >>> round(22 * smallest_p(10), 3), round(28 * smallest_p(10), 3)
        (0.043, 0.055)
    """
    least = dict(zip(units, holm([smallest_p(number) for number in units]), strict=True))
    hopeless = sorted(number for number, p in least.items() if p > LEVEL)
    if not hopeless:
        return None
    number = f"{hopeless[0]}" if len(hopeless) == 1 else f"{hopeless[0]} to {hopeless[-1]}"
    named = "unit" if hopeless == [1] else "units"
    compared = "1 comparison" if len(units) == 1 else f"{len(units)} comparisons"
    which = "no difference" if len(hopeless) == len(least) else f"no difference over {number} {named}"
    return (
        f"With {number} {named} and {compared} the least corrected p is {min(least[n] for n in hopeless):.2g}: {which} "
        "can pass .05; ask fewer questions or have more units."
    )
