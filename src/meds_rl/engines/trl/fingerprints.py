"""Where fingerprints of a batch come from: TRL's own forward where it runs one, else a forward of ours."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from meds_rl.engines.trl.completions import Spoken
from meds_rl.engines.trl.config import MEDSConfig
from meds_rl.fingerprint import (
    AnswerFinder,
    AnswerPosition,
    Fingerprint,
    ReferencePolicy,
    Where,
    answer_finder,
    extract,
    find_backbone,
    num_forwards,
    num_tokens_read,
    record,
)
from meds_rl.fingerprint.by_name import make_fingerprint


class FingerprintSource:
    """Gives the fingerprints of one batch after the other.

    Args:
        model: the policy, before the engine wraps it.
        args: names the fingerprint, the answer's marker and the model to read.
        fingerprint, finder: the user's own, instead of those that ``args`` names.
        tokenizer: finds answers in token ids.
        ref_model: TRL's reference model, if it has one.

    Attributes:
        num_features: D, the width of a fingerprint of this model.

    Raises:
        ValueError: the model has no decoder layers that can be hooked, or too few for the fingerprint.
    """

    def __init__(
        self,
        model: Any,
        args: MEDSConfig,
        fingerprint: Fingerprint | None,
        finder: AnswerFinder | None,
        tokenizer: Any,
        ref_model: Any,
    ) -> None:
        named = args.fingerprint or "layer_logits"
        self._fingerprint = (
            make_fingerprint(named, args.fingerprint_layers) if fingerprint is None else fingerprint
        )
        backbone = find_backbone(model)
        head = model.get_output_embeddings()
        if isinstance(head, nn.Linear) and head.in_features != backbone.hidden_size:
            raise ValueError(
                f"The unembedding reads {head.in_features} numbers, the decoder's states have {backbone.hidden_size}: "
                "models with a projection in between have no layer logits."
            )
        self.num_features = self._fingerprint.num_features(backbone.num_layers, backbone.hidden_size)
        self._find = answer_finder(args.answer_marker) if finder is None else finder
        self._tokenizer = tokenizer
        self._batch_size = args.per_device_train_batch_size
        self._reference = (
            ReferencePolicy(model, frozen=ref_model) if args.fingerprint_from == "reference" else None
        )
        # Not heard: a reference's fingerprints; a PEFT model's, as it is TRL's reference too, adapters off; truncated
        # completions, which that setting takes out of the attention. Settings decide, so that all processes agree.
        adapters_off = bool(args.beta) and ref_model is None
        self._may_listen = not (self._reference or adapters_off or args.mask_truncated_completions)
        self._prompt_ids: list[list[int]] = []
        self._completion_ids: list[list[int]] = []
        self._answers: list[AnswerPosition | None] = []
        self._heard: np.ndarray | None = None

    @property
    def follow_policy(self) -> bool:
        """Whether fingerprints change as the policy moves; those of a frozen reference do not."""
        return self._reference is None

    def expect(self, prompt_ids: list[list[int]], completion_ids: list[list[int]]) -> None:
        """A new batch: find the answers in its completions."""
        self._prompt_ids, self._completion_ids = prompt_ids, completion_ids
        self._answers = [self._find(ids, self._tokenizer) for ids in completion_ids]
        self._heard = None

    @contextmanager
    def listen(self, model: nn.Module, attention_mask: torch.Tensor, logits_to_keep: int) -> Iterator[None]:
        """Take the fingerprints out of the old-log-probability forward that runs inside this context.

        Args:
            model: the policy, as the engine has wrapped it by now.
            attention_mask: (B, P + C), prompts padded left and completions padded right.
            logits_to_keep: C.
        """
        start = attention_mask.size(1) - logits_to_keep
        if not self._may_listen or self._heard is not None:
            yield
            return
        with record(model, self._fingerprint, self._where(attention_mask, start)) as recorder:
            yield
        self._heard = recorder.features()

    def features(self, wanted: np.ndarray, model: nn.Module, accelerator: Accelerator) -> np.ndarray:
        """Fingerprints of the batch.

        Args:
            wanted: (n,) bool, the rows of this process that are needed; the others may come back as NaN.
            model: the policy, as the engine has wrapped it by now.
            accelerator: tells how many processes must stay in step.

        Returns:
            (n, D) float32, a row of NaN where there is no answer.
        """
        if self._heard is not None:
            return self._heard
        answers = [answer if keep else None for answer, keep in zip(self._answers, wanted, strict=True)]
        forwards = 0
        if accelerator.num_processes > 1:
            own = torch.tensor(num_forwards(answers, batch_size=self._batch_size), device=accelerator.device)
            forwards = int(accelerator.gather(own).max())
        if self._reference is None:
            return self._extract(model, answers, forwards)
        with self._reference.use() as reference:
            return self._extract(reference, answers, forwards)

    def spoken(self, row: int) -> Spoken | None:
        """What it takes to take this fingerprint of the batch again; None where there is no answer."""
        answer, completion_ids = self._answers[row], self._completion_ids[row]
        if answer is None:
            return None
        num_read = num_tokens_read(self._fingerprint, answer, len(completion_ids))
        used = completion_ids[: max(num_read, answer.position + 2)]
        return Spoken(
            prompt_ids=np.array(self._prompt_ids[row], dtype=np.int32),
            completion_ids=np.array(used, dtype=np.int32),
            position=answer.position,
            end=min(answer.end, len(used) - 1),
        )

    def encode(self, rows: Sequence[Spoken], model: nn.Module, most_rows: int) -> np.ndarray:
        """Fingerprints (n, D) of earlier completions by the policy as it is.

        Args:
            rows: this process's n completions.
            model: the policy, as the engine has wrapped it by now.
            most_rows: the most that any process has; all run as many forwards.
        """
        return extract(
            model,
            self._fingerprint,
            [row.prompt_ids.tolist() for row in rows],
            [row.completion_ids.tolist() for row in rows],
            [row.answer for row in rows],
            batch_size=self._batch_size,
            min_forwards=-(-most_rows // self._batch_size),
        )

    def _extract(self, model: Any, answers: list[AnswerPosition | None], forwards: int) -> np.ndarray:
        return extract(
            model,
            self._fingerprint,
            self._prompt_ids,
            self._completion_ids,
            answers,
            batch_size=self._batch_size,
            min_forwards=forwards,
        )

    def _where(self, attention_mask: torch.Tensor, start: int) -> Where:
        return Where.from_answers(
            self._answers,
            starts=[start] * len(self._answers),
            lengths=[len(ids) for ids in self._completion_ids],
            width=attention_mask.size(1),
            prompt_starts=[start - len(ids) for ids in self._prompt_ids],
            device=attention_mask.device,
        )
