"""What is changed in verl's advantages: groups that are not divided by their deviation, and the entropy advantage."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transfer_queue as tq
from numpy.typing import NDArray
from tensordict import TensorDict

from meds_rl.engines.entropy_advantage import entropy_advantage
from meds_rl.engines.verl.batch import Completions, session_of
from meds_rl.shaping.advantage import group_advantages
from meds_rl.shaping.result import ShapedBatch


def write_centered(batch: Any, completions: Completions, shaped: ShapedBatch) -> None:
    """Put r_s - mean in the place of verl's advantages for the groups that `shaped` wants so.

    Args:
        batch: the step's ``KVBatchMeta``; its advantages have been computed.
        completions: n completions of it.
        shaped: what became of their rewards.
    """
    ours = ~shaped.normalize_by_std
    if not ours.any():
        return
    values = _by_session(completions, shaped, ours)
    # All outputs of a session have the advantage of its last one.
    keys = [key for key in batch.keys if session_of(key) in values]
    data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=["response_mask"])
    rows = [
        values[session_of(key)] * mask.float()
        for key, mask in zip(keys, data["response_mask"].unbind(), strict=True)
    ]
    nested = torch.nested.as_nested_tensor(rows, layout=torch.jagged)
    fields = TensorDict({"advantages": nested, "returns": nested.clone()}, batch_size=len(keys))
    tq.kv_batch_put(keys=keys, partition_id=batch.partition_id, fields=fields)


def add_entropies(batch: Any, coef: float, cap: float) -> None:
    """Put A + min(coef * H, |A| / cap) in the place of the advantages, H of the old-log-probability forward.

    Args:
        batch: the step's ``KVBatchMeta``; its advantages are as they should be but for this.
        coef: weight of the entropy, in nats.
        cap: the bonus is at most |A| / cap.
    """
    fields = ["advantages", "entropy", "response_mask"]
    data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
    rows = [
        entropy_advantage(values[None], entropies[None], coef, cap)[0] * mask
        for values, entropies, mask in zip(*(data[name].unbind() for name in fields), strict=True)
    ]
    nested = torch.nested.as_nested_tensor(rows, layout=torch.jagged)
    added = TensorDict({"advantages": nested}, batch_size=len(batch.keys))
    tq.kv_batch_put(keys=batch.keys, partition_id=batch.partition_id, fields=added)


def _by_session(completions: Completions, shaped: ShapedBatch, ours: NDArray[np.bool_]) -> dict[str, float]:
    groups = [group for group, keep in zip(completions.groups, ours, strict=True) if keep]
    centered = group_advantages(shaped.rewards[ours], prompt_ids=groups, normalize_by_std=False)
    keys = [key for key, keep in zip(completions.keys, ours, strict=True) if keep]
    return {session_of(key): float(value) for key, value in zip(keys, centered, strict=True)}
