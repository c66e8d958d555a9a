"""Bytes of a training run's memory and of its traffic, counted and not measured.

The tables are under "Cluster runs" in docs/performance.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

BYTES_A_NUMBER = 4  # float32
BYTES_A_COMPLETION = 8  # beside its fingerprint: its cluster and its place in the spanning tree, int32 each
BYTES_A_VISIT = 24  # a run of ids and steps: three int64
BYTES_A_PROMPT = 1_000  # Python's own objects, see "Bytes" in docs/performance.md


@dataclass(frozen=True)
class Scale:
    """A training run, as far as its memory is concerned.

    Attributes:
        features: D, numbers in a fingerprint.
        prompts: different prompts in the data.
        completions: G, sampled per prompt at each visit.
        wrong: how many of them are wrong, and so remembered.
        epochs: visits to each prompt.
        batch_prompts: prompts in a step.
        capacity: most completions remembered of a prompt; None for no bound.
    """

    features: int
    prompts: int = 25_000
    completions: int = 16
    wrong: int = 8
    epochs: int = 100
    batch_prompts: int = 512
    capacity: int | None = None

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.epochs * self.prompts // self.batch_prompts

    def remembered(self, epoch: int | None = None) -> int:
        """Completions of one prompt after so many epochs; by default after all."""
        seen = self.wrong * (self.epochs if epoch is None else epoch)
        return seen if self.capacity is None else min(seen, self.capacity)

    def arrays(self, epoch: int | None = None) -> int:
        """Bytes of all prompts' arrays: `ErrorMemory.nbytes`, and the memory's file but for its list of prompts."""
        n = self.remembered(epoch)
        visits = math.ceil(n / self.wrong)
        one = n * (BYTES_A_NUMBER * self.features + BYTES_A_COMPLETION) + visits * BYTES_A_VISIT
        return self.prompts * one

    def in_process(self, epoch: int | None = None) -> int:
        """Bytes that the driver holds between steps."""
        return self.arrays(epoch) + self.prompts * BYTES_A_PROMPT

    def peak_of_a_step(self, epoch: int | None = None) -> int:
        """Bytes beyond that during a step: the batch's prompts exist twice, so that an error changes nothing."""
        return self.arrays(epoch) * self.batch_prompts // self.prompts

    def sent(self) -> int:
        """Bytes of fingerprints from the workers to the driver in a step."""
        return self.batch_prompts * self.completions * self.features * BYTES_A_NUMBER


def short(count: float) -> str:
    """Bytes with a unit, three digits.

    >>> short(458_752), short(3_345_000_000)
    ('459 kB', '3.35 GB')
    """
    units = ("B", "kB", "MB", "GB", "TB")
    power = 0
    while count >= 999.5 and power < len(units) - 1:
        count, power = count / 1_000, power + 1
    digits = 0 if power == 0 or count >= 99.95 else 1 if count >= 9.995 else 2
    return f"{count:.{digits}f} {units[power]}"
