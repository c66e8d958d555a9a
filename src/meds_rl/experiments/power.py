"""Whether a grid can show anything: the least p value that its units can give, corrected for all comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meds_rl.experiments.grid import Grid
from meds_rl.experiments.significance import holm, smallest_p

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
    """What to tell where a comparison cannot come out, whatever the methods do; None where each can.

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
