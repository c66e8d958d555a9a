"""One step's completions as arrays, read from verl's TransferQueue; scores and advantages are written back there.

verl's batch (``KVBatchMeta``, called `meta` here) holds only keys, ``{group}_{session}_{output}``; the data stay in the
queue. A session is one completion; an agent's session has several outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import transfer_queue as tq
from numpy.typing import NDArray
from tensordict import TensorDict
from torch import Tensor

from meds_rl.checks import PromptId
from meds_rl.engines.texts import OUTCOME, outcome_texts
from meds_rl.shaping.advantage import AdvantageFunction, advantages_by, entropy_advantage, group_advantages
from meds_rl.shaping.result import ShapedBatch
from meds_rl.shaping.shaper import RewardShaper
from meds_rl.tasks.base import prompt_id

_FIELDS = ("responses", "response_mask", "rm_scores", "extra_fields", "raw_prompt", "prompt_id", "acc", OUTCOME)

Features = Callable[[NDArray[np.bool_]], NDArray[np.float32]]
"""From (B,) bool, the wanted rows, to their fingerprints (B, D); NaN elsewhere or where there is no answer."""

COLUMNS = ("cluster", "cluster_size", "penalty", "reason", "prompt_id", OUTCOME, "is_correct")
"""Columns that dumps of rollouts have for each completion."""


@dataclass
class Batch:
    """B completions of one step, without the rows that verl adds to fill a batch.

    Of a session with several outputs this is the last one, whose score verl compares within the group.

    Attributes:
        keys: (B,) keys in the queue.
        prompt_ids: (B,) the data set's `prompt_id`, or the hash of the prompt's messages.
        rewards: (B,) float64, raw rewards r.
        is_correct: (B,) bool, raw accuracy.
        prompts: (B,) the prompts' messages; None where the queue does not have them.
        completion_ids: (B,) tensors of token ids that the model wrote.
        token_scores: (B,) tensors (T,), the raw reward at the last token.
        outcomes: (B,) texts, None for no outcome (`meds_rl.fingerprint.outcome_text`); None if the reward function
            reports none.
        shaped: what the memory made of the rewards; None before `shape`.
        shaped_rewards: (B,) float64, r_s; r before `shape`.
    """

    keys: list[str]
    prompt_ids: list[PromptId]
    rewards: NDArray[np.float64]
    is_correct: NDArray[np.bool_]
    prompts: list[Any]
    completion_ids: list[Tensor]
    token_scores: list[Tensor]
    outcomes: list[str | None] | None = None
    shaped: ShapedBatch | None = None
    shaped_rewards: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.shaped_rewards = self.rewards.copy()

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def group_ids(self) -> list[str]:
        """(B,) verl's name of the group that each row is compared in; new at every step."""
        return [group_of(key) for key in self.keys]

    def shape(self, shaper: RewardShaper, features: Features, *, progress: float | None = None) -> None:
        """Score the rows against the memory, then remember them."""
        rows: dict[str, Any] = {
            "prompt_ids": self.prompt_ids,
            "is_correct": self.is_correct,
            "group_ids": self.group_ids,
        }
        wanted = shaper.scored_rows(**rows)
        self.shaped = shaper.shape(self.rewards, features=features(wanted), progress=progress, **rows)
        self.shaped_rewards = self.shaped.rewards

    def advantages(self, function: AdvantageFunction | None = None) -> dict[str, float]:
        """Advantages that replace verl's, by session.

        Args:
            function: gives them for all rows. None: r_s - mean for the groups that are penalised and not divided by
                their deviation; verl computes the others.

        Raises:
            ValueError: the function does not return one finite number for each row.
        """
        if function is not None:
            numbers = np.unique(self.group_ids, return_inverse=True)[1].astype(np.int64)
            values = advantages_by(function, self.shaped_rewards, numbers, self.is_correct)
            return dict(zip(map(session_of, self.keys), values.tolist(), strict=True))
        penalised = {group_of(self.keys[row]) for row in np.flatnonzero(self.shaped_rewards != self.rewards)}
        undivided = [] if self.shaped is None else np.flatnonzero(~self.shaped.normalize_by_std).tolist()
        rows = [row for row in undivided if group_of(self.keys[row]) in penalised]
        groups = [group_of(self.keys[row]) for row in rows]
        centered = group_advantages(self.shaped_rewards[rows], prompt_ids=groups, normalize_by_std=False)
        return {session_of(self.keys[row]): value for row, value in zip(rows, centered.tolist(), strict=True)}

    def metrics(self) -> dict[str, float]:
        """The shaped batch's metrics."""
        return {} if self.shaped is None else self.shaped.metrics()

    def columns(self) -> dict[str, tuple[Any, ...]]:
        """The values of `COLUMNS` by key."""
        shaped = self.shaped
        if shaped is None:
            return {}
        counts = (shaped.clusters.tolist(), shaped.cluster_sizes.tolist(), shaped.penalties.tolist())
        outcomes = [None] * len(self) if self.outcomes is None else self.outcomes
        rows = zip(*counts, shaped.reasons, self.prompt_ids, outcomes, self.is_correct.tolist(), strict=True)
        return dict(zip(self.keys, rows, strict=True))


def group_of(key: str) -> str:
    """The group of a key, "5f0e-77" of "5f0e-77_3_0"."""
    return key.rsplit("_", 2)[0]


def session_of(key: str) -> str:
    """The group and session of a key, "5f0e-77_3" of "5f0e-77_3_0"; the same for all outputs of one completion."""
    return key.rsplit("_", 1)[0]


# ---- Read from the queue.


def read_batch(meta: Any, correct_above: float, *, needs_outcomes: bool = False) -> Batch:
    """Read a batch that has been generated and graded.

    A completion is right if its `acc`, or its raw score where the reward function gave none, is above `correct_above`.
    TypeError if it `needs_outcomes` and one is not hashable; else such values are something else of the user's.
    """
    keys = _last_outputs(meta)
    data = read_fields(meta, keys, _FIELDS)
    token_scores = list(data["rm_scores"].unbind())
    rewards = np.array([float(row.double().sum()) for row in token_scores], dtype=np.float64)
    completions = zip(data["responses"].unbind(), data["response_mask"].unbind(), strict=True)
    return Batch(
        keys=keys,
        prompt_ids=_prompt_ids(data),
        rewards=rewards,
        is_correct=np.array([acc > correct_above for acc in _accuracies(data, rewards)], dtype=np.bool_),
        prompts=_as_list(data["raw_prompt"]) if "raw_prompt" in set(data.keys()) else [None] * len(keys),
        completion_ids=[ids[mask.bool()] for ids, mask in completions],
        token_scores=token_scores,
        outcomes=_outcomes(data, needs_outcomes),
    )


def read_fields(meta: Any, keys: Sequence[str], names: Sequence[str]) -> Any:
    """Fields of some rows, as a mapping; the queue leaves out those that it does not have."""
    return tq.kv_batch_get(keys=list(keys), partition_id=meta.partition_id, select_fields=list(names))


def _last_outputs(meta: Any) -> list[str]:
    """The keys that count: no padding, and of each session the last output."""
    last: dict[str, tuple[int, int]] = {}
    for row, (key, tag) in enumerate(zip(meta.keys, meta.tags, strict=True)):
        if tag.get("is_padding", False):
            continue
        output = int(key.rsplit("_", 1)[1])
        if output >= last.get(session_of(key), (-1, row))[0]:
            last[session_of(key)] = (output, row)
    return [meta.keys[row] for row in sorted(row for _, row in last.values())]


def _accuracies(data: Any, rewards: NDArray[np.float64]) -> list[float]:
    """(B,) raw accuracies. A reward model beside the actor puts them into a field of their own."""
    if "acc" in set(data.keys()):
        return [float(torch.as_tensor(value).reshape(-1)[0]) for value in data["acc"]]
    extras = _as_list(data["extra_fields"])
    return [_accuracy(extra, reward) for extra, reward in zip(extras, rewards.tolist(), strict=True)]


def _accuracy(extra_fields: Any, reward: float) -> float:
    """`acc`; else the reward function's score, before the reward manager adds the overlong punishment."""
    graded = _reported(extra_fields)
    return float(graded.get("acc", graded.get("score", reward)))


def _outcomes(data: Any, are_needed: bool) -> list[str | None] | None:
    """(B,) outcomes as texts; None if no row has one."""
    if OUTCOME in set(data.keys()):
        values = _as_list(data[OUTCOME])
    else:
        reported = [_reported(extra) for extra in _as_list(data["extra_fields"])]
        if not any(OUTCOME in graded for graded in reported):
            return None
        values = [graded.get(OUTCOME) for graded in reported]
    try:
        return outcome_texts(values, len(values))
    except TypeError:
        if are_needed:
            raise
        return None


def _reported(extra_fields: Any) -> dict[str, Any]:
    """What the reward function returned of a row beside its score."""
    return (extra_fields or {}).get("reward_extra_info") or {}


def _prompt_ids(data: Any) -> list[PromptId]:
    if "prompt_id" in set(data.keys()):
        return _as_list(data["prompt_id"])
    return [prompt_id(messages) for messages in _as_list(data["raw_prompt"])]


def _as_list(values: Any) -> list[Any]:
    """A column without tensors; its type depends on the queue's storage."""
    return list(values) if isinstance(values, list) else list(values.tolist())


# ---- Written back to the queue.


@contextmanager
def shaped_scores(meta: Any, batch: Batch) -> Iterator[None]:
    """Within the context the queue holds shaped scores; afterwards, also after an error, the raw ones again."""
    changes = (batch.shaped_rewards - batch.rewards).tolist()  # exactly 0 where nothing is shaped
    rows = zip(batch.token_scores, changes, strict=True)
    _write_scores(meta, batch, [_add_to_last(row, change) for row, change in rows])
    try:
        yield
    finally:
        _write_scores(meta, batch, batch.token_scores)


def write_advantages(meta: Any, sessions: Mapping[str, float]) -> None:
    """Replace verl's advantages by those of `sessions`; all outputs of a session have the same."""
    if not sessions:
        return
    keys = [key for key in meta.keys if session_of(key) in sessions]
    masks = read_fields(meta, keys, ["response_mask"])["response_mask"].unbind()
    values = [sessions[session_of(key)] * mask.float() for key, mask in zip(keys, masks, strict=True)]
    _write(meta, keys, advantages=values, returns=values)


def add_entropies(meta: Any, coef: float) -> None:
    """Add min(coef * H, |A| / 2) to the advantages A, with H in nats from the old-log-probability forward."""
    names = ("advantages", "entropy", "response_mask")
    data = read_fields(meta, meta.keys, names)
    values = [
        entropy_advantage(advantages[None], entropies[None], coef)[0] * mask
        for advantages, entropies, mask in zip(*(data[name].unbind() for name in names), strict=True)
    ]
    _write(meta, meta.keys, advantages=values)


def _write_scores(meta: Any, batch: Batch, scores: Sequence[Tensor]) -> None:
    if len(batch):
        _write(meta, batch.keys, rm_scores=scores)


def _write(meta: Any, keys: Sequence[str], **columns: Sequence[Tensor]) -> None:
    """Write columns of token values, one tensor (T,) per key."""
    nested = {name: torch.nested.as_nested_tensor(list(rows), layout=torch.jagged) for name, rows in columns.items()}
    tq.kv_batch_put(keys=list(keys), partition_id=meta.partition_id, fields=TensorDict(nested, batch_size=len(keys)))


def _add_to_last(token_scores: Tensor, by: float) -> Tensor:
    """Token scores (T,) with `by` added to the last one, where verl keeps the reward."""
    changed = token_scores.clone()
    changed[-1] += by
    return changed
