"""Reads fingerprints in a running forward: hooks that keep a few numbers per layer, never the states themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from meds_rl.fingerprint.base import Fingerprint, Where
from meds_rl.fingerprint.model import Backbone, Head, find_backbone


class Recorder:
    """Collects the features of the rows that pass through the model; made by :func:`record`."""

    def __init__(self, backbone: Backbone, fingerprint: Fingerprint, where: Where, head: Head) -> None:
        self._fingerprint = fingerprint
        self._where = where
        self._head = head
        self._num_layers = backbone.num_layers
        self._layers = list(fingerprint.layers(backbone.num_layers))
        self._width = fingerprint.num_features(backbone.num_layers, backbone.hidden_size)
        self._done: list[Tensor] = []
        self._next_row = 0
        self._kept: dict[int, Tensor] | None = None  # None between two calls of the backbone

    def features(self) -> NDArray[np.float32]:
        """The features of all B rows, (B, D) float32, NaN without an answer; ValueError if rows are missing."""
        if self._next_row != len(self._where):
            raise ValueError(f"{len(self._where)} rows were announced, {self._next_row} went through the model")
        if not self._done:
            return np.empty((0, self._width), dtype=np.float32)
        features = torch.cat([part.cpu() for part in self._done])
        features[~self._where.has_answer.cpu()] = torch.nan
        return features.numpy()

    def attach(self, backbone: Backbone) -> list[torch.utils.hooks.RemovableHandle]:
        """Set the hooks; the caller removes them."""
        handles = [backbone.body.register_forward_pre_hook(self._begin)]
        handles += [
            backbone.layers[layer - 1].register_forward_hook(self._layer_hook(layer))
            for layer in self._layers
            if layer < self._num_layers
        ]
        # First in line, as an engine's own hook may reshape or offload the output.
        handles.append(backbone.body.register_forward_hook(self._finish, prepend=True))
        return handles

    def _begin(self, *_: Any) -> None:
        self._kept = {}

    def _layer_hook(self, layer: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            # Gradient checkpointing runs layers again in the backward, outside of the backbone.
            if self._kept is not None:
                self._kept[layer] = self._read(output[0] if isinstance(output, tuple) else output)

        return hook

    def _read(self, hidden: Tensor) -> Tensor:
        where = self._rows(hidden)
        # Autocast would round the dot products to bfloat16.
        with torch.no_grad(), torch.autocast(hidden.device.type, enabled=False):
            return self._fingerprint.read(hidden.detach(), where, self._head)

    def _rows(self, hidden: Tensor) -> Where:
        size, width = hidden.shape[:2]
        if hidden.dim() != 3 or width != self._where.completion_mask.shape[1]:
            raise ValueError(
                f"the model ran on states of shape {tuple(hidden.shape)}, but the rows announced have "
                f"{self._where.completion_mask.shape[1]} columns; they must be the columns of input_ids"
            )
        if self._next_row + size > len(self._where):
            raise ValueError(f"the model ran on {self._next_row + size} rows so far, only {len(self._where)} announced")
        return self._where.rows(self._next_row, self._next_row + size, hidden.device)

    def _finish(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        if self._kept is None:
            raise RuntimeError("the backbone finished without having begun")
        last: Tensor = output[0] if isinstance(output, tuple) else output.last_hidden_state
        if self._num_layers in self._layers:
            self._kept[self._num_layers] = self._read(last)
        if missing := [layer for layer in self._layers if layer not in self._kept]:
            raise ValueError(f"the decoder layers {missing} did not run; layer dropping must be off")
        with torch.no_grad(), torch.autocast(last.device.type, enabled=False):
            features = self._fingerprint.combine([self._kept[layer].to(last.device) for layer in self._layers])
        if tuple(features.shape) != (last.shape[0], self._width):
            raise ValueError(
                f"fingerprint {self._fingerprint.name!r} made features of shape {tuple(features.shape)}, "
                f"announced ({last.shape[0]}, {self._width})"
            )
        self._done.append(features.detach().float())
        self._next_row += last.shape[0]
        self._kept = None


@contextmanager
def record(model: nn.Module, fingerprint: Fingerprint, where: Where, *, head: Head | None = None) -> Iterator[Recorder]:
    """Take fingerprints in forwards that run anyway.

    Every call of the backbone within the context takes the next b rows of `where`, so a forward in chunks is fine;
    packed rows are not. It works with any forward that calls the backbone, also TRL's fused one. The model's output
    and gradients are not changed.

    Args:
        model: a causal language model, however wrapped.
        fingerprint: what to read.
        where: the rows of the coming forwards, in order.
        head: the unembedding, to share it between recordings of the same weights.

    Yields a recorder; call its `features()` after the forward.
    ValueError if the model cannot be hooked, has too few layers for the fingerprint, or runs on too many rows.
    """
    backbone = find_backbone(model)
    head = head or Head(backbone.model, where.target_ids)
    recorder = Recorder(backbone, fingerprint, where, head)
    handles = recorder.attach(backbone)
    try:
        yield recorder
    finally:
        for handle in handles:
            handle.remove()
