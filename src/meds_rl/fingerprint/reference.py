"""A reference that does not move: fingerprints taken with it do not go stale while the policy trains."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.distributed.tensor import DTensor
from transformers.utils import is_peft_available

from meds_rl.fingerprint.backbone import find_backbone


def reference_model(model: nn.Module) -> nn.Module:
    """A frozen copy of `model` as it is now: evaluation mode, no gradients.

    Raises:
        ValueError: if the weights are sharded, as a copy of a shard cannot be run; copy before sharding, or
            load the model a second time and prepare it like the first.
    """
    if any(isinstance(weight, DTensor) or "ds_id" in weight.__dict__ for weight in model.parameters()):
        raise ValueError(
            "the model's weights are sharded (FSDP2 or ZeRO-3) and cannot be copied; make the reference "
            "before sharding, or pass a second model that the engine has sharded"
        )
    reference = copy.deepcopy(model)
    # A patched forward (TRL's fused head, accelerate's autocast) still holds on to the ORIGINAL model after
    # the copy.
    find_backbone(reference).model.__dict__.pop("forward", None)
    return reference.eval().requires_grad_(False)


class ReferencePolicy:
    """The model that fingerprints are taken with under `fingerprint_from="reference"`.

    With PEFT it is the policy with its adapters switched off, which costs no memory; otherwise a frozen copy
    made when this object is made, so make it before training starts.

    Args:
        model: the policy, however wrapped.
        frozen: a frozen reference that the engine has already, used instead of making a copy.

    Raises:
        ValueError: if a copy is needed and the weights are sharded.

    Example:
        >>> import transformers
        >>> config = transformers.LlamaConfig(
        ...     vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2)
        >>> policy = transformers.LlamaForCausalLM(config)
        >>> with ReferencePolicy(policy).use() as model:
        ...     model is policy, model.training
        (False, False)
    """

    def __init__(self, model: nn.Module, *, frozen: nn.Module | None = None) -> None:
        self._adapted = None if frozen is not None else _find_adapted(model)
        if self._adapted is not None:
            self._model = model
        else:
            self._model = frozen if frozen is not None else reference_model(model)

    @contextmanager
    def use(self) -> Iterator[nn.Module]:
        """The reference, to be called within the context; a policy with adapters has them back afterwards."""
        if self._adapted is None:
            yield self._model
        else:
            with self._adapted.disable_adapter():
                yield self._model


def _find_adapted(model: nn.Module) -> Any:
    """The PEFT model inside `model`, or None."""
    if not is_peft_available():
        return None
    from peft import PeftModel

    return next((module for module in model.modules() if isinstance(module, PeftModel)), None)
