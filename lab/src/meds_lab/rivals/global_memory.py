"""One memory for all prompts: an error is compared with the errors of every prompt."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meds_rl import ErrorMemory
from meds_rl.checks import check_features
from meds_rl.engines.settings import make_hdbscan
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.memory import Assigned, Visit

ALL_PROMPTS = "all prompts"
"""The one prompt id in the memory."""


class GlobalMemory(ErrorMemory):
    """Stores the wrong rows of all prompts as those of one prompt, and the right ones likewise.

    Example:
        >>> memory = GlobalMemory()
        >>> _ = memory.remember("x", np.repeat([[1.0, 0.0], [0.0, 1.0]], 2, axis=0))
        >>> memory.assign("another prompt", [[0.0, 1.0]]).sizes.tolist()
        [2]
    """

    def assign_batch(
        self, visits: Sequence[Visit], *, n_neighbors: int = 3, max_distance: float | None = None
    ) -> list[Assigned]:
        """Clusters and sizes of each visit's rows among those of all prompts."""
        found = super().assign_batch(_joined(visits), n_neighbors=n_neighbors, max_distance=max_distance)
        clusters = _separated(visits, [one.clusters for one in found])
        sizes = _separated(visits, [one.sizes for one in found])
        return [Assigned(*pair) for pair in zip(clusters, sizes, strict=True)]

    def remember_batch(self, visits: Sequence[Visit]) -> list[NDArray[np.int64]]:
        """Ids of each visit's rows."""
        return _separated(visits, super().remember_batch(_joined(visits)))


def _sides(visits: Sequence[Visit]) -> list[bool]:
    """False for wrong rows, True for right ones, as far as there are any."""
    return sorted({visit.is_correct for visit in visits})


def _joined(visits: Sequence[Visit]) -> list[Visit]:
    """One visit for the wrong rows of all prompts, one for the right ones."""
    return [
        Visit(
            ALL_PROMPTS,
            np.concatenate([check_features(visit.features) for visit in visits if visit.is_correct == side]),
            side,
        )
        for side in _sides(visits)
    ]


def _separated(visits: Sequence[Visit], joined: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """What was found for the joined visits, for each visit by itself."""
    rest = dict(zip(_sides(visits), joined, strict=True))
    found = []
    for visit in visits:
        size = len(check_features(visit.features))
        found.append(rest[visit.is_correct][:size])
        rest[visit.is_correct] = rest[visit.is_correct][size:]
    return found


def trainer(model: Any, reward_funcs: Any, args: MEDSConfig, train_dataset: Any, **kwargs: Any) -> MEDSTrainer:
    """`MEDSTrainer` with one memory for all prompts."""
    memory = GlobalMemory(make_hdbscan(args.settings), capacity=args.meds_capacity, half_life=args.meds_half_life)
    return MEDSTrainer(model, reward_funcs, args, train_dataset, memory=memory, **kwargs)
