"""Joins a memory with the rollouts it was made from, for showing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from meds_rl.runs import RunFolder, RunFolderError
from meds_rl.shaping.entry import MemoryEntry
from meds_rl.shaping.labels import NO_ANSWER, NOISE
from meds_rl.shaping.memory import ErrorMemory

if TYPE_CHECKING:
    import pandas as pd

NAMES = {NOISE: "noise", NO_ANSWER: "no answer"}


@dataclass(frozen=True)
class ClusterView:
    """One cluster: its name, size, first and last batch, most frequent answers (and strategies, where the task
    tells them), and the newest completion."""

    name: str
    size: int
    first: int
    last: int
    answers: str
    strategies: str
    example: str


@dataclass(frozen=True)
class PromptView:
    """What is remembered of one prompt on one side (wrong or right), the largest clusters first.

    ``answers`` and ``strategies`` count over all clusters: one error may lie in several.
    """

    prompt_id: str
    is_correct: bool
    text: str
    size: int
    answers: str
    strategies: str
    clusters: list[ClusterView]


@dataclass(frozen=True)
class MemoryView:
    """All of a memory, the prompts with the most remembered completions first."""

    path: Path
    steps: int
    prompts: list[PromptView]

    def headline(self) -> str:
        """One line: how much is remembered."""
        remembered = sum(prompt.size for prompt in self.prompts)
        clusters = sum(c.name not in NAMES.values() for prompt in self.prompts for c in prompt.clusters)
        return (
            f"{self.path}: {remembered} completions of {len(self.prompts)} prompts in {clusters} clusters, "
            f"after {self.steps} batches."
        )

    def largest(self, count: int) -> list[PromptView]:
        """The ``count`` prompts with the most remembered completions."""
        return self.prompts[:count]

    def find(self, prompt_id: str) -> list[PromptView]:
        """One prompt, its wrong and its right completions where both are remembered.

        Raises:
            ValueError: it is not in the memory.
        """
        found = [prompt for prompt in self.prompts if prompt.prompt_id == prompt_id]
        if not found:
            raise ValueError(f"Prompt {prompt_id!r} is not in this memory of {len(self.prompts)} prompts.")
        return found


def load_view(path: str) -> MemoryView:
    """Read the memory of a run folder, or a memory file alone (then without examples).

    Raises:
        RunFolderError: the folder is not a run, or its method has no memory.
        MemoryFileError: the memory does not load.
    """
    memory_path = Path(path)
    rollouts = None
    if not memory_path.is_file():
        run = RunFolder(path)
        run.check()
        found = run.memory_path()
        if found is None:
            raise RunFolderError(
                f"{path} has no memory: its method is not 'meds', or it has saved nothing yet."
            )
        memory_path, rollouts = found, _by_memory_id(run)
    memory = ErrorMemory.load(memory_path)
    prompts = [
        _prompt(str(prompt_id), is_correct, entry, rollouts)
        for prompt_id in memory.prompt_ids
        for is_correct in (False, True)
        if (entry := memory.entry(prompt_id, is_correct)) is not None
    ]
    return MemoryView(memory_path, memory.step, sorted(prompts, key=lambda prompt: -prompt.size))


def _by_memory_id(run: RunFolder) -> pd.DataFrame:
    rollouts = run.rollouts()
    return (
        rollouts[rollouts["memory_id"] >= 0].drop_duplicates("memory_id", keep="last").set_index("memory_id")
    )


def _prompt(
    prompt_id: str, is_correct: bool, entry: MemoryEntry, rollouts: pd.DataFrame | None
) -> PromptView:
    labels = np.concatenate([entry.labels, np.full(len(entry.no_answer_ids), NO_ANSWER)])
    ids = np.concatenate([entry.ids, entry.no_answer_ids])
    steps = np.concatenate([entry.steps, entry.no_answer_steps])
    clusters = [
        _cluster(int(label), ids[labels == label], steps[labels == label], rollouts)
        for label in np.unique(labels)
    ]
    text = _first(rollouts, ids, "prompt")
    return PromptView(
        prompt_id=prompt_id,
        is_correct=is_correct,
        text=text,
        size=len(ids),
        answers=_counts(rollouts, ids, "answer"),
        strategies=_counts(rollouts, ids, "strategy"),
        clusters=sorted(clusters, key=lambda c: (-c.size, c.name)),
    )


def _cluster(label: int, ids: np.ndarray, steps: np.ndarray, rollouts: pd.DataFrame | None) -> ClusterView:
    return ClusterView(
        name=NAMES.get(label, str(label)),
        size=len(ids),
        first=int(steps.min()),
        last=int(steps.max()),
        answers=_counts(rollouts, ids, "answer"),
        strategies=_counts(rollouts, ids, "strategy"),
        example=_first(rollouts, ids[np.argsort(-steps, kind="stable")], "completion"),
    )


def _first(rollouts: pd.DataFrame | None, ids: np.ndarray, column: str) -> str:
    if rollouts is None:
        return ""
    return next((str(rollouts.at[i, column]) for i in ids.tolist() if i in rollouts.index), "")


def _counts(rollouts: pd.DataFrame | None, ids: np.ndarray, column: str) -> str:
    """The most frequent values of a column, each with how often."""
    if rollouts is None:
        return ""
    values = Counter(rollouts[column].reindex(ids).dropna())
    shown = [f"{value} ×{count}" for value, count in values.most_common(4)]
    return ", ".join([*shown, "…"] if len(values) > len(shown) else shown)
