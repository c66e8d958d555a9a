"""Draws rows where all would be too many."""

from collections.abc import Sequence

import numpy as np


def subsample(num: int, at_most: int, rng: np.random.Generator | None) -> Sequence[int]:
    """Numbers of the rows to use, ascending: all of them if there are at most so many, else a draw without replacement.

    Raises:
        ValueError: There are more, and no generator was given to draw with.

    Example:
        >>> subsample(3, 5, None)
        [0, 1, 2]
        >>> len(subsample(100, 5, np.random.default_rng(0)))
        5
    """
    if num <= at_most:
        return list(range(num))
    if rng is None:
        raise ValueError(
            f"of {num} completions {at_most} are to be drawn: pass rng, for example numpy.random.default_rng(0)"
        )
    drawn: list[int] = np.sort(rng.choice(num, size=at_most, replace=False)).tolist()
    return drawn
