"""The rows of a `RepeatedErrorPenalty`: checks what a trainer passes, and holds a batch before and after scoring."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MethodType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meds_rl.checks import LARGEST, is_number, shown
from meds_rl.engines.figures import batch_figures
from meds_rl.engines.texts import OUTCOME, text_of
from meds_rl.labels import NOT_GRADED, NOT_SCORED
from meds_rl.memory.entry import MemoryEntry
from meds_rl.memory.memory import ErrorMemory
from meds_rl.shaping.result import ShapedBatch

logger = logging.getLogger("meds_rl")

LIVE_VISITS = 3
"""An error is live if it was made in one of this many last visits to its prompt."""

# ---- What a trainer passes.

_FROM_TRAINER = ("prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric", "environments")


def columns_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of the data set, from all arguments of a reward function."""
    return {name: values for name, values in given.items() if name not in _FROM_TRAINER}


def ignore(*_: Any) -> None:
    """Replaces a trainer's `log_metric` and `log_extra`, and does nothing."""


def step_of(trainer_state: Any) -> int | None:
    """Optimiser steps done; None without a trainer's state."""
    return None if trainer_state is None else int(trainer_state.global_step)


def is_evaluation(log_metric: Any) -> bool:
    """Whether TRL evaluates: `log_metric` is a method of its trainer, whose model is then not in training mode."""
    module = sys.modules.get("transformers.trainer")
    if module is None or not isinstance(log_metric, MethodType):
        return False
    trainer = log_metric.__self__
    return isinstance(trainer, module.Trainer) and not trainer.model.training


def check_lengths(given: Mapping[str, Any]) -> None:
    """Raise a ValueError unless each list has one value for each prompt."""
    num_rows = len(given["prompts"])
    for name, values in given.items():
        if isinstance(values, list | tuple) and len(values) != num_rows:
            raise ValueError(f"{name} must have one value for each of the {num_rows} prompts; got {len(values)}")


def completion_text(completion: Any, row: int) -> str:
    """A completion as text; TypeError if it is neither text nor a list of chat messages."""
    check_text_or_chat("completions", completion, row)
    return text_of(completion)


def check_text_or_chat(name: str, value: Any, row: int) -> None:
    """Raise a TypeError unless a value is text or a list of chat messages."""
    is_chat = isinstance(value, list | tuple) and all(isinstance(message, Mapping) for message in value)
    if not isinstance(value, str) and not is_chat:
        raise TypeError(f"{name} must be texts or lists of chat messages; got {type(value).__name__} in row {row}")


def checked_grades(grades: Any, num_rows: int) -> NDArray[np.float64]:
    """(n,) grades, NaN for None; TypeError or ValueError for anything but n numbers, booleans or None."""
    if not isinstance(grades, Iterable):
        raise TypeError(f"correctness must give {num_rows} grades, one for each completion; got {grades!r}")
    values = list(grades)
    if len(values) != num_rows:
        raise ValueError(f"correctness must give {num_rows} grades, one for each completion; got {len(values)}")
    for row, value in enumerate(values):
        if value is not None and not isinstance(value, bool | np.bool_) and not is_number(value):
            raise TypeError(f"correctness must give numbers, True, False or None; got {value!r} in row {row}")
        if isinstance(value, int) and abs(value) > LARGEST:  # 10**400 is no float
            raise ValueError(f"correctness must give grades of at most {LARGEST:g}; got {shown(value)} in row {row}")
    return np.array([math.nan if value is None else float(value) for value in values], dtype=np.float64)


# ---- A batch.


@dataclass(frozen=True)
class Rows:
    """B rows of one process, or of all.

    Attributes:
        prompt_ids, prompts, completions, answers, num_tokens: one value per row.
        outcomes: one text per row, None for no outcome (`meds_rl.fingerprint.outcome_text`); None if there are none.
        grades: (B,), NaN without a grade.
        features: (B, D) fingerprints.
        seconds: time that the fingerprints took.
    """

    prompt_ids: list[str]
    prompts: list[str]
    completions: list[str]
    answers: list[str | None]
    outcomes: list[str | None] | None
    num_tokens: list[int]
    grades: NDArray[np.float64]
    features: NDArray[np.float32]
    seconds: float

    def __len__(self) -> int:
        """B."""
        return len(self.prompt_ids)

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """The rows of all processes, in their order."""
        return cls(
            prompt_ids=list(chain.from_iterable(part.prompt_ids for part in parts)),
            prompts=list(chain.from_iterable(part.prompts for part in parts)),
            completions=list(chain.from_iterable(part.completions for part in parts)),
            answers=list(chain.from_iterable(part.answers for part in parts)),
            outcomes=_joined_outcomes(parts),
            num_tokens=list(chain.from_iterable(part.num_tokens for part in parts)),
            grades=np.concatenate([part.grades for part in parts]),
            features=np.concatenate([part.features for part in parts]),
            seconds=max(part.seconds for part in parts),
        )


def _joined_outcomes(parts: Sequence[Rows]) -> list[str | None] | None:
    """All outcomes, None in each row of a process that has none; None if no process has any."""
    if all(part.outcomes is None for part in parts):
        return None
    listed = ([None] * len(part) if part.outcomes is None else part.outcomes for part in parts)
    return list(chain.from_iterable(listed))


@dataclass
class Scored:
    """What the processes get back: B rewards, clusters and sizes |C|, and the batch's figures."""

    rewards: list[float | None]
    clusters: list[int]
    sizes: list[float]
    figures: dict[str, float]

    @classmethod
    def of(cls, shaped: ShapedBatch, graded: NDArray[np.bool_]) -> Scored:
        """From the graded rows to all B rows; rows without a grade have no reward."""
        return cls(
            rewards=_spread(shaped.rewards.tolist(), graded, None),
            clusters=_spread(shaped.clusters.tolist(), graded, NOT_SCORED),
            sizes=_spread(shaped.cluster_sizes.tolist(), graded, 0),
            figures={},
        )


def rollout_columns(rows: Rows, shaped: ShapedBatch, graded: NDArray[np.bool_]) -> dict[str, Any]:
    """The columns of the rollouts table, without `step` and `generation`. The reward is the grade."""
    size = len(rows)
    penalties = _spread(shaped.penalties.tolist(), graded, 0.0)
    return {
        "prompt_id": _as_utf8(rows.prompt_ids),
        "prompt": _as_utf8(rows.prompts),
        "completion": _as_utf8(rows.completions),
        "num_tokens": rows.num_tokens,
        "reward": rows.grades,
        "shaped_reward": rows.grades - np.array(penalties),
        "advantage": [None] * size,
        "is_correct": _spread(shaped.is_correct.tolist(), graded, None),
        "answer": _as_utf8(rows.answers),
        "strategy": [None] * size,
        "cluster": _spread(shaped.clusters.tolist(), graded, NOT_SCORED),
        "cluster_size": _spread(shaped.cluster_sizes.astype(np.float64).tolist(), graded, 0.0),
        "penalty": penalties,
        "reason": _spread(shaped.reasons, graded, NOT_GRADED),
        "memory_id": _spread(shaped.memory_ids.tolist(), graded, -1),
        "in_loss": [True] * size,
        **({} if rows.outcomes is None else {OUTCOME: rows.outcomes}),
    }


def batch_figures_of(
    rows: Rows, shaped: ShapedBatch, graded: NDArray[np.bool_], memory: ErrorMemory
) -> dict[str, float]:
    """The figures of a batch after it was remembered; `RepeatedErrorPenalty` lists them."""
    correct = np.zeros(len(rows), dtype=np.bool_)
    correct[graded] = shaped.is_correct
    figures = {f"meds/{name}": value for name, value in shaped.metrics().items()}
    figures["meds/memory_size"] = float(len(memory))
    figures |= batch_figures(rows.answers, correct, graded, rows.prompt_ids)
    names = set(shaped.prompt_ids)
    solved = {name for name, right in zip(shaped.prompt_ids, shaped.is_correct, strict=True) if right}
    if names:
        figures["pass/all_wrong_share"] = 1 - len(solved) / len(names)
    entries = [entry for name in names if (entry := memory.entry(name)) is not None]
    if entries:
        figures["meds/live_modes"] = float(np.mean([live_modes(entry) for entry in entries]))
    return figures


def live_modes(entry: MemoryEntry) -> int:
    """Number of different errors in a prompt's last `LIVE_VISITS` visits. Noise is one, and no answer is one."""
    steps = np.unique(np.append(entry.steps, entry.no_answer_steps))[-LIVE_VISITS:]
    recent = entry.clusters[entry.steps >= steps[0]]
    return len(np.unique(recent)) + int((entry.no_answer_steps >= steps[0]).any())


def _as_utf8(texts: Sequence[str | None]) -> list[str | None]:
    """Texts as parquet can store them: a lone surrogate becomes a question mark."""
    return [None if text is None else text.encode("utf-8", "replace").decode("utf-8") for text in texts]


def _spread(values: Sequence[Any], graded: NDArray[np.bool_], default: Any) -> list[Any]:
    """B values: those of the graded rows, and the default for the others."""
    remaining = iter(values)
    return [next(remaining) if keep else default for keep in graded.tolist()]


def warn_of_first_rows(parts: Sequence[Rows], is_correct: NDArray[np.bool_], *, by_answer: bool) -> None:
    """Warn if hardly any of the first rows have an answer, or all are right or all wrong: a setting may be wrong.

    Args:
        parts: the first rows, one part a call.
        is_correct: whether each graded row is right.
        by_answer: whether errors are compared by their answers.
    """
    answers = [answer for part in parts for answer in part.answers]
    found = sum(answer is not None for answer in answers)
    if by_answer and found < len(answers) / 10:
        logger.warning(
            "Only %d of the first %d completions have an answer, so errors cannot be distinguished by answer. "
            "Set answer_finder to the format of your answers, or to a function from a text to its answer, or compare "
            'workings with fingerprint="steps" or "text". A completion: %r',
            found,
            len(answers),
            parts[0].completions[0][-200:],
        )
    if is_correct.all() or not is_correct.any():
        logger.warning(
            "All first %d graded completions are %s. Check correctness and correct_above.",
            len(is_correct),
            "right" if is_correct.all() else "wrong",
        )
