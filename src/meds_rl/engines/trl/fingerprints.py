"""The source of a trainer's fingerprints: TRL's forward, a forward of our own, or a function of the texts.

For each generation batch the trainer calls ``start_batch``, then ``recording`` if TRL runs its old-log-probability
forward, then ``features`` when the batch is shaped.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeAlias

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import ArrayLike, NDArray
from torch import nn

from meds_rl.engines.trl.config import MEDSConfig
from meds_rl.fingerprint import (
    AnswerFinder,
    AnswerPosition,
    Fingerprint,
    ReferencePolicy,
    Where,
    answer_finder,
    extract,
    extract_answer,
    find_backbone,
    make_fingerprint,
    num_forwards,
    record,
)
from meds_rl.fingerprint.text import NUM_FEATURES, answer_vectors

FingerprintFunction: TypeAlias = Callable[..., ArrayLike]
"""f(prompts=, completions=, answers=, **columns) -> (n, D), called as TRL calls reward functions; NaN for no answer."""


class FingerprintSource:
    """Fingerprints that are read from the model.

    Args:
        model: the policy, before accelerate wraps it.
        args: names the fingerprint, the answer's marker and the model to read.
        fingerprint, finder: the user's, instead of those that ``args`` names.
        tokenizer: finds answers in token ids.
        ref_model: TRL's reference model, if it has one.

    Attributes:
        num_features: D, the width of a fingerprint of this model.
        follows_policy: whether a completion's fingerprint changes with the policy; that of a reference does not.

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
        if fingerprint is None:
            fingerprint = make_fingerprint(str(args.fingerprint), args.fingerprint_layers)
        self._fingerprint = fingerprint
        backbone = find_backbone(model)
        head = model.get_output_embeddings()
        if isinstance(head, nn.Linear) and head.in_features != backbone.hidden_size:
            raise ValueError(
                f"The unembedding reads {head.in_features} numbers, the decoder's states have {backbone.hidden_size}: "
                "models with a projection in between have no layer logits."
            )
        self.num_features: int | None = fingerprint.num_features(backbone.num_layers, backbone.hidden_size)
        self._find = answer_finder(args.answer_marker if finder is None else finder)
        self._tokenizer = tokenizer
        self._batch_size = args.per_device_train_batch_size
        self._reference = ReferencePolicy(model, frozen=ref_model) if args.fingerprint_from == "reference" else None
        self.follows_policy = self._reference is None
        # TRL's forward cannot be used: for a reference's fingerprints; for a PEFT model with a KL term, as TRL runs the
        # same model with its adapters off; where truncated completions are masked, as they are then not attended to.
        # It depends on settings only, so that all processes agree.
        adapters_off = bool(args.beta) and ref_model is None
        self._can_record = not (self._reference or adapters_off or args.mask_truncated_completions)
        self._prompt_ids: list[list[int]] = []
        self._completion_ids: list[list[int]] = []
        self._answers: list[AnswerPosition | None] = []
        self._recorded: NDArray[np.float32] | None = None

    def start_batch(self, prompt_ids: list[list[int]], completion_ids: list[list[int]]) -> None:
        """Take this process's rows of a new batch, as token ids, and find the answers."""
        self._prompt_ids, self._completion_ids = prompt_ids, completion_ids
        self._answers = [self._find(ids, self._tokenizer) for ids in completion_ids]
        self._recorded = None

    @contextmanager
    def recording(self, model: nn.Module, attention_mask: torch.Tensor, logits_to_keep: int) -> Iterator[None]:
        """Record the fingerprints in the old-log-probability forward that runs inside this context, if they can be.

        Args:
            model: the policy, as accelerate has wrapped it.
            attention_mask: (B, P + C), prompts padded left and completions padded right.
            logits_to_keep: C.
        """
        if not self._can_record or self._recorded is not None:
            yield
            return
        start = attention_mask.size(1) - logits_to_keep
        where = Where.from_answers(
            self._answers,
            starts=[start] * len(self._answers),
            lengths=[len(ids) for ids in self._completion_ids],
            width=attention_mask.size(1),
            prompt_starts=[start - len(ids) for ids in self._prompt_ids],
            device=attention_mask.device,
        )
        with record(model, self._fingerprint, where) as recorder:
            yield
        self._recorded = recorder.features()

    def features(
        self,
        wanted: NDArray[np.bool_],
        rows: Sequence[Mapping[str, Any]],
        model: nn.Module,
        accelerator: Accelerator,
    ) -> NDArray[np.float32]:
        """Fingerprints of this process's rows: those recorded, or by a forward over the wanted rows.

        Args:
            wanted: (n,) bool, the rows that are needed; the others may be NaN in the result.
            rows: n rows of the data set.
            model: the policy, as accelerate has wrapped it.
            accelerator: of this process; all of them run the same number of forwards.

        Returns:
            (n, D) float32, a row of NaN where there is no answer.
        """
        if self._recorded is not None:
            return self._recorded
        answers = [answer if keep else None for answer, keep in zip(self._answers, wanted, strict=True)]
        forwards = 0
        if accelerator.num_processes > 1:
            needed = torch.tensor(num_forwards(answers, batch_size=self._batch_size), device=accelerator.device)
            forwards = int(accelerator.gather(needed).max())
        with nullcontext(model) if self._reference is None else self._reference.use() as read:
            return extract(
                read,
                self._fingerprint,
                self._prompt_ids,
                self._completion_ids,
                answers,
                batch_size=self._batch_size,
                min_forwards=forwards,
            )


class TextFingerprints:
    """Fingerprints by a function of the texts; the methods are those of `FingerprintSource`.

    Args:
        function: called with all rows of this process: prompts, texts of completions, answers (None for none) and the
            other columns of the data set.
        marker: of the answer.
        finder: the user's, instead of the marker.
        tokenizer: decodes completions.
        num_features: D; None if it is not known before the first batch.
    """

    follows_policy = False

    def __init__(
        self,
        function: FingerprintFunction,
        marker: str,
        finder: AnswerFinder | None,
        tokenizer: Any,
        num_features: int | None = None,
    ) -> None:
        self._function = function
        self._marker = marker
        self._finder = None if finder is None else answer_finder(finder)
        self._tokenizer = tokenizer
        self._completion_ids: list[list[int]] = []
        self.num_features = num_features

    def start_batch(self, prompt_ids: list[list[int]], completion_ids: list[list[int]]) -> None:
        """Take this process's rows of a new batch, as token ids."""
        self._completion_ids = completion_ids

    @contextmanager
    def recording(self, model: nn.Module, attention_mask: torch.Tensor, logits_to_keep: int) -> Iterator[None]:
        """Record nothing: the texts are enough."""
        yield

    def features(
        self,
        wanted: NDArray[np.bool_],
        rows: Sequence[Mapping[str, Any]],
        model: nn.Module,
        accelerator: Accelerator,
    ) -> NDArray[np.float32]:
        """See `FingerprintSource.features`.

        Raises:
            ValueError: the function returns something else than n rows.
        """
        texts = [self._decode(ids) for ids in self._completion_ids]
        names = rows[0].keys() - {"prompt", "completion", "completion_ids"}
        returned = self._function(
            prompts=[row["prompt"] for row in rows],
            completions=texts,
            answers=[self._answer(ids, text) for ids, text in zip(self._completion_ids, texts, strict=True)],
            **{name: [row[name] for row in rows] for name in names},
        )
        features = np.array(returned, dtype=np.float32)
        if features.ndim != 2 or len(features) != len(rows):
            raise ValueError(
                f"fingerprint must return an array ({len(rows)}, D), one row for each completion; got shape "
                f"{features.shape}."
            )
        features[~wanted] = np.nan
        return features

    def _answer(self, completion_ids: list[int], text: str) -> str | None:
        """The text of the answer: after the marker, or of the tokens that the user's finder finds."""
        if self._finder is None:
            return extract_answer(text, self._marker)
        found = self._finder(completion_ids, self._tokenizer)
        return None if found is None else self._decode(completion_ids[found.position + 1 : found.end + 1])

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text


Source: TypeAlias = FingerprintSource | TextFingerprints


def make_source(
    model: Any,
    args: MEDSConfig,
    fingerprint: Fingerprint | FingerprintFunction | None,
    finder: AnswerFinder | None,
    tokenizer: Any,
    ref_model: Any,
) -> Source:
    """The source for the fingerprint that ``args`` names, or for the user's (an object or a function)."""
    if callable(fingerprint):
        return TextFingerprints(fingerprint, args.answer_marker, finder, tokenizer)
    if fingerprint is None and args.fingerprint == "answer_string":
        return TextFingerprints(
            lambda answers, **_: answer_vectors(answers), args.answer_marker, finder, tokenizer, NUM_FEATURES
        )
    return FingerprintSource(model, args, fingerprint, finder, tokenizer, ref_model)
