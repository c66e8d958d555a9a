"""The second reading of the paper's feature: one layer's logits, averaged over the completion."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import torch
from torch import Tensor

from meds_rl.fingerprint.base import Where
from meds_rl.fingerprint.model import Head

_CHUNK = 8192  # rows of W in float64 at a time


class PooledLogits:
    """The mean over the completion of one layer's logits over the whole vocabulary, in d numbers, not V.

    The V-dimensional feature is mean_t(W h_t) = W m, with m the mean state. With R the Cholesky factor of W^T
    W (R^T R = W^T W), R m has the same norms, inner products, distances and cosines: |R m|^2 = m^T W^T W m =
    |W m|^2. R is computed in float64, kept, and computed again when W has changed. Where W^T W has no
    Cholesky factor (V < d, or dependent columns) the symmetric square root takes its place.

    It reads the whole completion, including what comes after the answer, so nothing can be cut off; and all
    of W. R costs V d^2 multiplications in float64 once per update of W.

    Args:
        layer: 1 to L; None for the middle one (L // 2, at least 1). Layer L is taken after the final norm.

    Raises:
        ValueError: if `layer` is less than 1; later, if the model has fewer layers.
        TypeError: if `layer` is neither an int nor None.

    Example:
        >>> PooledLogits().layers(28), PooledLogits().num_features(28, hidden_size=3584)
        ([14], 3584)
    """

    name = "pooled_logits"
    reads_completion = True

    def __init__(self, layer: int | None = None) -> None:
        if isinstance(layer, bool) or not (layer is None or isinstance(layer, int)):
            raise TypeError(f"layer must be an int or None, got {layer!r}")
        if layer is not None and layer < 1:
            raise ValueError(f"layer must be at least 1 (the first decoder layer's output), got {layer}")
        self.layer = layer
        self._factor: Tensor | None = None
        self._sketch: Tensor | None = None
        self._head: weakref.ref[Head] | None = None

    def __repr__(self) -> str:
        return f"PooledLogits(layer={self.layer!r})"

    def layers(self, num_layers: int) -> Sequence[int]:
        """The one layer."""
        layer = max(1, num_layers // 2) if self.layer is None else self.layer
        if layer > num_layers:
            raise ValueError(f"{self!r} asks for layer {layer} of a model that has {num_layers}")
        return [layer]

    def num_features(self, num_layers: int, hidden_size: int) -> int:
        """d."""
        return hidden_size

    def read(self, hidden: Tensor, where: Where, head: Head) -> Tensor:
        """R m: from (b, T, d) to (b, d)."""
        mask = where.completion_mask[:, :, None]
        # where, not a product: states at padding may be infinite or NaN.
        total = torch.where(mask, hidden, hidden.new_zeros(())).sum(dim=1, dtype=torch.float32)
        factor = self._current_factor(head)
        mean = total.to(factor.device, torch.float64) / mask.sum(dim=1).clamp(min=1).to(factor.device)
        return (mean @ factor.T).float().to(hidden.device)

    def combine(self, kept: list[Tensor]) -> Tensor:
        """(b, d), as read."""
        return kept[0]

    def _current_factor(self, head: Head) -> Tensor:
        """R (d, d) float64 for the head's present weight; a head object is looked at once."""
        if self._factor is None or self._head is None or self._head() is not head:
            with head.weight() as weight:
                sketch = _sketch(weight)
                if self._factor is None or self._sketch is None or not _same(sketch, self._sketch):
                    self._factor, self._sketch = _square_root(_gram(weight)), sketch
            self._head = weakref.ref(head)
        return self._factor


def _sketch(weight: Tensor) -> Tensor:
    """W u for a fixed vector u, (V,): changes when any row of W does.

    A tensor's version counter would be cheaper, but engines write to `.data` (DeepSpeed, FSDP, soft updates
    of a reference), which leaves the counter and the address as they were.
    """
    u = torch.cos(torch.arange(weight.shape[1], dtype=torch.float64)).to(weight.device, torch.float32)
    return torch.cat([part.float() @ u for part in torch.split(weight, _CHUNK)])


def _same(a: Tensor, b: Tensor) -> bool:
    return a.device == b.device and torch.equal(a, b)


def _gram(weight: Tensor) -> Tensor:
    """W^T W (d, d) in float64, on the CPU where the device has no float64."""
    device = torch.device("cpu") if weight.device.type == "mps" else weight.device
    gram = torch.zeros(weight.shape[1], weight.shape[1], dtype=torch.float64, device=device)
    for part in torch.split(weight, _CHUNK):
        rows = part.to(device, torch.float64)
        gram.addmm_(rows.T, rows)
    return gram


def _square_root(gram: Tensor) -> Tensor:
    """R with R^T R = gram: the Cholesky factor, or the symmetric root where gram is singular."""
    lower: Tensor
    lower, failed = torch.linalg.cholesky_ex(gram)
    if not failed:
        return lower.T
    values, vectors = torch.linalg.eigh(gram)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root
