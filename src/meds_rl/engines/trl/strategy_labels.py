"""The control that knows: what a fingerprint that names every planted strategy without error is worth."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from meds_rl.engines.trl.batch import Batch
from meds_rl.engines.trl.completions import Spoken
from meds_rl.fingerprint import text as answer_string


class StrategyLabels:
    """Gives each completion the name of the strategy that the task reads out of its working, as a vector.

    Only tasks whose errors were planted can name them, so this is no method for use. It says how much of a result is
    due to the fingerprint's errors. It is no upper bound: names are coarse ("other" is one, "arithmetic slip" another,
    whatever was slipped in), and a policy that is paid for rare names may take up slips. A completion without an answer
    counts under the name of its working, too.

    Attributes:
        num_features: D.
        follow_policy: False: names stay what they are.
    """

    follow_policy = False
    num_features = answer_string.NUM_FEATURES

    def expect(self, prompt_ids: list[list[int]], completion_ids: list[list[int]]) -> None:
        """A new batch: its strategies come with it."""

    @contextmanager
    def listen(self, model: nn.Module, attention_mask: torch.Tensor, logits_to_keep: int) -> Iterator[None]:
        """There is nothing to hear in a forward."""
        yield

    def features(self, wanted: np.ndarray, model: nn.Module, accelerator: Accelerator) -> np.ndarray:
        """Never asked: see `of_batch`.

        Raises:
            TypeError: always.
        """
        raise TypeError("the names of strategies come from the graded batch: use of_batch")

    def of_batch(self, batch: Batch) -> np.ndarray:
        """(B, D) float32, rows of NaN where no strategy is named."""
        return answer_string.answer_vectors(batch.strategies)

    def spoken(self, row: int) -> Spoken | None:
        """Nothing is ever taken anew."""
        return None
