"""Fingerprints of sampled completions, by forwards of their own right after the sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from meds_rl.evaluation.sampling import Completion
from meds_rl.fingerprint import (
    AnswerStates,
    Fingerprint,
    LayerLogits,
    PooledLogits,
    WorkingStates,
    answer_finder,
    extract,
)

NAMES = ("layer_logits", "layer_logits_diff", "pooled_logits", "answer_states", "working_states")


def make_fingerprint(name: str, layers: int | None = None) -> Fingerprint:
    """A fingerprint by the names that recipes use.

    Args:
        name: one of `NAMES`.
        layers: how many of the last layers, -1 for all, None for half of them; for `pooled_logits` and
            `working_states` the layer to pool (-1 for `working_states`: its own choice);
            `answer_states` has its own two.

    Raises:
        ValueError: an unknown name, or a number of layers out of range.
    """
    if name not in NAMES:
        raise ValueError(f"fingerprint must be one of {', '.join(NAMES)}; got {name!r}.")
    if name == "answer_states":
        return AnswerStates()
    if name == "working_states":
        return WorkingStates(layer=None if layers == -1 else layers)
    if name == "pooled_logits":
        return PooledLogits(layer=layers)
    return LayerLogits("all" if layers == -1 else layers, differences=name == "layer_logits_diff")


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
