"""TransferQueue's double in memory: what the trainer reads of a batch and writes back, and nothing else."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import NonTensorData, NonTensorStack, TensorDict
from transfer_queue import KVBatchMeta


class Queue:
    """Values by key and field; tensors come back jagged, as from the real one."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.cleared: list[str] = []

    def batch(self, rows: dict[str, dict[str, Any]], padding: tuple[str, ...] = ()) -> KVBatchMeta:
        """Put rows in; keys named in `padding` are tagged as verl tags its padding."""
        self.rows.update(rows)
        tags = [{"is_padding": True} if key in padding else {} for key in rows]
        return KVBatchMeta(partition_id="train", keys=list(rows), tags=tags)

    def kv_batch_get(self, keys: list[str], partition_id: str, select_fields: list[str]) -> TensorDict:
        """Fields that are there; those that are not are left out, as by the real one."""
        there = [name for name in select_fields if name in self.rows[keys[0]]]
        return TensorDict({name: _column([self.rows[key][name] for key in keys]) for name in there}, len(keys))

    def kv_batch_put(self, keys: list[str], partition_id: str, fields: TensorDict) -> KVBatchMeta:
        for name in fields.keys():  # noqa: SIM118 - a TensorDict iterates over its rows
            for key, value in zip(keys, fields[name].unbind(), strict=True):
                self.rows[key][name] = value.clone()
        return KVBatchMeta(partition_id=partition_id, keys=list(keys), tags=[{} for _ in keys])

    def kv_clear(self, keys: list[str], partition_id: str) -> None:
        self.cleared += keys


def _column(values: list[Any]) -> Any:
    if isinstance(values[0], torch.Tensor):
        return torch.nested.as_nested_tensor(values, layout=torch.jagged)
    return NonTensorStack(*[NonTensorData(value) for value in values])
