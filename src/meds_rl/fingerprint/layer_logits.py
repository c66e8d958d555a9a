"""The paper's fingerprint: the answer's logit, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from meds_rl.fingerprint.base import Where
from meds_rl.fingerprint.model import Head


class LayerLogits:
    """The logit of the answer's first token t at p, as each of the last N layers would give it.

    Formula: f_l = <h_l(p), W_t> for l = L-N+1, ..., L, where h_l(p) is the state after layer l at position p and W_t
    row t of the unembedding (paper, section on the fingerprint). The bare dot product, accumulated in float32: no
    softmax, temperature, bias, softcap or scaling. Only layer L's state is taken after the final norm. With
    `differences`, f_(l+1) - f_l instead: N - 1 numbers.

    Use "all" for models with fewer than 4 layers: a single number becomes +1 or -1 when vectors are normalised.

    Args:
        last: N; None for half the layers (L // 2, at least 1), "all" for L.
        differences: of consecutive layers, instead of the layers.

    ValueError if `last` is less than 1 (or 2 with differences); later, if the model has fewer layers.

    Example:
        >>> LayerLogits().layers(28)
        [15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28]
        >>> LayerLogits(last=4, differences=True).num_features(28, hidden_size=3584)
        3
    """

    name = "layer_logits"
    reads_completion = False

    def __init__(self, last: int | Literal["all"] | None = None, *, differences: bool = False) -> None:
        if isinstance(last, bool) or not (last is None or last == "all" or isinstance(last, int)):
            raise TypeError(f'last must be a number of layers, None or "all", got {last!r}')
        least = 2 if differences else 1
        if isinstance(last, int) and last < least:
            raise ValueError(f"last must be at least {least}{' with differences' * differences}, got {last}")
        self.last = last
        self.differences = differences

    def __repr__(self) -> str:
        return f"LayerLogits(last={self.last!r}, differences={self.differences})"

    def layers(self, num_layers: int) -> Sequence[int]:
        """The last N of the layers 1 to `num_layers`."""
        count = max(1, num_layers // 2) if self.last is None else self.last
        if count == "all":
            count = num_layers
        if not 1 + self.differences <= count <= num_layers:
            raise ValueError(f"{self!r} asks for {count} layers of a model that has {num_layers}")
        return list(range(num_layers - count + 1, num_layers + 1))

    def num_features(self, num_layers: int, hidden_size: int) -> int:
        """N, or N - 1 with differences."""
        return len(self.layers(num_layers)) - self.differences

    def read(self, hidden: Tensor, where: Where, head: Head) -> Tensor:
        """<h(p), W_t>: from (b, T, d) to (b, 1)."""
        states = hidden[torch.arange(len(hidden), device=hidden.device), where.positions]
        return (states.float() * head.rows(where.target_ids).float()).sum(dim=1, keepdim=True)

    def combine(self, kept: list[Tensor]) -> Tensor:
        """(b, N) or, with differences, (b, N - 1)."""
        logits = torch.cat(kept, dim=1)
        return logits.diff(dim=1) if self.differences else logits
