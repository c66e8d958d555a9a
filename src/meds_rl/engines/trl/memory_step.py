"""One batch's way past the memory: fingerprints of the rows that matter, then score, then remember."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from meds_rl.engines.trl.batch import Batch
from meds_rl.engines.trl.fingerprints import FingerprintSource
from meds_rl.engines.trl.rollout import slice_of
from meds_rl.shaping.shaper import RewardShaper


@dataclass
class MemoryStep:
    """What method "meds" adds to a generation batch.

    Attributes:
        shaper: the method, with its memory. Every process holds the same memory and sees the same batch.
        fingerprints: where fingerprints come from.
    """

    shaper: RewardShaper
    fingerprints: FingerprintSource

    def apply(self, batch: Batch, model: nn.Module, accelerator: Accelerator) -> dict[str, float]:
        """Shape the batch's rewards in place; returns the figures to log."""
        # TRL gives completions that no reward function graded no advantage; they teach no error either.
        graded = ~np.isnan(batch.rewards)
        wanted = np.zeros(len(batch), dtype=bool)
        wanted[graded] = self.shaper.scored_rows(
            prompt_ids=[name for name, keep in zip(batch.prompt_ids, graded, strict=True) if keep],
            is_correct=batch.is_correct[graded],
        )
        started = time.perf_counter()
        features = self._gather_features(wanted, model, accelerator)
        fingerprinted = time.perf_counter()
        batch.shape(self.shaper, features, graded)
        remembered = time.perf_counter()
        return {
            **batch.metrics(),
            "memory_size": float(len(self.shaper.memory)),
            "fingerprint_ms": 1000 * (fingerprinted - started),
            "memory_ms": 1000 * (remembered - fingerprinted),
        }

    def _gather_features(self, wanted: np.ndarray, model: nn.Module, accelerator: Accelerator) -> np.ndarray:
        """(B, D) over all processes; only D numbers a row travel."""
        local = slice_of(accelerator, len(wanted) // accelerator.num_processes)
        with accelerator.autocast():
            features = self.fingerprints.features(wanted[local], model, accelerator)
        gathered: torch.Tensor = accelerator.gather(torch.as_tensor(features, device=accelerator.device))
        return gathered.cpu().numpy()

    def check(self) -> None:
        """A memory of other fingerprints is refused before anything is generated.

        Raises:
            ValueError: its width is not that of this model's fingerprints.
        """
        width, found = self.fingerprints.num_features, self.shaper.memory.n_features
        if found is not None and found != width:
            raise ValueError(
                f"The memory holds fingerprints of {found} features; this model and fingerprint give {width}. "
                "Take the memory of a run with the same model and fingerprint, or start with an empty one."
            )
