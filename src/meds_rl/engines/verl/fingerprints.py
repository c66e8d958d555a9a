"""Where fingerprints come from: hooks in verl's old-log-probability forward, which runs as it always does.

Answers are found in the batch's token ids, and their positions travel with the rows into the micro-batches. verl lays
out a micro-batch in one of two ways: padded on the right, or packed into one row (remove-padding), which Ulysses cuts
into one slice per rank. Nothing here imports verl: `FingerprintSource` names what an engine must have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from meds_rl.fingerprint import (
    AnswerFinder,
    AnswerPosition,
    AnswerStates,
    Fingerprint,
    Head,
    LayerLogits,
    Projected,
    Tokenizer,
    Where,
    find_backbone,
    find_written,
    record,
)

FEATURES = "meds_features"  # key in the worker's output and in TransferQueue
_PLACES = "meds_places"  # key in the worker's input: positions are rearranged together with their rows


class FingerprintSource:
    """Adds fingerprints to the output of an engine's forwards.

    Args:
        engine: verl's FSDP engine, or one with its `module`, `forward_step`, `ulysses_parallel_group`,
            `ulysses_sequence_parallel_size`, `pad_to_length` and `pad_to_length_bucket`.
        fingerprint: what to read.
        finder: finds the answers.
        tokenizer: decodes token ids.
    """

    def __init__(self, engine: Any, fingerprint: Fingerprint, finder: AnswerFinder, tokenizer: Tokenizer) -> None:
        self._engine = engine
        self._fingerprint = fingerprint
        self._find = finder
        self._tokenizer = tokenizer

    def check(self) -> None:
        """Raise ValueError if this fingerprint cannot be read of the engine's model; call it once there is a model."""
        backbone = find_backbone(self._engine.module)
        config = backbone.model.config
        if config is not config.get_text_config():
            raise ValueError(
                f"{type(backbone.model).__name__} reads more than text; meds captures fingerprints of text-only models"
            )
        self._fingerprint.layers(backbone.num_layers)

    @contextmanager
    def recording(self, data: Any) -> Iterator[None]:
        """Within the context the engine's forwards on `data` have one more key in their `model_output`.

        Under this key, `FEATURES`, is one row of D float32 numbers per completion, NaN where there is no answer.
        Afterwards, also after an error, engine and data are as they were. `data` is the batch, with jagged `input_ids`
        and `response_mask`.
        """
        answers = self._find_answers(data)
        targets = torch.tensor([0] + [answer.target_id for answer in answers if answer])
        head = ShardedHead(find_backbone(self._engine.module).model, targets)
        forward_step = self._engine.forward_step

        def recorded_step(micro_batch: Any, *args: Any, **kwargs: Any) -> Any:
            with self._record(micro_batch, head) as features:
                loss, output = forward_step(micro_batch, *args, **kwargs)
            output["model_output"][FEATURES] = torch.from_numpy(features())
            return loss, output

        data[_PLACES] = to_tensor(answers)
        self._engine.forward_step = recorded_step
        try:
            yield
        finally:
            del self._engine.forward_step, data[_PLACES]

    def _find_answers(self, data: Any) -> list[AnswerPosition | None]:
        answers = []
        for ids, mask in zip(_lists(data["input_ids"]), _lists(data["response_mask"]), strict=True):
            completion = ids[len(ids) - len(mask) :]
            answers.append(find_written(self._find, completion, [bool(x) for x in mask], self._tokenizer))
        return answers

    @contextmanager
    def _record(self, micro_batch: Any, head: Head) -> Iterator[Any]:
        """Record one forward; yields a function that returns its features (b, D)."""
        answers = from_tensor(micro_batch[_PLACES])
        lengths = micro_batch["input_ids"].offsets().diff().tolist()
        written = _lists(micro_batch["response_mask"])
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


def features_from(data: Any) -> NDArray[np.float32]:
    """The fingerprints in a worker's output, or in what TransferQueue returns of it: there the tensor is jagged.

    Returns:
        (B, D) float32, NaN where a completion has no answer.

    Raises:
        ValueError: if rows differ in length.

    Example:
        >>> features_from({"meds_features": torch.ones(2, 3)}).shape
        (2, 3)
    """
    rows = [row.reshape(-1) for row in data[FEATURES].unbind()]
    if len({len(row) for row in rows}) > 1:
        raise ValueError(f"fingerprints must all have one length, got {sorted({len(row) for row in rows})}")
    features: NDArray[np.float32] = torch.stack(rows).float().cpu().numpy()
    return features


def _unpacked(features: NDArray[np.float32], answers: Sequence[AnswerPosition | None]) -> NDArray[np.float32]:
    """From (1, b * D) to (b, D), NaN where there is no answer."""
    rows = features.reshape(len(answers), -1).copy()
    rows[[answer is None for answer in answers]] = np.nan
    return rows


def _lists(nested: Tensor) -> list[list[Any]]:
    """The rows of a jagged tensor as lists."""
    return [row.tolist() for row in nested.cpu().unbind()]


# ---- Answers, and their positions as a tensor.


def to_tensor(answers: Sequence[AnswerPosition | None]) -> Tensor:
    """(B, 3) int64: position, target and end of each answer, -1 where there is none."""
    return torch.tensor([answer or (-1, -1, -1) for answer in answers], dtype=torch.int64).reshape(-1, 3)


def from_tensor(places: Tensor) -> list[AnswerPosition | None]:
    """The inverse of `to_tensor`.

    Example:
        >>> from_tensor(to_tensor([AnswerPosition(6, 20), None]))
        [AnswerPosition(position=6, target_id=20, end=7), None]
    """
    return [None if row[0] < 0 else AnswerPosition(*row) for row in places.tolist()]


# ---- The two layouts of a micro-batch.


def where_padded(
    answers: Sequence[AnswerPosition | None], lengths: Sequence[int], response_mask: Sequence[Sequence[bool]]
) -> Where:
    """Where to look in b rows that are padded on the right, as without remove-padding.

    Args:
        answers: b answers, counted from each completion's first token.
        lengths: b numbers of tokens, prompt and completion together.
        response_mask: b lists, one value per token of the completion; False for tokens of a tool or a user.

    Example:
        >>> where = where_padded([AnswerPosition(0, 7)], lengths=[5], response_mask=[[True, True, False]])
        >>> where.positions.tolist(), where.completion_mask.int().tolist(), where.prompt_mask.int().tolist()
        ([2], [[0, 0, 1, 1, 0]], [[1, 1, 0, 0, 0]])
    """
    starts = [length - len(mask) for length, mask in zip(lengths, response_mask, strict=True)]
    where = Where.from_answers(
        answers,
        starts=starts,
        lengths=[len(mask) for mask in response_mask],
        width=max(lengths),
        prompt_starts=[0] * len(starts),
    )
    is_written = torch.zeros_like(where.completion_mask)
    for row, (start, mask) in enumerate(zip(starts, response_mask, strict=True)):
        is_written[row, start : start + len(mask)] = torch.tensor(mask, dtype=torch.bool)
    return replace(where, completion_mask=is_written)


def pack(
    answers: Sequence[AnswerPosition | None],
    lengths: Sequence[int],
    response_mask: Sequence[Sequence[bool]],
    group: Any = None,
) -> Pack:
    """The same b rows one after the other in one row, as with remove-padding; `group` shares the row (Ulysses)."""
    rows = zip(answers, lengths, response_mask, strict=True)
    wheres = [where_padded([answer], [length], [mask]) for answer, length, mask in rows]
    return Pack(lengths, wheres, group)


@dataclass(frozen=True)
class Pack:
    """b sequences in one row. The row is cut into slices of equal width, one per rank.

    Attributes:
        lengths: b numbers of tokens, prompt and completion together.
        wheres: b times where to look, each in the columns of its own sequence.
        group: the ranks that share the row (Ulysses), in the order of the slices; None if one rank has all of it.
    """

    lengths: Sequence[int]
    wheres: Sequence[Where]
    group: Any = None

    def sequences(self, hidden: Tensor) -> list[Tensor]:
        """From this rank's slice (1, n, d) to the b sequences, (1, length, d) each."""
        if self.group is not None:
            slices = hidden.new_empty(dist.get_world_size(self.group) * hidden.shape[1], hidden.shape[2])
            dist.all_gather_into_tensor(slices, hidden[0].contiguous(), group=self.group)
            hidden = slices[None]
        return list(torch.split(hidden[:, : sum(self.lengths)], list(self.lengths), dim=1))

    def states(self, hidden: Tensor, columns: Tensor) -> Tensor:
        """The states at `columns` (b, k) of the sequences: from this rank's slice (1, n, d) to (b, k, d)."""
        starts = torch.tensor([0, *self.lengths[:-1]]).cumsum(0)
        columns = (starts[:, None] + columns).to(hidden.device)
        if self.group is None:
            return hidden[0, columns]
        width = hidden.shape[1]
        local = columns - dist.get_rank(self.group) * width
        is_mine = (local >= 0) & (local < width)
        # Exactly one rank has a state and the others add zeros to it, so nothing is rounded.
        found = torch.where(is_mine[..., None], hidden[0, local.clamp(0, width - 1)].float(), 0.0)
        dist.all_reduce(found, group=self.group)
        return found


def slice_width(total: int, *, bucket: int = 1, num_ranks: int = 1) -> int:
    """Columns of one rank's slice of a row of `total` tokens, with verl's padding.

    The row is padded first to a multiple of `bucket` (`pad_to_length_bucket`), then to one of the ranks that share it.

    Example:
        >>> slice_width(10), slice_width(10, num_ranks=4), slice_width(10, bucket=8, num_ranks=3)
        (10, 3, 6)
    """
    padded = -(-total // bucket) * bucket
    return -(-padded // num_ranks)


def whole_row(width: int) -> Where:
    """One row of `width` columns for the recorder, which asks for rows; `PackedFingerprint` knows where to look."""
    nothing = torch.zeros(1, dtype=torch.int64)
    everywhere = torch.ones(1, width, dtype=torch.bool)
    return Where(nothing, nothing, everywhere, has_answer=torch.ones(1, dtype=torch.bool), ends=nothing)


class PackedFingerprint:
    """A fingerprint of b packed completions, which the recorder treats as the fingerprint of one row.

    Its features are the b completions' D numbers one after the other, (1, b * D). A fingerprint that reads only the
    places of an answer gets the states there, from whichever rank has them. Any other gets whole sequences one at a
    time, so that a pack of many short sequences and a long one is never padded.
    """

    reads_completion = True

    def __init__(self, fingerprint: Fingerprint, pack: Pack) -> None:
        self._fingerprint = fingerprint
        self._pack = pack
        plain = fingerprint.fingerprint if isinstance(fingerprint, Projected) else fingerprint
        self._reads_places = isinstance(plain, (LayerLogits, AnswerStates))

    @property
    def name(self) -> str:
        return self._fingerprint.name

    def layers(self, num_layers: int) -> Sequence[int]:
        """Those of the fingerprint itself."""
        return self._fingerprint.layers(num_layers)

    def num_features(self, num_layers: int, hidden_size: int) -> int:
        """b * D."""
        return len(self._pack.lengths) * self._fingerprint.num_features(num_layers, hidden_size)

    def read(self, hidden: Tensor, where: Where, head: Head) -> Tensor:
        """From a slice of the row (1, n, d) to what is kept of all b completions (b, k)."""
        if self._reads_places:
            return self._read_places(hidden, head)
        sequences = zip(self._pack.sequences(hidden), self._pack.wheres, strict=True)
        kept = [self._fingerprint.read(one, where.rows(0, 1, one.device), head) for one, where in sequences]
        return torch.cat(kept)

    def combine(self, kept: list[Tensor]) -> Tensor:
        """(1, b * D)."""
        return self._fingerprint.combine(kept).reshape(1, -1)

    def _read_places(self, hidden: Tensor, head: Head) -> Tensor:
        """Read rows of two columns: the state before the answer, and the state at its end."""
        wheres = self._pack.wheres
        columns = torch.stack([torch.cat([where.positions, where.ends]) for where in wheres])
        first = torch.zeros(len(wheres), dtype=torch.int64)
        where = Where(
            positions=first,
            target_ids=torch.cat([where.target_ids for where in wheres]),
            completion_mask=torch.ones(len(wheres), 2, dtype=torch.bool),
            has_answer=torch.cat([where.has_answer for where in wheres]),
            ends=first + 1,
        )
        states = self._pack.states(hidden, columns)
        return self._fingerprint.read(states, where.rows(0, len(where), states.device), head)


class ShardedHead(Head):
    """The unembedding, which FSDP2 may have wrapped on its own, as verl does where embeddings are not tied.

    Such a head is sharded while the decoder layers run. Gathered by FSDP's own means it has the forward's precision and
    takes the memory that the forward needs for it anyway; the master weights would take twice that. Use one head for
    all micro-batches of a pass, so that it is gathered once.
    """

    @contextmanager
    def weight(self) -> Iterator[Tensor]:
        """The whole of W, (V, d), without gradient; sharded again at the end of the context."""
        module = self._model.get_output_embeddings()
        if not isinstance(module, FSDPModule):
            with super().weight() as weight:
                yield weight
            return
        module.unshard()
        try:
            with super().weight() as weight:
                yield weight
        finally:
            module.reshard()
