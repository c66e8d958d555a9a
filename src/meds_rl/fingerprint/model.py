"""The parts of a causal language model that a fingerprint reads: decoder layers and unembedding."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel
from transformers.utils import is_peft_available

_LAYER_LISTS = ("layers", "h", "blocks", "block")


@dataclass(frozen=True)
class Backbone:
    """The parts of a causal language model.

    Attributes:
        model: the model without wrappers (PEFT, DDP, FSDP, DeepSpeed).
        body: the model without its head; its output is the state after the final norm.
        layers: the L decoder layers.
        hidden_size: d.
    """

    model: Any
    body: nn.Module
    layers: Sequence[nn.Module]
    hidden_size: int

    @property
    def num_layers(self) -> int:
        """L."""
        return len(self.layers)


def find_backbone(model: nn.Module) -> Backbone:
    """The parts of a causal language model, however wrapped; ValueError if its decoder layers cannot be hooked."""
    adapted = _find_adapted(model)
    if adapted is not None and adapted.active_peft_config.is_prompt_learning:
        raise ValueError(
            f"{type(adapted.active_peft_config).__name__} puts virtual tokens before the prompt, so that states do not "
            "line up with tokens. Use an adapter of weights (LoRA), or fingerprint='answer_string'"
        )
    language_model = _find_language_model(model)
    config = language_model.config.get_text_config()
    return Backbone(
        model=language_model,
        body=language_model.base_model,
        layers=_find_layers(language_model, config.num_hidden_layers),
        hidden_size=config.hidden_size,
    )


def _find_language_model(model: nn.Module) -> Any:
    # Wrappers are modules, too; the first pretrained model on the way down is the outermost one, with the head.
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            if module.config.is_encoder_decoder:
                raise ValueError(f"{type(module).__name__} is an encoder-decoder; only decoder-only models can be read")
            if module.get_output_embeddings() is None or module.base_model is module:
                raise ValueError(
                    f"{type(module).__name__} has no unembedding on top of a backbone; the fingerprint needs "
                    "a causal language model, such as AutoModelForCausalLM loads"
                )
            return module
    raise ValueError(f"no transformers PreTrainedModel found in {type(model).__name__}")


def _find_layers(language_model: Any, num_layers: int) -> Sequence[nn.Module]:
    decoder: nn.Module = language_model.get_decoder()
    lists = {
        name: module
        for name, module in decoder.named_modules()
        if isinstance(module, nn.ModuleList) and name.rpartition(".")[2] in _LAYER_LISTS
    }
    fitting = {name: module for name, module in lists.items() if len(module) == num_layers}
    if not fitting:
        seen = ", ".join(f"{name} ({len(module)})" for name, module in lists.items()) or "none"
        raise ValueError(
            f"{type(language_model).__name__} has no decoder layers that can be hooked: looked in "
            f"{type(decoder).__name__} for an nn.ModuleList called {', '.join(_LAYER_LISTS)} with "
            f"config.num_hidden_layers = {num_layers} entries, found {seen}"
        )
    return list(fitting[min(fitting, key=lambda name: name.count("."))])


class Head:
    """The unembedding W (V, d): the rows W_t that a batch needs, or all of it.

    Nothing is read before the first use, which is inside the model's forward, when sharding engines have the weights
    ready. Sharded weights are gathered once, for the rows of all `token_ids` together, so that every rank takes part
    in the same number of collectives.

    Args:
        model: the causal language model, whose `get_output_embeddings` has the weight.
        token_ids: (n,) int64, all ids that `rows` will be called with.
    """

    def __init__(self, model: nn.Module, token_ids: Tensor) -> None:
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
        """All of W, (V, d), without gradient; sharded weights are freed at the end of the context.

        ValueError for an adapter on the head, a quantised head, or sharding other than FSDP and ZeRO.
        """
        module = self._model.get_output_embeddings()
        _refuse_adapter(module)
        with torch.no_grad(), _gathered(module.weight) as weight:
            if weight.dim() != 2 or not weight.is_floating_point():
                raise ValueError(
                    f"the unembedding must be a (V, d) matrix of floats, got shape {tuple(weight.shape)} of "
                    f"{weight.dtype}; quantised heads and weights flattened by FSDP outside of its forward cannot be "
                    "read"
                )
            yield weight.detach()


def _refuse_adapter(module: nn.Module) -> None:
    if not is_peft_available():
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    # The base weight alone, without the adapter's part, is not the head of the model that runs.
    if isinstance(module, BaseTunerLayer):
        raise ValueError(
            f"the unembedding carries an adapter ({type(module).__name__}); remove `lm_head` from "
            "`target_modules` (or train it whole, with `modules_to_save`)"
        )


@contextmanager
def _gathered(weight: Any) -> Iterator[Tensor]:
    if isinstance(weight, DTensor):  # FSDP2 outside of the module's own forward, or tensor parallelism
        yield weight.full_tensor()
        return
    if "ds_id" in weight.__dict__:  # DeepSpeed ZeRO-3: empty until gathered
        import deepspeed
        from deepspeed.runtime.zero.partition_parameters import ZeroParamStatus

        # A tied weight may be gathered already; gathering it again would free it too early.
        if weight.ds_status != ZeroParamStatus.AVAILABLE:
            with deepspeed.zero.GatheredParameters([weight]):
                yield weight
            return
    yield weight


def reference_model(model: nn.Module) -> nn.Module:
    """A frozen copy of `model` in evaluation mode; ValueError if the weights are sharded."""
    if any(isinstance(weight, DTensor) or "ds_id" in weight.__dict__ for weight in model.parameters()):
        raise ValueError(
            "the model's weights are sharded (FSDP2 or ZeRO-3) and cannot be copied; make the reference before "
            "sharding, or pass a second model that the engine has sharded"
        )
    reference = copy.deepcopy(model)
    # A patched forward (TRL's fused head, accelerate's autocast) still calls the ORIGINAL model after the copy.
    find_backbone(reference).model.__dict__.pop("forward", None)
    return reference.eval().requires_grad_(False)


class ReferencePolicy:
    """The model that is read under `fingerprint_from="reference"`: it does not train.

    With PEFT it is the policy with its adapters switched off, which costs no memory; otherwise a frozen copy, made at
    once: construct it before training starts.

    Args:
        model: the policy, however wrapped.
        frozen: the engine's own frozen reference, instead of a copy (sharded weights cannot be copied: ValueError).
    """

    def __init__(self, model: nn.Module, *, frozen: nn.Module | None = None) -> None:
        self._adapted = None if frozen is not None else _find_adapted(model)
        if self._adapted is not None:
            self._model = model
        else:
            self._model = frozen if frozen is not None else reference_model(model)

    @contextmanager
    def use(self) -> Iterator[nn.Module]:
        """The reference, to be called within the context; afterwards the policy's adapters are on again."""
        if self._adapted is None:
            yield self._model
        else:
            with self._adapted.disable_adapter():
                yield self._model


def _find_adapted(model: nn.Module) -> Any:
    if not is_peft_available():
        return None
    from peft import PeftModel

    return next((module for module in model.modules() if isinstance(module, PeftModel)), None)
