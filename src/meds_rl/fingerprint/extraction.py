"""Fingerprints by a separate forward, which runs only on the tokens that the fingerprint reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from meds_rl.fingerprint.answer import AnswerPosition, check_position
from meds_rl.fingerprint.base import Fingerprint, Where, num_tokens_read
from meds_rl.fingerprint.model import Head, find_backbone
from meds_rl.fingerprint.recorder import record


def num_forwards(answers: Sequence[AnswerPosition | None], *, batch_size: int = 8) -> int:
    """How many forwards :func:`extract` runs, one for every `batch_size` completions with an answer.

    With sharded weights (FSDP, ZeRO-3) every rank must run the maximum over the ranks: pass it as `min_forwards`.
    """
    answered = sum(answer is not None for answer in answers)
    return -(-answered // batch_size)


def extract(
    model: nn.Module,
    fingerprint: Fingerprint,
    prompt_ids: Sequence[Sequence[int]],
    completion_ids: Sequence[Sequence[int]],
    answers: Sequence[AnswerPosition | None],
    *,
    batch_size: int = 8,
    pad_token_id: int = 0,
    min_forwards: int = 0,
) -> NDArray[np.float32]:
    """The features of B completions, by forwards of the backbone without its head.

    Rows are sorted by length, padded on the right and cut after the last token that the fingerprint reads. Decoder
    layers above the last one that it reads do not compute. The model runs in evaluation mode and without gradient; its
    mode and the random state are restored. The forward goes through `model` as given, so wrappers (FSDP, DeepSpeed,
    PEFT adapters) work; under mixed precision, call it within the engine's autocast.

    Args:
        model: a causal language model, however wrapped.
        fingerprint: what to read.
        prompt_ids: B lists of token ids, without padding.
        completion_ids: B lists of token ids, without padding.
        answers: B positions within the completions; None where there is no answer.
        batch_size: rows in one forward.
        pad_token_id: any valid id.
        min_forwards: the least number of forwards (see :func:`num_forwards`); missing ones run on a single token.

    Returns (B, D) float32, NaN where there is no answer. ValueError if the lists differ in length, an answer's position
    does not fit its completion, or the model cannot be hooked.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    backbone = find_backbone(model)
    n_features = fingerprint.num_features(backbone.num_layers, backbone.hidden_size)
    features = np.full((len(answers), n_features), np.nan, dtype=np.float32)
    rows = _rows(fingerprint, prompt_ids, completion_ids, answers)
    batches = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    dummy = _Row(index=-1, ids=[pad_token_id], start=0, answer=None)
    batches += [[dummy]] * (min_forwards - len(batches))
    head = Head(backbone.model, torch.tensor([0] + [row.answer.target_id for row in rows if row.answer]))
    last = max(fingerprint.layers(backbone.num_layers))
    with (
        torch.no_grad(),
        evaluating(model),
        _without_head(backbone.model),
        _without_layers_above(backbone.layers, last),
    ):
        for batch in batches:
            part = _forward(model, fingerprint, batch, head, pad_token_id)
            if batch[0] is not dummy:
                features[[row.index for row in batch]] = part
    return features


@dataclass(frozen=True)
class _Row:
    """One completion to run: its row in the results, its tokens, and the column at which the completion starts."""

    index: int
    ids: list[int]
    start: int
    answer: AnswerPosition | None


def _rows(
    fingerprint: Fingerprint,
    prompt_ids: Sequence[Sequence[int]],
    completion_ids: Sequence[Sequence[int]],
    answers: Sequence[AnswerPosition | None],
) -> list[_Row]:
    """The completions with an answer, cut; the longest first, so that a lack of memory shows at once."""
    if not len(prompt_ids) == len(completion_ids) == len(answers):
        raise ValueError(
            f"got {len(prompt_ids)} prompts, {len(completion_ids)} completions and {len(answers)} answers; "
            "there must be one of each for every row"
        )
    rows = []
    for i, (prompt, completion, answer) in enumerate(zip(prompt_ids, completion_ids, answers, strict=True)):
        if answer is None:
            continue
        check_position(answer, completion, f"row {i} has")
        used = completion[: num_tokens_read(fingerprint, answer, len(completion))]
        rows.append(_Row(index=i, ids=[*prompt, *used], start=len(prompt), answer=answer))
    return sorted(rows, key=lambda row: -len(row.ids))


def _forward(
    model: nn.Module, fingerprint: Fingerprint, batch: list[_Row], head: Head, pad_token_id: int
) -> NDArray[np.float32]:
    device = next(model.parameters()).device
    width = max(len(row.ids) for row in batch)
    lengths = torch.tensor([len(row.ids) for row in batch])
    mask = (torch.arange(width) < lengths[:, None]).long()
    ids = torch.tensor([row.ids + [pad_token_id] * (width - len(row.ids)) for row in batch])
    where = Where.from_answers(
        [row.answer for row in batch],
        starts=[row.start for row in batch],
        lengths=[len(row.ids) - row.start for row in batch],
        width=width,
        prompt_starts=[0] * len(batch),  # padded on the right
        device=device,
    )
    with record(model, fingerprint, where, head=head) as recorder:
        model(input_ids=ids.to(device), attention_mask=mask.to(device))
    return recorder.features()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, so that dropout neither changes the features nor draws random numbers."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def _without_head(language_model: Any) -> Iterator[None]:
    """Let the model's forward run its backbone only."""

    def forward(input_ids: Tensor, attention_mask: Tensor, **_: Any) -> Any:
        return language_model.base_model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)

    with _replaced(language_model, forward):
        yield


@contextmanager
def _without_layers_above(layers: Sequence[nn.Module], last: int) -> Iterator[None]:
    """Let the decoder layers above number `last` (from 1) return their input."""
    in_tuple = False  # as decoder layers return a tensor or a tuple, by version and architecture

    def look(_module: nn.Module, _inputs: Any, output: Any) -> None:
        nonlocal in_tuple
        in_tuple = isinstance(output, tuple)

    def forward(*args: Any, **kwargs: Any) -> Any:
        hidden = args[0] if args else kwargs["hidden_states"]
        return (hidden,) if in_tuple else hidden

    with ExitStack() as stack:
        stack.callback(layers[last - 1].register_forward_hook(look).remove)
        for layer in layers[last:]:
            stack.enter_context(_replaced(layer, forward))
        yield


@contextmanager
def _replaced(module: Any, forward: Callable[..., Any]) -> Iterator[None]:
    """Replace a module's forward.

    FSDP and ZeRO gather weights in hooks around it, so the module is still called.
    """
    patched = module.__dict__.get("forward")  # TRL and accelerate put theirs on the instance
    module.forward = forward
    try:
        yield
    finally:
        if patched is None:
            del module.forward
        else:
            module.forward = patched
