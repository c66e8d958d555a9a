"""Count equal fingerprints: equal vectors are one cluster, without HDBSCAN.

With ``fingerprint: answer_string`` and ``meds_max_distance: 0`` the penalty is min(alpha ln(N(x, a) + 1), beta), where
N is how often the answer a was given to the prompt x in earlier batches. A vector that is alone is a cluster of one.
"""

from typing import Any

from meds_rl import ErrorMemory
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.memory import equal_vectors


def trainer(model: Any, reward_funcs: Any, args: MEDSConfig, train_dataset: Any, **kwargs: Any) -> MEDSTrainer:
    """`MEDSTrainer` with a memory that counts."""
    memory = ErrorMemory(equal_vectors, capacity=args.meds_capacity, half_life=args.meds_half_life)
    return MEDSTrainer(model, reward_funcs, args, train_dataset, memory=memory, **kwargs)
