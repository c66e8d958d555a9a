"""What a batch in TransferQueue says about its completions, as arrays; and how scores are put back there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transfer_queue as tq
from numpy.typing import NDArray
from tensordict import TensorDict
from torch import Tensor

from meds_rl.checks import PromptId
from meds_rl.tasks.base import prompt_id

_FIELDS = ("responses", "response_mask", "rm_scores", "extra_fields", "raw_prompt", "prompt_id", "acc")


@dataclass(frozen=True)
class Completions:
    """The n completions of a batch that can be right or wrong, without verl's padding rows.

    Of a session with several outputs (an agent's) it is the last one, whose score verl compares within the group.

    Attributes:
        rows: (n,) places in the batch.
        keys: (n,) TransferQueue's keys, ``{uid}_{session}_{output}``.
        prompt_ids: (n,) the data set's `prompt_id`, or the hash of the prompt's messages.
        scores: (n,) float64, the raw reward.
        is_correct: (n,) bool, raw accuracy.
        token_ids: (n,) lists of what the model wrote.
        token_scores: (n,) tensors (T,): the raw reward stands at the last token.
    """

    rows: NDArray[np.intp]
    keys: list[str]
    prompt_ids: list[PromptId]
    scores: NDArray[np.float64]
    is_correct: NDArray[np.bool_]
    token_ids: list[list[int]]
    token_scores: list[Tensor]

    @property
    def groups(self) -> list[str]:
        """(n,) verl's name of the group that each is compared in; new at every step."""
        return [group_of(key) for key in self.keys]

    def __len__(self) -> int:
        return len(self.rows)


def group_of(key: str) -> str:
    """The group of a key.

    Example:
        >>> group_of("5f0e-77_3_0")
        '5f0e-77'
    """
    return key.rsplit("_", 2)[0]


def session_of(key: str) -> str:
    """The completion, with all its outputs, of a key."""
    return key.rsplit("_", 1)[0]


def read_completions(batch: Any, correct_above: float) -> Completions:
    """Read a batch (``KVBatchMeta``) that has been generated and graded.

    Args:
        batch: all rows of one step.
        correct_above: a completion is right if its `acc`, or its raw score where the reward gave none, is above.
    """
    rows = _last_outputs(batch)
    keys = [batch.keys[row] for row in rows]
    data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=list(_FIELDS))
    token_scores = list(data["rm_scores"].unbind())
    scores = np.array([float(row.double().sum()) for row in token_scores], dtype=np.float64)
    accuracies = _accuracies(data, scores)
    written = zip(data["responses"].unbind(), data["response_mask"].unbind(), strict=True)
    return Completions(
        rows=np.array(rows, dtype=np.intp),
        keys=keys,
        prompt_ids=_prompt_ids(data),
        scores=scores,
        is_correct=np.array([accuracy > correct_above for accuracy in accuracies], dtype=np.bool_),
        token_ids=[ids[mask.bool()].tolist() for ids, mask in written],
        token_scores=token_scores,
    )


def write_scores(batch: Any, completions: Completions, scores: Sequence[Tensor]) -> None:
    """Put token scores, (T,) each, in the place of those that the queue holds."""
    if not len(completions):
        return
    nested = torch.nested.as_nested_tensor(list(scores), layout=torch.jagged)
    fields = TensorDict({"rm_scores": nested}, batch_size=len(completions))
    tq.kv_batch_put(keys=completions.keys, partition_id=batch.partition_id, fields=fields)


def as_list(values: Any) -> list[Any]:
    """A column of the queue that holds no tensors; its kind depends on the queue's storage."""
    return list(values) if isinstance(values, list) else list(values.tolist())


def _last_outputs(batch: Any) -> list[int]:
    """The rows that count: no padding, and of each session the last output."""
    last: dict[str, tuple[int, int]] = {}
    for row, (key, tag) in enumerate(zip(batch.keys, batch.tags, strict=True)):
        if tag.get("is_padding", False):
            continue
        output = int(key.rsplit("_", 1)[1])
        if output >= last.get(session_of(key), (-1, row))[0]:
            last[session_of(key)] = (output, row)
    return sorted(row for _, row in last.values())


def _accuracies(data: Any, scores: NDArray[np.float64]) -> list[float]:
    """What the reward function says is right; a reward model beside the actor says it in a field of its own."""
    if _has(data, "acc"):
        return [float(torch.as_tensor(value).reshape(-1)[0]) for value in data["acc"]]
    return [
        _accuracy(extra, score)
        for extra, score in zip(as_list(data["extra_fields"]), scores.tolist(), strict=True)
    ]


def _accuracy(extra_fields: Any, score: float) -> float:
    """`acc`; else the score as the reward function gave it, without what the reward manager adds for length."""
    said = (extra_fields or {}).get("reward_extra_info") or {}
    return float(said.get("acc", said.get("score", score)))


def _prompt_ids(data: Any) -> list[PromptId]:
    if _has(data, "prompt_id"):
        return as_list(data["prompt_id"])
    return [prompt_id(messages) for messages in as_list(data["raw_prompt"])]


def _has(data: Any, name: str) -> bool:
    """Whether the queue holds a field of these rows; it leaves out what it does not have."""
    return name in set(data.keys())
