"""What method "dapo-rep-exp" adds to a generation batch: a bonus for states that are unlike the group's others."""

from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import nn

from meds_rl.engines.trl.batch import Batch
from meds_rl.engines.trl.dynamic_sampling import slice_of
from meds_rl.engines.trl.fingerprints import FingerprintSource
from meds_rl.shaping.elliptical import elliptical_bonus, sparse_projection


@dataclass
class ExplorationStep:
    """Representation-based exploration (`meds_rl.shaping.elliptical`).

    Attributes:
        fingerprints: mean states of completions.
        weight: of the bonus in the reward.
        dim: numbers to which a state is projected.
        seed: of the projection, which stays the same for the whole run.
    """

    fingerprints: FingerprintSource
    weight: float
    dim: int
    seed: int

    def apply(self, batch: Batch, model: nn.Module, accelerator: Accelerator) -> dict[str, float]:
        """Fill `batch.bonuses`; returns the figures to log."""
        graded = ~np.isnan(batch.rewards)
        groups = [rows for rows in _groups(batch, graded) if batch.is_correct[rows].any()]
        wanted = np.zeros(len(batch), dtype=bool)
        for rows in groups:
            wanted[rows] = True
        states = self._states(wanted, model, accelerator)
        bonuses = np.zeros(len(batch))
        for rows in groups:
            found = rows[~np.isnan(states[rows]).any(axis=1)]
            bonuses[found] = elliptical_bonus(states[found])
        batch.bonuses = self.weight * bonuses
        return {"mean_bonus": float(bonuses[wanted].mean()) if wanted.any() else 0.0}

    def _states(
        self, wanted: NDArray[np.bool_], model: nn.Module, accelerator: Accelerator
    ) -> NDArray[np.float64]:
        """(B, k) projected states over all processes; only k numbers a row travel."""
        local = slice_of(accelerator, len(wanted) // accelerator.num_processes)
        with accelerator.autocast():
            states = self.fingerprints.features(wanted[local], model, accelerator)
        projected = states @ sparse_projection(self.fingerprints.num_features, self.dim, self.seed)
        gathered: torch.Tensor = accelerator.gather(
            torch.as_tensor(projected, dtype=torch.float32, device=accelerator.device)
        )
        return np.asarray(gathered.cpu().numpy(), dtype=np.float64)


def _groups(batch: Batch, graded: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """The graded rows of each prompt."""
    rows: dict[str | int, list[int]] = {}
    for row in np.flatnonzero(graded).tolist():
        rows.setdefault(batch.prompt_ids[row], []).append(row)
    return [np.array(found, dtype=np.intp) for found in rows.values()]
