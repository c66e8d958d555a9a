"""One batch's way past the memory: fingerprints, then score, then remember. No verl in here."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meds_rl.engines.verl.batch import Completions
from meds_rl.engines.verl.config import VerlSettings
from meds_rl.fingerprint.text import text_features
from meds_rl.shaping.result import ShapedBatch
from meds_rl.shaping.shaper import RewardShaper

COLUMNS = ("cluster", "cluster_size", "penalty", "reason", "prompt_id", "is_correct")
"""What the dumps of rollouts say of each completion."""


@dataclass
class MemoryStep:
    """What MEDS adds to a step of verl's trainer. It lives in the trainer's process, once.

    Attributes:
        shaper: the method, with its memory.
        settings: of the run.
        tokenizer: decodes completions, for fingerprints of the text.
        columns: of the last batch, by TransferQueue's key: the values of `COLUMNS`.
    """

    shaper: RewardShaper
    settings: VerlSettings
    tokenizer: Any
    columns: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def apply(
        self, completions: Completions, captured: NDArray[np.float32] | None, *, progress: float
    ) -> tuple[ShapedBatch, dict[str, float]]:
        """Shape the rewards of a batch and remember it.

        Args:
            completions: n completions.
            captured: (n, D) fingerprints of the model, NaN where there is no answer; None with those of the text.
            progress: share of training that is done.

        Returns:
            What became of each reward, and the figures to log.
        """
        start = time.perf_counter()
        features = self._text_features(completions) if captured is None else captured
        shaped = self.shaper.shape(
            completions.scores,
            prompt_ids=completions.prompt_ids,
            features=features,
            is_correct=completions.is_correct,
            group_ids=completions.groups,
            progress=progress,
        )
        annealed = {} if self.shaper.anneal is None else {"alpha": self.shaper.alpha_at(progress)}
        self.columns = dict(zip(completions.keys, _columns(shaped), strict=True))
        return shaped, {
            **shaped.metrics(),
            **annealed,
            "raw_accuracy": float(completions.is_correct.mean()) if len(completions) else 0.0,
            "memory_size": float(len(self.shaper.memory)),
            "memory_ms": 1000 * (time.perf_counter() - start),
        }

    def dumped(self, keys: Sequence[str]) -> Mapping[str, list[Any]]:
        """Columns for a dump of these rows; none if it is not of the last batch."""
        if not any(key in self.columns for key in keys):
            return {}
        nothing = (None,) * len(COLUMNS)
        rows = [self.columns.get(key, nothing) for key in keys]
        return {name: list(values) for name, values in zip(COLUMNS, zip(*rows, strict=True), strict=True)}

    def _text_features(self, completions: Completions) -> NDArray[np.float32]:
        texts = [self.tokenizer.decode(ids, skip_special_tokens=True) for ids in completions.token_ids]
        return text_features(self.settings.fingerprint, texts, self.settings.answer_marker)


def _columns(shaped: ShapedBatch) -> list[tuple[Any, ...]]:
    columns = (
        shaped.clusters.tolist(),
        shaped.cluster_sizes.tolist(),
        shaped.penalties.tolist(),
        shaped.reasons,
        shaped.prompt_ids,
        shaped.is_correct.tolist(),
    )
    return list(zip(*columns, strict=True))
