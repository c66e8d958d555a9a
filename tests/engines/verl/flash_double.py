"""The flash-attention kernel's double on a CPU: verl's own Ulysses code stays around it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations import flash_attention

NAME = "packed_on_cpu"  # for `override_config.attn_implementation`


def install() -> None:
    """Register the attention and put the double where verl calls the kernel."""
    from verl.models.transformers import monkey_patch

    monkey_patch._flash_attention_forward = packed_attention
    AttentionInterface.register(NAME, _through_verl)


def _through_verl(*args: Any, **kwargs: Any) -> Any:
    # Looked up at each call: verl replaces the function that this one calls when it patches a model.
    return flash_attention.flash_attention_forward(*args, **kwargs)


def packed_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Any,
    _length: int,
    *_: Any,
    position_ids: Tensor,
    **options: Any,
) -> Tensor:
    """Causal attention within each packed sequence; a sequence begins where its position is 0. (1, T, heads, d)."""
    sequence = (position_ids[0] == 0).cumsum(0)
    steps = torch.arange(len(sequence))
    allowed = (sequence[:, None] == sequence) & (steps[:, None] >= steps)
    repeats = query.shape[2] // key.shape[2]
    heads = [query, key.repeat_interleave(repeats, dim=2), value.repeat_interleave(repeats, dim=2)]
    mixed = torch.nn.functional.scaled_dot_product_attention(
        *[x.transpose(1, 2) for x in heads], attn_mask=allowed, scale=options["softmax_scale"]
    )
    return mixed.transpose(1, 2)
