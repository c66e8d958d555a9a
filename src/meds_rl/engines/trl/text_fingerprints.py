"""Fingerprints that read the text and not the model: no forward, nothing that could go stale."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from meds_rl.engines.trl.completions import Spoken
from meds_rl.engines.trl.config import TEXT_FINGERPRINTS, MEDSConfig
from meds_rl.engines.trl.fingerprints import FingerprintSource
from meds_rl.engines.trl.strategy_labels import StrategyLabels
from meds_rl.fingerprint import (
    AnswerFinder,
    Fingerprint,
    answer_finder,
    extract_answer,
)
from meds_rl.fingerprint.text import answer_vectors


class TextFingerprints:
    """Gives the fingerprints of one batch after the other, as `FingerprintSource` does.

    A completion that gives no answer has none.

    Args:
        args: names the fingerprint ("answer_string" or "text_embedding") and the answer's marker.
        finder: the user's own, instead of the marker.
        tokenizer: decodes completions.

    Attributes:
        num_features: D.
        follow_policy: False: the policy moves, texts do not.
    """

    follow_policy = False

    def __init__(self, args: MEDSConfig, finder: AnswerFinder | None, tokenizer: Any) -> None:
        self._name = args.fingerprint or "answer_string"
        self._marker = args.answer_marker
        self._finder = None if finder is None else answer_finder(finder)
        self._tokenizer = tokenizer
        self._completion_ids: list[list[int]] = []
        # A missing package is told now, not after the first generation.
        self.num_features = answer_vectors([""]).shape[1]

    def expect(self, prompt_ids: list[list[int]], completion_ids: list[list[int]]) -> None:
        """A new batch."""
        self._completion_ids = completion_ids

    @contextmanager
    def listen(self, model: nn.Module, attention_mask: torch.Tensor, logits_to_keep: int) -> Iterator[None]:
        """There is nothing to hear in a forward."""
        yield

    def features(self, wanted: np.ndarray, model: nn.Module, accelerator: Accelerator) -> np.ndarray:
        """Fingerprints of the batch, whatever the model.

        Args:
            wanted: (n,) bool, the rows of this process that are needed; the others come back as NaN.

        Returns:
            (n, D) float32, a row of NaN where there is no answer.
        """
        pairs = zip(self._completion_ids, wanted, strict=True)
        answers = [self._answer(ids) if keep else None for ids, keep in pairs]
        texts = [
            self._decode(ids) if answer is not None else ""
            for ids, answer in zip(self._completion_ids, answers, strict=True)
        ]
        return answer_vectors(answers)

    def spoken(self, row: int) -> Spoken | None:
        """Nothing is ever taken anew."""
        return None

    def _answer(self, completion_ids: list[int]) -> str | None:
        """The text of the answer; with a finder of the user's own what stands where it points."""
        if self._finder is None:
            return extract_answer(self._decode(completion_ids), self._marker)
        place = self._finder(completion_ids, self._tokenizer)
        return None if place is None else self._decode(completion_ids[place.position + 1 : place.end + 1])

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text


Source: TypeAlias = FingerprintSource | TextFingerprints | StrategyLabels


def make_source(
    model: Any,
    args: MEDSConfig,
    fingerprint: Fingerprint | None,
    finder: AnswerFinder | None,
    tokenizer: Any,
    ref_model: Any,
) -> Source:
    """Where the fingerprints come from that a configuration names, or the user's own."""
    if fingerprint is None and args.fingerprint == "strategy":
        return StrategyLabels()
    if fingerprint is None and args.fingerprint in TEXT_FINGERPRINTS:
        return TextFingerprints(args, finder, tokenizer)
    return FingerprintSource(model, args, fingerprint, finder, tokenizer, ref_model)
