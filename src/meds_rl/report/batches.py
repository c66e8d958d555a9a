"""Figures of one batch of rollouts after another: the report's course of training, and `meds watch`, one code."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from meds_rl.evaluation.diversity.answers import answer_entropy
from meds_rl.report.numbers import LARGEST, finite

if TYPE_CHECKING:
    import pandas as pd

Line = tuple[str, str]
"""Panel and line (`meds_rl.report.panels`)."""

BATCH_COLUMNS = (
    *("step", "generation", "prompt_id", "num_tokens", "reward", "shaped_reward"),
    *("is_correct", "answer", "penalty", "memory_id"),
)
"""Of the rollouts: what the figures need."""


class BatchFigures:
    """Takes the batches in the order of training and gives each one's figures.

    It remembers which wrong answers were given to which prompt, and nothing else: a run of any length is read once.
    """

    def __init__(self) -> None:
        self._given: set[tuple[str, str | None]] = set()
        self._size = 0

    def add(self, batch: pd.DataFrame) -> dict[Line, float]:
        """Figures of the next batch, by panel and line; what says nothing about it (no wrong completion) is left out.

        Args:
            batch: B rows of one generation batch, with `BATCH_COLUMNS`; null answers are None.
        """
        self._size += int((batch["memory_id"].to_numpy() >= 0).sum())
        # What no reward function graded is neither wrong nor right.
        batch = batch[np.isfinite(batch["reward"].to_numpy(dtype=np.float64))]
        is_correct = batch["is_correct"].to_numpy(dtype=bool)
        tokens = batch["num_tokens"].to_numpy(dtype=np.float64)
        penalties = batch["penalty"].to_numpy(dtype=np.float64)
        prompts = batch["prompt_id"].tolist()
        answers = batch["answer"].tolist()
        groups: dict[str, list[str | None]] = {}
        solved = set()
        for prompt, answer, right in zip(prompts, answers, is_correct.tolist(), strict=True):
            wrong = groups.setdefault(prompt, [])
            if right:
                solved.add(prompt)
            else:
                wrong.append(answer)
        figures = {
            ("reward", "raw"): _mean(batch["reward"].to_numpy(dtype=np.float64)),
            ("reward", "shaped"): _mean(batch["shaped_reward"].to_numpy(dtype=np.float64)),
            ("pass", "pass@1"): _mean(is_correct.astype(np.float64)),
            ("pass", "pass@G"): len(solved) / len(groups) if groups else math.nan,
            ("entropy", "entropy"): _mean(
                np.array([answer_entropy(wrong) for wrong in groups.values() if wrong])
            ),
            ("distinct", "distinct"): _mean(
                np.array([len(set(wrong)) for wrong in groups.values()], dtype=np.float64)
            ),
            ("repeated", "answer"): self._repeated(groups),
            ("penalty", "mean"): _mean(penalties[~is_correct]),
            ("memory", "size"): float(self._size),
            ("length", "right"): _mean(tokens[is_correct]),
            ("length", "wrong"): _mean(tokens[~is_correct]),
        }
        return {line: value for line, value in figures.items() if finite(value) is not None}

    def _repeated(self, groups: dict[str, list[str | None]]) -> float:
        """Share of the wrong completions whose answer was given to their prompt in an earlier batch; then remember."""
        pairs = [(prompt, answer) for prompt, wrong in groups.items() for answer in wrong]
        share = sum(pair in self._given for pair in pairs) / len(pairs) if pairs else math.nan
        self._given.update(pairs)
        return share


def _mean(values: np.ndarray) -> float:
    """Mean of the numbers among them; NaN of none."""
    known = values[np.abs(values) <= LARGEST]  # no NaN is
    return float(known.mean()) if len(known) else math.nan
