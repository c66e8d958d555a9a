"""Control: counts the planted strategy that a working follows. It shows what a perfect fingerprint would gain.

Only a task that planted its errors can name them. It is no upper bound: names are coarse ("other" is one, "arithmetic
slip" another, for any slip), and a policy that is rewarded for rare names may learn slips. A completion without an
answer counts under the name of its working, too. Use it with ``meds_max_distance: 0``. With ``batch_only`` the names
are counted within the group, without a memory (`meds_lab.rivals.batch_memory`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meds_lab.rivals.batch_memory import BatchMemory, BatchTrainer
from meds_rl import ErrorMemory
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.fingerprint.text import answer_vectors
from meds_rl.memory import equal_vectors


def trainer(
    model: Any,
    reward_funcs: Any,
    args: MEDSConfig,
    train_dataset: Any,
    *,
    batch_only: bool = False,
    **kwargs: Any,
) -> MEDSTrainer:
    """`MEDSTrainer` that counts names.

    Args:
        model, reward_funcs, args, train_dataset, kwargs: as in `MEDSTrainer`.
        batch_only: count names within the group only.

    Raises:
        ValueError: the task names no strategies.
    """
    strategy: Callable[[str, Mapping[str, Any]], str | None] | None = kwargs.get("strategy")
    if strategy is None:
        raise ValueError("the rival 'named' counts strategies: give the trainer a strategy=..., or use the pocket task")

    def fingerprint(prompts: Sequence[Any], completions: Sequence[str], **columns: Any) -> NDArray[np.float32]:
        lists = {name: column for name, column in columns.items() if name != "answers"} | {"prompt": prompts}
        rows = [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
        return answer_vectors([strategy(text, row) for text, row in zip(completions, rows, strict=True)])

    kwargs["fingerprint"] = fingerprint
    if batch_only:
        memory: ErrorMemory = BatchMemory(equal_vectors)
        return BatchTrainer(model, reward_funcs, args, train_dataset, memory=memory, **kwargs)
    memory = ErrorMemory(equal_vectors, capacity=args.meds_capacity, half_life=args.meds_half_life)
    return MEDSTrainer(model, reward_funcs, args, train_dataset, memory=memory, **kwargs)
