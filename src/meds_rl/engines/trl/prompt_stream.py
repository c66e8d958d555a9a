"""An endless, resumable stream of training prompts, for refilling a batch (dynamic sampling)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Row = Mapping[str, Any]


class PromptStream:
    """Draws rows of a data set without replacement, one seeded permutation after the other.

    Every process holds its own copy; as all draws are the same, all copies stay equal.

    Args:
        rows: a map-style data set of N rows.
        seed: of the permutations; that of pass e is drawn with the seed (seed, e).

    Example:
        >>> stream = PromptStream([{"prompt": "a"}, {"prompt": "b"}], seed=0)
        >>> sorted(row["prompt"] for row in stream.draw(2, skip=lambda row: False))
        ['a', 'b']
    """

    def __init__(self, rows: Sequence[Row], seed: int) -> None:
        self._rows = rows
        self._seed = seed
        self._drawn = 0

    def draw(self, count: int, skip: Callable[[Row], bool]) -> list[Row]:
        """The next ``count`` rows for which ``skip`` is false; fewer if one pass over the data finds no more."""
        rows: list[Row] = []
        for _ in range(len(self._rows)):
            if len(rows) == count:
                break
            row = self._next()
            if not skip(row):
                rows.append(row)
        return rows

    def _next(self) -> Row:
        epoch, position = divmod(self._drawn, len(self._rows))
        self._drawn += 1
        return self._rows[int(self._permutation(epoch)[position])]

    def _permutation(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self._seed, epoch]).permutation(len(self._rows))

    def state_dict(self) -> dict[str, int]:
        """The state: how many rows were drawn."""
        return {"drawn": self._drawn}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue where ``state_dict`` was taken."""
        self._drawn = state["drawn"]
