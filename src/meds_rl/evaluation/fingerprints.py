"""Fingerprints of sampled completions, by forwards of their own right after the sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from meds_rl.evaluation.sampling import Completion
from meds_rl.fingerprint import (
    Fingerprint,
    answer_finder,
    extract,
)
from meds_rl.fingerprint import NAMES, make_fingerprint

__all__ = ["NAMES", "FingerprintTaker", "make_fingerprint"]


@dataclass(frozen=True)
class FingerprintTaker:
    """Takes one kind of fingerprint of one model.

    Attributes:
        model: a causal language model of transformers.
        tokenizer: finds answers in token ids.
        fingerprint: what to read.
        batch_size: rows in one forward.
    """

    model: Any
    tokenizer: Any
    fingerprint: Fingerprint
    batch_size: int = 16

    def take(
        self, prompt_ids: Sequence[list[int]], completions: Sequence[Completion], marker: str
    ) -> list[list[float] | None]:
        """One fingerprint for each completion, None where there is no answer.

        Args:
            prompt_ids: B prompts.
            completions: B completions.
            marker: how answers are marked: "boxed", "answer_tag" or "hashes".
        """
        find = answer_finder(marker)
        ids = [completion.token_ids for completion in completions]
        answers = [find(row, self.tokenizer) for row in ids]
        features = extract(
            self.model,
            self.fingerprint,
            prompt_ids,
            ids,
            answers,
            batch_size=self.batch_size,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        return [None if np.isnan(row).any() else row.tolist() for row in features]
