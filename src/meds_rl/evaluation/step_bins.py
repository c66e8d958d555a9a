"""Cuts a training into parts of equally many batches."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class StepBin(NamedTuple):
    """A part of a training.

    Attributes:
        first, last: steps, both within.
        rows: Numbers of the completions sampled at these steps, ascending.
    """

    first: int
    last: int
    rows: NDArray[np.int64]

    @property
    def name(self) -> str:
        """For a table.

        Example:
            >>> StepBin(0, 9, np.arange(3)).name
            'steps 0–9'
        """
        return f"step {self.first}" if self.first == self.last else f"steps {self.first}–{self.last}"


def step_bins(steps: ArrayLike, bins: int) -> list[StepBin]:
    """At most `bins` parts, in order: the different steps, shared out as evenly as they can be.

    Args:
        steps: (n,) integers, the step of each completion.
        bins: 1 or more. With fewer different steps, one part for each.

    Raises:
        ValueError: bins below 1, or more than one axis.
        TypeError: The steps are not integers.

    Example:
        >>> [(part.first, part.last, part.rows.tolist()) for part in step_bins([0, 0, 1, 5, 9], 2)]
        [(0, 1, [0, 1, 2]), (5, 9, [3, 4])]
    """
    own = np.asarray(steps)
    if bins < 1:
        raise ValueError(f"bins must be 1 or more, got {bins}")
    if own.ndim != 1:
        raise ValueError(f"steps must be (n,), got shape {own.shape}")
    if not len(own):
        return []
    if own.dtype.kind not in "iu":
        raise TypeError(f"steps must be integers, got dtype {own.dtype}")
    different = np.unique(own)
    parts = np.array_split(different, min(bins, len(different)))
    return [
        StepBin(int(part[0]), int(part[-1]), np.flatnonzero((own >= part[0]) & (own <= part[-1])))
        for part in parts
    ]
