"""Fingerprints out of verl's old-log-probability forward: its engine runs as always, hooks listen.

Nothing here imports verl: what an engine must have is what `EngineCapture` uses of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from meds_rl.engines.verl.answers import find_written, from_tensor, to_tensor
from meds_rl.engines.verl.capture_refusals import capture_refusals
from meds_rl.engines.verl.layout import lists, pack, slice_width, where_padded, whole_row
from meds_rl.engines.verl.packed import PackedFingerprint
from meds_rl.engines.verl.sharded_head import ShardedHead
from meds_rl.fingerprint import (
    AnswerFinder,
    AnswerPosition,
    Fingerprint,
    Head,
    Tokenizer,
    find_backbone,
    record,
)

__all__ = ["FEATURES", "EngineCapture", "capture_refusals", "features_from"]

FEATURES = "meds_features"  # the key in the worker's output
_PLACES = "meds_places"  # the key in its input, so that places are rearranged with their rows


def features_from(data: Any) -> NDArray[np.float32]:
    """The fingerprints in a worker's output or in what TransferQueue gives back of it.

    Args:
        data: a mapping with the key `meds_features`: a (B, D) tensor, or a jagged one of B rows of D numbers, as
            which TransferQueue returns it.

    Returns:
        (B, D) float32, NaN where a completion has no answer.

    Raises:
        ValueError: if rows differ in length.

    Example:
        >>> features_from({"meds_features": torch.ones(2, 3)}).shape
        (2, 3)
    """
    tensor = data[FEATURES]
    rows = [row.reshape(-1) for row in tensor.unbind()]
    if len({len(row) for row in rows}) > 1:
        raise ValueError(f"fingerprints must all have one length, got {sorted({len(row) for row in rows})}")
    features: NDArray[np.float32] = torch.stack(rows).float().cpu().numpy()
    return features


class EngineCapture:
    """Adds fingerprints to what an engine's forwards give.

    Args:
        engine: verl's FSDP engine, or one that has its `module`, `forward_step`, `ulysses_parallel_group`,
            `ulysses_sequence_parallel_size`, `pad_to_length` and `pad_to_length_bucket`.
        fingerprint: what to read.
        find: finds the answers.
        tokenizer: decodes token ids.
    """

    def __init__(
        self, engine: Any, fingerprint: Fingerprint, find: AnswerFinder, tokenizer: Tokenizer
    ) -> None:
        self._engine = engine
        self._fingerprint = fingerprint
        self._find = find
        self._tokenizer = tokenizer

    def check(self) -> None:
        """Raise ValueError if the engine's model cannot be read by this fingerprint; call it once there is a model."""
        backbone = find_backbone(self._engine.module)
        config = backbone.model.config
        if config is not config.get_text_config():
            raise ValueError(
                f"{type(backbone.model).__name__} reads more than text; meds captures fingerprints of text-only models"
            )
        self._fingerprint.layers(backbone.num_layers)

    @contextmanager
    def listening(self, data: Any) -> Iterator[None]:
        """Within the context the engine's forwards on `data` have one more key in their `model_output`.

        Under that key (`meds_features`) stands one row of D float32 numbers for each completion, NaN where there is no
        answer. Afterwards, also after an error, engine and data are as they were.

        Args:
            data: the batch, with jagged `input_ids` and `response_mask`.
        """
        answers = self._answers(data)
        targets = torch.tensor([0] + [answer.target_id for answer in answers if answer])
        head = ShardedHead(find_backbone(self._engine.module).model, targets)
        forward_step = self._engine.forward_step

        def listen(micro_batch: Any, *args: Any, **kwargs: Any) -> Any:
            with self._recording(micro_batch, head) as features:
                loss, output = forward_step(micro_batch, *args, **kwargs)
            output["model_output"][FEATURES] = torch.from_numpy(features())
            return loss, output

        data[_PLACES] = to_tensor(answers)
        self._engine.forward_step = listen
        try:
            yield
        finally:
            del self._engine.forward_step, data[_PLACES]

    def _answers(self, data: Any) -> list[AnswerPosition | None]:
        answers = []
        for ids, mask in zip(lists(data["input_ids"]), lists(data["response_mask"]), strict=True):
            completion = ids[len(ids) - len(mask) :]
            answers.append(find_written(self._find, completion, [bool(x) for x in mask], self._tokenizer))
        return answers

    @contextmanager
    def _recording(self, micro_batch: Any, head: Head) -> Iterator[Any]:
        """Record one forward; yields a function that gives its features (b, D)."""
        answers = from_tensor(micro_batch[_PLACES])
        lengths = micro_batch["input_ids"].offsets().diff().tolist()
        written = lists(micro_batch["response_mask"])
        if not micro_batch["use_remove_padding"]:
            where = where_padded(answers, lengths, written)
            with record(self._engine.module, self._fingerprint, where, head=head) as recorder:
                yield recorder.features
            return
        row = pack(answers, lengths, written, self._engine.ulysses_parallel_group)
        packed = PackedFingerprint(self._fingerprint, row)
        width = slice_width(
            sum(lengths),
            bucket=self._engine.pad_to_length_bucket if self._engine.pad_to_length else 1,
            num_ranks=self._engine.ulysses_sequence_parallel_size,
        )
        with record(self._engine.module, packed, whole_row(width), head=head) as recorder:
            yield lambda: _unpacked(recorder.features(), answers)


def _unpacked(features: NDArray[np.float32], answers: list[AnswerPosition | None]) -> NDArray[np.float32]:
    """From (1, b * D) to (b, D), NaN where there is no answer."""
    rows = features.reshape(len(answers), -1).copy()
    rows[[answer is None for answer in answers]] = np.nan
    return rows
