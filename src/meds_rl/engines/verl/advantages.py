"""Advantages that are not divided by the group's deviation, where verl divides all of a batch or none."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transfer_queue as tq
from numpy.typing import NDArray
from tensordict import TensorDict

from meds_rl.engines.verl.completions import Completions, session_of
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


def _by_session(completions: Completions, shaped: ShapedBatch, ours: NDArray[np.bool_]) -> dict[str, float]:
    groups = [group for group, keep in zip(completions.groups, ours, strict=True) if keep]
    centered = group_advantages(shaped.rewards[ours], prompt_ids=groups, normalize_by_std=False)
    keys = [key for key, keep in zip(completions.keys, ours, strict=True) if keep]
    return {session_of(key): float(value) for key, value in zip(keys, centered, strict=True)}
