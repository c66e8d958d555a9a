"""The source of a trainer's fingerprints: TRL's forward, a forward of our own, or a function of the texts.

For each generation batch the trainer calls ``start_batch``, then ``recording`` if TRL runs its old-log-probability
forward or ``read`` if the batch has images, then ``features`` when the batch is shaped.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeAlias

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.logging import get_logger
from numpy.typing import ArrayLike, NDArray
from torch import nn

from meds_rl.engines.trl.config import MEDSConfig, check_reference_sees
from meds_rl.fingerprint import (
    AnswerFinder,
    AnswerPosition,
    Fingerprint,
    ReferencePolicy,
    TextAnswerFinder,
    Where,
    answer_finder,
    answer_text,
    extract,
    find_backbone,
    find_written,
    make_fingerprint,
    num_forwards,
    record,
    written_runs,
)
from meds_rl.fingerprint.extraction import evaluating
from meds_rl.fingerprint.text import TEXT_FINGERPRINTS, text_fingerprints

logger = get_logger("meds_rl")

Finder: TypeAlias = str | AnswerFinder | TextAnswerFinder
"""A marker's name, or a function of the token ids or of the text."""
FingerprintFunction: TypeAlias = Callable[..., ArrayLike]
"""f(prompts=, completions=, answers=, **columns) -> (n, D), called as TRL calls reward functions; NaN for no answer."""


class FingerprintSource:
    """Fingerprints that are read from the model.

    Args:
        model: the policy, before accelerate wraps it.
        args: names the fingerprint, the answer's marker and the model to read.
        fingerprint: the user's, instead of the one that ``args`` names.
        finder: the marker of the answer, or the user's function.
        tokenizer: finds answers in token ids.
        ref_model: TRL's reference model, if it has one.

    Attributes:
        num_features: D, the width of a fingerprint of this model.
        follows_policy: whether a completion's fingerprint changes with the policy; that of a reference does not.
        needs_images: whether the batch has images, which a forward of our own could not pass to the model.

    Raises:
        ValueError: the model's layers cannot be hooked, are too few, or have a projection before the unembedding.
    """

    def __init__(
        self,
        model: Any,
        args: MEDSConfig,
        fingerprint: Fingerprint | None,
        finder: Finder,
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
                f"The unembedding takes {head.in_features} numbers, the decoder's states have {backbone.hidden_size}: "
                "models with a projection in between have no layer logits."
            )
        self.num_features: int | None = fingerprint.num_features(backbone.num_layers, backbone.hidden_size)
        self._find = answer_finder(finder)
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
        self.needs_images = False

    def start_batch(
        self,
        prompt_ids: list[list[int]],
        completion_ids: list[list[int]],
        written: Sequence[Sequence[int] | None],
        *,
        images: bool = False,
    ) -> None:
        """Take this process's rows of a new batch, as token ids, and find the answers.

        Args:
            prompt_ids, completion_ids: token ids.
            written: TRL's tool mask by row, 1 for the tokens of the model; None if they are all the model's.
            images: whether a row of any process has images.

        Raises:
            ValueError: there are images, and a reference model is to be read.
        """
        check_reference_sees(images and self._reference is not None)
        self.needs_images = images
        self._prompt_ids, self._completion_ids = prompt_ids, completion_ids
        self._answers = [
            find_written(self._find, ids, [True] * len(ids) if mask is None else list(map(bool, mask)), self._tokenizer)
            for ids, mask in zip(completion_ids, written, strict=True)
        ]
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
        where = self._where(attention_mask, logits_to_keep)
        with record(model, self._fingerprint, where) as recorder:
            yield
        self._recorded = recorder.features()

    def read(
        self,
        forward: Callable[[torch.Tensor], Any],
        model: nn.Module,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
    ) -> None:
        """Record the fingerprints in a forward of TRL's that is run only for them, as it passes images to the model.

        The model is in evaluation mode meanwhile, so that dropout draws no random numbers.

        Args:
            forward: TRL's, as a function of the attention mask; it gets one that includes truncated completions.
            model, attention_mask, logits_to_keep: see `recording`.
        """
        where = self._where(attention_mask, logits_to_keep)
        used = where.completion_mask if where.prompt_mask is None else where.completion_mask | where.prompt_mask
        with evaluating(model), record(model, self._fingerprint, where) as recorder:
            forward(used.to(attention_mask.dtype))
        self._recorded = recorder.features()

    def _where(self, attention_mask: torch.Tensor, logits_to_keep: int) -> Where:
        start = attention_mask.size(1) - logits_to_keep
        return Where.from_answers(
            self._answers,
            starts=[start] * len(self._answers),
            lengths=[len(ids) for ids in self._completion_ids],
            width=attention_mask.size(1),
            prompt_starts=[start - len(ids) for ids in self._prompt_ids],
            device=attention_mask.device,
        )

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
        finder: the marker of the answer, or the user's function.
        tokenizer: decodes completions.
        num_features: D; None if it is not known before the first batch.
    """

    follows_policy = False
    needs_images = False

    def __init__(
        self,
        function: FingerprintFunction,
        finder: Finder,
        tokenizer: Any,
        num_features: int | None = None,
    ) -> None:
        self._function = function
        self._finder = finder
        self._tokenizer = tokenizer
        self._completion_ids: list[list[int]] = []
        self._written: Sequence[Sequence[int] | None] = []
        self.num_features = num_features

    def start_batch(
        self,
        prompt_ids: list[list[int]],
        completion_ids: list[list[int]],
        written: Sequence[Sequence[int] | None],
        *,
        images: bool = False,
    ) -> None:
        """Take this process's rows of a new batch; see `FingerprintSource.start_batch`."""
        self._completion_ids, self._written = completion_ids, written

    @contextmanager
    def recording(self, model: nn.Module, attention_mask: torch.Tensor, logits_to_keep: int) -> Iterator[None]:
        """Record nothing: the texts are enough."""
        yield

    def read(self, *_: Any) -> None:
        """Read nothing: the texts are enough."""

    def features(
        self,
        wanted: NDArray[np.bool_],
        rows: Sequence[Mapping[str, Any]],
        model: nn.Module,
        accelerator: Accelerator,
    ) -> NDArray[np.float32]:
        """See `FingerprintSource.features`.

        Raises:
            ValueError: the function does not return an array of n rows.
        """
        texts = [self._tokenizer.decode(ids, skip_special_tokens=True) for ids in self._completion_ids]
        written = zip(texts, self._completion_ids, self._written, strict=True)
        names = rows[0].keys() - {"prompt", "completion", "completion_ids", "prompts", "completions", "answers"}
        returned = self._function(
            prompts=[row.get("prompt") for row in rows],  # None if an environment gives them
            completions=texts,
            answers=[answer_of(self._finder, text, ids, mask, self._tokenizer) for text, ids, mask in written],
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


def answer_of(
    finder: Finder, text: str, ids: Sequence[int], written: Sequence[int] | None, tokenizer: Any
) -> str | None:
    """The text of a completion's answer, None if it has none. What a tool wrote is not the model's answer.

    Args:
        finder: the marker, or the user's function.
        text: what the model wrote, decoded.
        ids: of the whole completion.
        written: 1 for the model's tokens; None if they are all the model's.
        tokenizer: decodes the model's parts if a tool wrote between them; the last part with an answer counts.
    """
    if written is None or all(written):
        return answer_text(finder, text, ids, tokenizer)
    parts = [list(ids[start:stop]) for start, stop in reversed(written_runs(list(map(bool, written))))]
    decoded = ((tokenizer.decode(part, skip_special_tokens=True), part) for part in parts)
    answers = (answer_text(finder, shown, part, tokenizer) for shown, part in decoded)
    return next((answer for answer in answers if answer is not None), None)


Source: TypeAlias = FingerprintSource | TextFingerprints


def make_source(
    model: Any,
    args: MEDSConfig,
    fingerprint: Fingerprint | FingerprintFunction | None,
    finder: Finder,
    tokenizer: Any,
    ref_model: Any,
) -> Source:
    """The source for the fingerprint that ``args`` names, or for the user's (an object or a function).

    With method "trl", a model that cannot be read gets the fingerprint "answer_string", with a warning, unless the user
    has named another.
    """
    answer_finder(finder)  # raises here, as the except below would fall back to texts
    if callable(fingerprint):
        return TextFingerprints(fingerprint, finder, tokenizer)
    if fingerprint is None and args.fingerprint in TEXT_FINGERPRINTS:
        return _of_text(str(args.fingerprint), finder, tokenizer)
    try:
        return FingerprintSource(model, args, fingerprint, finder, tokenizer, ref_model)
    except ValueError as error:
        if args.method != "trl" or fingerprint is not None or "fingerprint" not in args.left_open:
            raise
        logger.warning(f"The memory compares answers as text (fingerprint='answer_string'): {error}")
        return _of_text("answer_string", finder, tokenizer)


def _of_text(name: str, finder: Finder, tokenizer: Any) -> TextFingerprints:
    def function(prompts: Any, completions: Any, answers: Any, outcome: Any = None, **_: Any) -> ArrayLike:
        return text_fingerprints(name, prompts=prompts, completions=completions, answers=answers, outcomes=outcome)

    return TextFingerprints(function, finder, tokenizer, TEXT_FINGERPRINTS[name])
