"""Where the fingerprints of a batch come from: TRL's own forward or one of ours, or a function of the texts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
"""f(prompts=, completions=, answers=, **columns) -> (n, D), called as TRL calls reward functions."""


class FingerprintSource:
    """Gives the model's fingerprints of one batch after the other.

    Args:
        model: the policy, before the engine wraps it.
        args: names the fingerprint, the answer's marker and the model to read.
        fingerprint, finder: the user's own, instead of those that ``args`` names.
        tokenizer: finds answers in token ids.
        ref_model: TRL's reference model, if it has one.

    Attributes:
        num_features: D, the width of a fingerprint of this model.
        follows_policy: whether fingerprints change as the policy moves; those of a frozen reference do not.

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
        # TRL's forward is of no use for a reference's fingerprints; for those of a PEFT model, which with its adapters
        # off is TRL's reference, too; and where truncated completions are masked, which takes them out of the
        # attention. This depends on settings only, so that all processes agree.
        adapters_off = bool(args.beta) and ref_model is None
        self._may_listen = not (self._reference or adapters_off or args.mask_truncated_completions)
        self._prompt_ids: list[list[int]] = []
        self._completion_ids: list[list[int]] = []
        self._answers: list[AnswerPosition | None] = []
        self._recorded: NDArray[np.float32] | None = None

    def expect(self, prompt_ids: list[list[int]], completion_ids: list[list[int]]) -> None:
        """A new batch: find the answers in its completions."""
        self._prompt_ids, self._completion_ids = prompt_ids, completion_ids
        self._answers = [self._find(ids, self._tokenizer) for ids in completion_ids]
        self._recorded = None

    @contextmanager
    def listen(self, model: nn.Module, attention_mask: torch.Tensor, logits_to_keep: int) -> Iterator[None]:
        """Take the fingerprints from the old-log-probability forward that runs inside this context.

        Args:
            model: the policy, as the engine has wrapped it by now.
            attention_mask: (B, P + C), prompts padded left and completions padded right.
            logits_to_keep: C.
        """
        if not self._may_listen or self._recorded is not None:
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
        """Fingerprints of this process's part of the batch.

        Args:
            wanted: (n,) bool, the rows that are needed; the others may be NaN in the result.
            rows: n rows of the data set.
            model: the policy, as the engine has wrapped it by now.
            accelerator: knows how many processes must stay in step.

        Returns:
            (n, D) float32, a row of NaN where there is no answer.
        """
        if self._recorded is not None:
            return self._recorded
        answers = [answer if keep else None for answer, keep in zip(self._answers, wanted, strict=True)]
        forwards = 0
        if accelerator.num_processes > 1:
            own = torch.tensor(num_forwards(answers, batch_size=self._batch_size), device=accelerator.device)
            forwards = int(accelerator.gather(own).max())
        if self._reference is None:
            return self._extract(model, answers, forwards)
        with self._reference.use() as reference:
            return self._extract(reference, answers, forwards)

    def _extract(self, model: Any, answers: list[AnswerPosition | None], forwards: int) -> NDArray[np.float32]:
        return extract(
            model,
            self._fingerprint,
            self._prompt_ids,
            self._completion_ids,
            answers,
            batch_size=self._batch_size,
            min_forwards=forwards,
        )


class TextFingerprints:
    """Gives the fingerprints of one batch after the other, as `FingerprintSource` does, by a function of the texts.

    Args:
        function: called with all rows of this process: prompts, texts of completions, answers (None for none) and the
            other columns of the data set. It returns (n, D); a row of NaN for no answer.
        marker: of the answer.
        finder: the user's own, instead of the marker.
        tokenizer: decodes completions.
        num_features: D, where it is known.

    Attributes:
        num_features: D; None if it is not known before the first batch.
        follows_policy: False, as a text keeps its fingerprint while the policy moves.
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

    def expect(self, prompt_ids: list[list[int]], completion_ids: list[list[int]]) -> None:
        """A new batch."""
        self._completion_ids = completion_ids

    @contextmanager
    def listen(self, model: nn.Module, attention_mask: torch.Tensor, logits_to_keep: int) -> Iterator[None]:
        """Nothing is read from a forward."""
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
        names = [name for name in rows[0] if name not in ("prompt", "completion", "completion_ids")]
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
        """The text of the answer; with a finder of the user's own the text of the tokens that it finds."""
        if self._finder is None:
            return extract_answer(text, self._marker)
        found = self._finder(completion_ids, self._tokenizer)
        return None if found is None else self._decode(completion_ids[found.position + 1 : found.end + 1])

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text


Source: TypeAlias = FingerprintSource | TextFingerprints


def _answer_strings(answers: list[str | None], **_: Any) -> NDArray[np.float32]:
    return answer_vectors(answers)


def make_source(
    model: Any,
    args: MEDSConfig,
    fingerprint: Fingerprint | FingerprintFunction | None,
    finder: AnswerFinder | None,
    tokenizer: Any,
    ref_model: Any,
) -> Source:
    """The source of the fingerprints that a configuration names, or of the user's own (an object or a function)."""
    if callable(fingerprint):
        return TextFingerprints(fingerprint, args.answer_marker, finder, tokenizer)
    if fingerprint is None and args.fingerprint == "answer_string":
        return TextFingerprints(_answer_strings, args.answer_marker, finder, tokenizer, NUM_FEATURES)
    return FingerprintSource(model, args, fingerprint, finder, tokenizer, ref_model)
