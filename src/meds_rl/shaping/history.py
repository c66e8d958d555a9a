"""Which completions an entry holds and since when, run-length encoded.

The completions that one batch adds have consecutive ids and one step, so a run (first id, step, count) says in 24
bytes what two arrays would say in 16 bytes a completion. Ids ascend in the order of remembering.
"""

import numpy as np
from numpy.typing import NDArray

Runs = NDArray[np.int64]
"""(R, 3): first id, step, count >= 1."""

NO_RUNS: Runs = np.zeros((0, 3), dtype=np.int64)
NO_RUNS.setflags(write=False)


def length(runs: Runs) -> int:
    """Number of completions n."""
    return int(runs[:, 2].sum())


def ids_of(runs: Runs) -> NDArray[np.int64]:
    """(n,) ids."""
    first, count = np.repeat(runs[:, 0], runs[:, 2]), np.repeat(np.cumsum(runs[:, 2]), runs[:, 2])
    return first + np.arange(len(first)) - count + np.repeat(runs[:, 2], runs[:, 2])


def steps_of(runs: Runs) -> NDArray[np.int64]:
    """(n,) the memory's `step` at which each was remembered."""
    return np.repeat(runs[:, 1], runs[:, 2])


def runs_of(ids: NDArray[np.int64], steps: NDArray[np.int64]) -> Runs:
    """The runs of ids and steps, both (n,): the inverse of `ids_of` and `steps_of`.

    Example:
        >>> runs_of(np.array([4, 5, 6, 9]), np.array([1, 1, 2, 2])).tolist()
        [[4, 1, 2], [6, 2, 1], [9, 2, 1]]
    """
    if not len(ids):
        return NO_RUNS
    is_start = np.ones(len(ids), dtype=np.bool_)
    is_start[1:] = (np.diff(ids) != 1) | (np.diff(steps) != 0)
    starts = np.flatnonzero(is_start)
    counts = np.diff(np.append(starts, len(ids)))
    return np.stack([ids[starts], steps[starts], counts], axis=1).astype(np.int64)


def extended(runs: Runs, first_id: int, step: int, count: int) -> Runs:
    """The runs with one more at the end, or as they are for a count of 0."""
    return np.concatenate([runs, [[first_id, step, count]]]) if count else runs


def kept_only(runs: Runs, kept: NDArray[np.bool_]) -> Runs:
    """The runs of the completions that are kept (n,)."""
    return runs if kept.all() else runs_of(ids_of(runs)[kept], steps_of(runs)[kept])
