"""Plain replay: right completions are recalled as with ``meds_recall``, without penalties and without clusters.

The recalled completion replaces the first of its group, whatever its error. So recall minus replay is what the memory
of errors adds to the memory of right completions. RLEP (arXiv 2507.07451) adds old completions to the group instead.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meds_rl.engines.trl import MEDSConfig, MEDSTrainer


def no_fingerprints(completions: list[str], **_: Any) -> NDArray[np.float64]:
    """(B, 1) NaN: completions are not compared.

    >>> no_fingerprints(["a", "b"]).shape
    (2, 1)
    """
    return np.full((len(completions), 1), np.nan)


def no_penalty(cluster_sizes: NDArray[Any], _group_sizes: NDArray[Any]) -> NDArray[np.float64]:
    """(B,) zeros."""
    return np.zeros(len(cluster_sizes))


def trainer(model: Any, reward_funcs: Any, args: MEDSConfig, train_dataset: Any, **kwargs: Any) -> MEDSTrainer:
    """`MEDSTrainer` that only replays.

    Raises:
        ValueError: ``meds_recall`` is 0.
    """
    if not args.meds_recall:
        raise ValueError("rival 'replay' needs meds_recall of at least 1; got 0.")
    return MEDSTrainer(
        model, reward_funcs, args, train_dataset, fingerprint=no_fingerprints, penalty=no_penalty, **kwargs
    )
