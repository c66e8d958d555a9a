"""One batch's way past the memory: fingerprints of the rows that matter, then score, then remember."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from meds_rl.checks import check_prompt_id
from meds_rl.engines.trl.batch import Batch
from meds_rl.engines.trl.completions import Spoken
from meds_rl.engines.trl.dynamic_sampling import slice_of
from meds_rl.engines.trl.reencoding import Reencoding
from meds_rl.engines.trl.sharing import share_of
from meds_rl.engines.trl.strategy_labels import StrategyLabels
from meds_rl.engines.trl.text_fingerprints import Source
from meds_rl.memory.entry import EntryKey
from meds_rl.memory.memory import ErrorMemory
from meds_rl.shaping.shaper import RewardShaper


@dataclass
class MemoryStep:
    """What a method with a memory adds to a generation batch.

    Attributes:
        shaper: the method, with its memory. Every process holds the same memory and sees the same batch.
        fingerprints: where fingerprints come from.
        reencoding: takes those of remembered completions anew; None where they stay as they were.
    """

    shaper: RewardShaper
    fingerprints: Source
    reencoding: Reencoding | None = None

    def apply(
        self, batch: Batch, model: nn.Module, accelerator: Accelerator, *, progress: float
    ) -> dict[str, float]:
        """Shape the batch's rewards in place; returns the figures to log.

        Args:
            batch: of all processes.
            model: what fingerprints are read of.
            accelerator: gathers them.
            progress: share of training that is done.
        """
        memory, share = self.shaper.memory, share_of(accelerator)
        # TRL gives completions that no reward function graded no advantage; they teach no error either.
        graded = ~np.isnan(batch.rewards)
        wanted = np.zeros(len(batch), dtype=bool)
        wanted[graded] = self.shaper.scored_rows(
            prompt_ids=[name for name, keep in zip(batch.prompt_ids, graded, strict=True) if keep],
            is_correct=batch.is_correct[graded],
            group_ids=batch.group_ids[graded].tolist(),
        )
        times = [time.perf_counter()]
        if isinstance(self.fingerprints, StrategyLabels):
            features = self.fingerprints.of_batch(batch)
        else:
            features = self._gather_features(wanted, model, accelerator)
        times.append(time.perf_counter())
        compared = self._keys(batch, wanted & ~np.isnan(features).any(axis=1))
        figures: dict[str, float] = {}
        if self.reencoding is not None:
            figures = self.reencoding.renew(memory, compared, model, accelerator, share)
        times.append(time.perf_counter())
        if self.fingerprints.follow_policy:
            figures["fingerprint_age"] = _mean_age(memory, compared)
        batch.shape(self.shaper, features, graded, progress=progress, share=share)
        times.append(time.perf_counter())
        if self.reencoding is not None:
            self.reencoding.remember(
                memory, self._gather_spoken(batch, accelerator), self._keys(batch, wanted)
            )
            figures["reencode_ms"] = 1000 * (times[2] - times[1] + time.perf_counter() - times[3])
        if self.shaper.anneal is not None:
            figures["alpha"] = self.shaper.alpha_at(progress)
        return {
            **batch.metrics(),
            **figures,
            "memory_size": float(len(memory)),
            "fingerprint_ms": 1000 * (times[1] - times[0]),
            "memory_ms": 1000 * (times[3] - times[2]),
        }

    def _gather_features(self, wanted: np.ndarray, model: nn.Module, accelerator: Accelerator) -> np.ndarray:
        """(B, D) over all processes; only D numbers a row travel."""
        local = slice_of(accelerator, len(wanted) // accelerator.num_processes)
        with accelerator.autocast():
            features = self.fingerprints.features(wanted[local], model, accelerator)
        gathered: torch.Tensor = accelerator.gather(torch.as_tensor(features, device=accelerator.device))
        return gathered.cpu().numpy()

    def _gather_spoken(self, batch: Batch, accelerator: Accelerator) -> list[tuple[EntryKey, int, Spoken]]:
        """What was just remembered, of all processes."""
        ids, local = batch.memory_ids, slice_of(accelerator, len(batch) // accelerator.num_processes)
        rows: list[tuple[EntryKey, int, Spoken]] = []
        for place, row in enumerate(range(local.start, local.stop)):
            spoken = self.fingerprints.spoken(place) if ids[row] >= 0 else None
            if spoken is not None:
                rows.append((self._key(batch, row), int(ids[row]), spoken))
        everyone: list[tuple[EntryKey, int, Spoken]] = gather_object(rows)
        return everyone

    def _key(self, batch: Batch, row: int) -> EntryKey:
        prompt_id = self.shaper.memory_prompt(check_prompt_id(batch.prompt_ids[row]))
        return EntryKey(prompt_id, bool(batch.is_correct[row]))

    def _keys(self, batch: Batch, chosen: np.ndarray) -> list[EntryKey]:
        """The entries of the chosen rows (B,), in the order in which they first come."""
        return list(dict.fromkeys(self._key(batch, row) for row in np.flatnonzero(chosen).tolist()))

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


def _mean_age(memory: ErrorMemory, keys: list[EntryKey]) -> float:
    """Batches since the fingerprints were taken that a batch is compared with; 0 where there are none."""
    entries = [entry for key in keys if (entry := memory.entry(*key)) is not None]
    taken = sum(int(entry.encoded_steps.sum()) for entry in entries)
    count = sum(len(entry.vectors) for entry in entries)
    return memory.step - taken / count if count else 0.0
