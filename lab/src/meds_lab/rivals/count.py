"""Count equal fingerprints: equal vectors are one cluster, without HDBSCAN.

With ``fingerprint: answer_string`` and ``meds_max_distance: 0`` the penalty is min(alpha ln(N(x, a) + 1), beta), where
N is how often the answer a was given to the prompt x in earlier batches. A vector that is alone is a cluster of one.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meds_rl import ErrorMemory
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer


def equal_vectors(unit_vectors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Labels (n,), numbered in the order of their first vectors.

    >>> equal_vectors(np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])).tolist()
    [0, 1, 0]
    """
    numbers: dict[bytes, int] = {}
    labels = [numbers.setdefault(row.tobytes(), len(numbers)) for row in unit_vectors]
    return np.array(labels, dtype=np.int64)


def trainer(model: Any, reward_funcs: Any, args: MEDSConfig, train_dataset: Any, **kwargs: Any) -> MEDSTrainer:
    """`MEDSTrainer` with a memory that counts."""
    memory = ErrorMemory(equal_vectors, capacity=args.meds_capacity, half_life=args.meds_half_life)
    return MEDSTrainer(model, reward_funcs, args, train_dataset, memory=memory, **kwargs)
