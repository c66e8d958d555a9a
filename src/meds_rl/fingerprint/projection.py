"""A fixed random projection that makes wide fingerprints narrow."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from meds_rl.checks import check_positive_int
from meds_rl.fingerprint.base import Fingerprint, Where
from meds_rl.fingerprint.model import Head
from meds_rl.fingerprint.steps import signs


class Projected:
    """Another fingerprint, multiplied by a fixed random matrix if it has more than `width` numbers.

    Formula: f R / sqrt(width), with R of (D, width) random signs. The signs are hashes of their places, so they are
    the same in every process and on every machine. The cosine of two fingerprints keeps its mean and gets a standard
    deviation of about (1 - cosine^2) / sqrt(width); a distance of .25 becomes .25 +- .02 at width 128
    (Johnson-Lindenstrauss). The product runs on the model's device, so that only `width` numbers of a completion
    travel to the memory.

    Args:
        fingerprint: the wide one.
        width: numbers to keep, at least 1. A fingerprint with at most so many is not changed.

    Example:
        >>> from meds_rl.fingerprint import WorkingStates
        >>> fingerprint = Projected(WorkingStates(), 128)
        >>> fingerprint.num_features(num_layers=36, hidden_size=4096), fingerprint.num_features(4, hidden_size=64)
        (128, 64)
    """

    def __init__(self, fingerprint: Fingerprint, width: int) -> None:
        self.fingerprint = fingerprint
        self.width = check_positive_int("width", width)

    def __repr__(self) -> str:
        return f"Projected({self.fingerprint!r}, width={self.width})"

    @property
    def name(self) -> str:
        """That of the wide one."""
        return self.fingerprint.name

    @property
    def reads_completion(self) -> bool | Literal["answer"]:
        """As the wide one."""
        return self.fingerprint.reads_completion

    def layers(self, num_layers: int) -> Sequence[int]:
        """Those of the wide one."""
        return self.fingerprint.layers(num_layers)

    def num_features(self, num_layers: int, hidden_size: int) -> int:
        """The smaller one of D and `width`."""
        return min(self.fingerprint.num_features(num_layers, hidden_size), self.width)

    def read(self, hidden: Tensor, where: Where, head: Head) -> Tensor:
        """As the wide one."""
        return self.fingerprint.read(hidden, where, head)

    def combine(self, kept: list[Tensor]) -> Tensor:
        """(b, num_features), projected if the wide one has more than `width` numbers."""
        features = self.fingerprint.combine(kept)
        if features.shape[1] <= self.width:
            return features
        projected = features.float() @ _matrix(features.shape[1], self.width, features.device)
        # Sums of infinite numbers of both signs are NaN, which would be a completion without an answer.
        return torch.where(features.isinf().any(dim=1, keepdim=True), torch.inf, projected)


@lru_cache(maxsize=8)
def _matrix(num_features: int, width: int, device: torch.device) -> Tensor:
    """R / sqrt(width): (D, width) float32.

    >>> _matrix(3, 4, torch.device("cpu")).mul(2).int().tolist()
    [[1, -1, 1, -1], [1, 1, -1, -1], [1, 1, -1, -1]]
    """
    places = np.arange(num_features, dtype=np.uint64)
    matrix = signs(places, -(-width // 64) * 64)[:, :width].astype(np.float32) / np.float32(width**0.5)
    return torch.from_numpy(matrix).to(device)
