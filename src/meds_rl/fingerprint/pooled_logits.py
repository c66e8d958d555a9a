"""The second reading of the paper's feature: one layer's logits, averaged over the completion."""

from __future__ import annotations

import weakref

import torch
from torch import Tensor

from meds_rl.fingerprint.base import OneLayer, Where
from meds_rl.fingerprint.model import Head

_CHUNK = 8192  # rows of W in float64 at a time


class PooledLogits(OneLayer):
    """The mean over the completion of one layer's logits over the whole vocabulary, in d numbers, not V.

    The V-dimensional feature is mean_t(W h_t) = W m, with m the mean state. With R the Cholesky factor of W^T W
    (R^T R = W^T W), R m has the same norms, inner products, distances and cosines: |R m|^2 = m^T W^T W m = |W m|^2.
    R is computed in float64 and again when W has changed, at V d^2 multiplications. If W^T W has no Cholesky factor
    (V < d, or dependent columns), R is the symmetric square root.

    It reads all of W and the whole completion, also what comes after the answer.

    Args:
        layer: 1 to L; None for the middle one (L // 2, at least 1). Layer L is taken after the final norm.
            ValueError for a layer below 1; later, if the model has fewer layers.

    Example:
        >>> PooledLogits().layers(28), PooledLogits().num_features(28, hidden_size=3584)
        ([14], 3584)
    """

    name = "pooled_logits"
    reads_completion = True

    def __init__(self, layer: int | None = None) -> None:
        super().__init__(layer)
        self._factor: Tensor | None = None
        self._sketch: Tensor | None = None
        self._head: weakref.ref[Head] | None = None

    def default_layer(self, num_layers: int) -> int:
        """The middle one."""
        return max(1, num_layers // 2)

    def read(self, hidden: Tensor, where: Where, head: Head) -> Tensor:
        """R m: from (b, T, d) to (b, d)."""
        mask = where.completion_mask[:, :, None]
        # where, not a product: states at padding may be infinite or NaN.
        total = torch.where(mask, hidden, hidden.new_zeros(())).sum(dim=1, dtype=torch.float32)
        factor = self._current_factor(head)
        mean = total.to(factor.device, torch.float64) / mask.sum(dim=1).clamp(min=1).to(factor.device)
        return (mean @ factor.T).float().to(hidden.device)

    def _current_factor(self, head: Head) -> Tensor:
        """R (d, d) float64 for the head's present weight; the weight is compared once per head object."""
        if self._factor is None or self._head is None or self._head() is not head:
            with head.weight() as weight:
                sketch = _sketch(weight)
                old = self._sketch
                is_same = old is not None and old.device == sketch.device and torch.equal(old, sketch)
                if self._factor is None or not is_same:
                    self._factor, self._sketch = _square_root(_gram(weight)), sketch
            self._head = weakref.ref(head)
        return self._factor


def _sketch(weight: Tensor) -> Tensor:
    """W u for a fixed vector u, (V,): changes with any row of W (version counters miss writes to `.data`)."""
    u = torch.cos(torch.arange(weight.shape[1], dtype=torch.float64)).to(weight.device, torch.float32)
    return torch.cat([part.float() @ u for part in torch.split(weight, _CHUNK)])


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
