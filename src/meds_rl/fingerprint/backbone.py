"""The parts of a causal language model that the fingerprint listens to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel

_LAYER_LISTS = ("layers", "h", "blocks", "block")


@dataclass(frozen=True)
class Backbone:
    """A causal language model taken apart.

    Attributes:
        model: the causal language model itself, without wrappers (PEFT, DDP, FSDP, DeepSpeed).
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
    """Take a causal language model apart, however it is wrapped.

    Raises:
        ValueError: if there is no such model inside, or none whose decoder layers can be hooked. Call it
            before anything is computed.
    """
    language_model = _find_language_model(model)
    config = language_model.config.get_text_config()
    return Backbone(
        model=language_model,
        body=language_model.base_model,
        layers=_find_layers(language_model, config.num_hidden_layers),
        hidden_size=config.hidden_size,
    )


def _find_language_model(model: nn.Module) -> Any:
    # Wrappers are modules too, and the first pretrained model on the way down is the outermost: the causal
    # one.
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            if module.config.is_encoder_decoder:
                raise ValueError(
                    f"{type(module).__name__} is an encoder-decoder; only decoder-only models can be read"
                )
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
