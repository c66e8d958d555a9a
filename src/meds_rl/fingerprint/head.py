"""The unembedding W (V, d): single rows of it, or all of it, from whole or sharded weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers.utils import is_peft_available


class Head:
    """The rows W_t of the unembedding that a batch needs.

    Nothing is read before the first use: the first use is inside the model's forward, where sharding engines
        have made
    the weights ready. Sharded weights are gathered once, for the rows of all `token_ids` together; so every
    rank takes part in the same number of collectives, whatever its own ids are.
    """

    def __init__(self, model: nn.Module, token_ids: Tensor) -> None:
        """Args:
        model: the causal language model, whose `get_output_embeddings` has the weight.
        token_ids: (n,) int64, all ids that `rows` will be asked for.
        """
        self._model: Any = model
        self._ids = torch.unique(token_ids.cpu())
        self._rows: Tensor | None = None

    def rows(self, token_ids: Tensor) -> Tensor:
        """Rows of W for `token_ids` (b,): (b, d), in the weight's dtype and on `token_ids`' device."""
        if self._rows is None:
            with self.weight() as weight:
                self._rows = weight[self._ids.to(weight.device)].clone()
        rows, ids = self._rows.to(token_ids.device), self._ids.to(token_ids.device)
        return rows[torch.searchsorted(ids, token_ids)]

    @contextmanager
    def weight(self) -> Iterator[Tensor]:
        """The whole of W, (V, d), without gradient; under sharding it is freed at the end of the context.

        Raises:
            ValueError: if the weight cannot be read as a matrix of floats: an adapter on the head, a
                quantised head, or a sharding scheme other than FSDP and ZeRO.
        """
        module = self._model.get_output_embeddings()
        _refuse_adapter(module)
        with torch.no_grad(), _gathered(module.weight) as weight:
            if weight.dim() != 2 or not weight.is_floating_point():
                raise ValueError(
                    "the unembedding must be a (V, d) matrix of floats, got shape "
                    f"{tuple(weight.shape)} of {weight.dtype}; quantised heads and weights flattened "
                    "by FSDP outside of its forward cannot be read"
                )
            yield weight.detach()


def _refuse_adapter(module: nn.Module) -> None:
    """An adapter's weight is not the head's: the row would belong to a model that does not exist."""
    if not is_peft_available():
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    if isinstance(module, BaseTunerLayer):
        raise ValueError(
            f"the unembedding carries an adapter ({type(module).__name__}); remove `lm_head` from "
            "`target_modules` (or train it whole, with `modules_to_save`)"
        )


@contextmanager
def _gathered(weight: Tensor) -> Iterator[Tensor]:
    if isinstance(weight, DTensor):  # FSDP2 outside of the module's own forward, or tensor parallelism
        yield weight.full_tensor()
    elif "ds_id" in weight.__dict__:  # DeepSpeed ZeRO-3: empty until gathered
        with _gathered_by_deepspeed(weight):
            yield weight
    else:
        yield weight


@contextmanager
def _gathered_by_deepspeed(weight: Any) -> Iterator[None]:
    import deepspeed
    from deepspeed.runtime.zero.partition_parameters import ZeroParamStatus

    if (
        weight.ds_status == ZeroParamStatus.AVAILABLE
    ):  # tied and in use: gathering again would take it from its user
        yield
    else:
        with deepspeed.zero.GatheredParameters([weight]):
            yield
