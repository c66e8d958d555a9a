"""One generation batch as the memory and the rollouts table see it: plain arrays over the rows of all processes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meds_rl.evaluation.diversity.answers import answer_entropy, distinct_answers, repeated_share
from meds_rl.evaluation.diversity.eigenvalues import top1_eigenvalue_ratio
from meds_rl.fingerprint.answer import extract_answer
from meds_rl.labels import NOT_SCORED
from meds_rl.memory.sharing import ALONE, Share
from meds_rl.shaping.advantage import group_advantages
from meds_rl.shaping.result import ShapedBatch
from meds_rl.shaping.shaper import RewardShaper
from meds_rl.tasks.base import prompt_id

NOT_GRADED = "not_graded"
NO_MEMORY = "no_memory"
_UNSHAPED = {"cluster": NOT_SCORED, "cluster_size": 0.0, "penalty": 0.0, "memory_id": -1, "reason": NO_MEMORY}


@dataclass
class Batch:
    """B completions of one generation batch, over all processes, in TRL's order (group after group).

    Attributes:
        prompt_ids, prompts, completions, num_tokens, strategies: one value a row.
        rewards: raw rewards r, (B,); NaN where no reward function graded the row.
        is_correct: (B,) bool.
        group_size: rows of a group, TRL's `num_generations`; a prompt may have several groups.
        num_fillers: rows at the end that only fill the batch (dynamic sampling).
        shaped: what the memory says of the rows that were graded; None without a memory.
        graded: (B,) bool, the rows that ``shaped`` is about, in order.
        features: (B, D), the fingerprints that the memory saw; None without a memory.
        bonuses: (B,), what exploration adds to the rewards; None without it.
    """

    prompt_ids: list[str | int]
    prompts: list[Any]
    completions: list[str]
    num_tokens: list[int]
    strategies: list[str | None]
    rewards: np.ndarray
    is_correct: np.ndarray
    group_size: int
    num_fillers: int = 0
    shaped: ShapedBatch | None = None
    graded: np.ndarray | None = None
    features: np.ndarray | None = None
    bonuses: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rewards)

    def shape(
        self,
        shaper: RewardShaper,
        features: np.ndarray,
        graded: np.ndarray,
        *,
        progress: float | None = None,
        share: Share = ALONE,
    ) -> None:
        """Score the graded rows against the memory and remember them; several processes share the work."""
        self.graded, self.features = graded, features
        self.shaped = shaper.shape(
            self.rewards[graded],
            prompt_ids=[name for name, keep in zip(self.prompt_ids, graded, strict=True) if keep],
            features=features[graded],
            is_correct=self.is_correct[graded],
            group_ids=self.group_ids[graded].tolist(),
            progress=progress,
            share=share,
        )

    @property
    def group_ids(self) -> np.ndarray:
        """(B,) number of the group that each row is compared in."""
        return np.arange(len(self)) // self.group_size

    @property
    def memory_ids(self) -> np.ndarray:
        """(B,) int64: the id under which each row is remembered, -1 where it is not."""
        return self._spread(
            None if self.shaped is None else self.shaped.memory_ids, np.full(len(self), -1, dtype=np.int64)
        )

    @property
    def scored_wrong(self) -> np.ndarray:
        """(B,) bool: wrong rows that the memory scored."""
        return ~self.is_correct & (np.array(self.column("cluster")) != NOT_SCORED)

    @property
    def in_loss(self) -> np.ndarray:
        """(B,) bool: rows that the update uses."""
        return np.arange(len(self)) < len(self) - self.num_fillers

    @property
    def shaped_rewards(self) -> np.ndarray:
        """(B,): r_s; without a memory r, with the bonus of exploration where there is one."""
        if self.bonuses is not None:
            return self.rewards + self.bonuses
        return self._spread(None if self.shaped is None else self.shaped.rewards, self.rewards)

    @property
    def normalize_by_std(self) -> np.ndarray:
        """(B,) bool: whether the advantage is divided by the group's deviation."""
        return self._spread(
            None if self.shaped is None else self.shaped.normalize_by_std, np.ones(len(self), bool)
        )

    def advantages(self) -> np.ndarray:
        """(B,): group-normalised, divided by the deviation or not as ``normalize_by_std`` says; NaN if not graded."""
        graded = np.ones(len(self), bool) if self.graded is None else self.graded
        advantages = np.full(len(self), np.nan)
        advantages[graded] = group_advantages(
            self.shaped_rewards[graded],
            prompt_ids=self.group_ids[graded].tolist(),
            normalize_by_std=self.normalize_by_std[graded],
        )
        return advantages

    def metrics(self) -> dict[str, float]:
        """The shaped batch's metrics."""
        return {} if self.shaped is None else self.shaped.metrics()

    def column(self, name: str) -> list[Any]:
        """One of the memory's columns of the rollouts table, one value a row."""
        shaped = self.shaped
        if shaped is None:
            return [_UNSHAPED[name]] * len(self)
        values = {
            "cluster": shaped.clusters,
            # Whole numbers unless old errors count less: one type either way.
            "cluster_size": shaped.cluster_sizes.astype(np.float64),
            "penalty": shaped.penalties,
            "memory_id": shaped.memory_ids,
            "reason": np.array(shaped.reasons, dtype=object),
        }[name]
        default = NOT_GRADED if name == "reason" else _UNSHAPED[name]
        spread: list[Any] = self._spread(values, np.full(len(self), default, dtype=values.dtype)).tolist()
        return spread

    def _spread(self, values: np.ndarray | None, default: np.ndarray) -> np.ndarray:
        """Values of the graded rows put back among all rows."""
        if values is None or self.graded is None:
            return default
        spread = default.copy()
        spread[self.graded] = values
        return spread


def rollout_columns(
    batch: Batch, *, step: int, generation: int, advantages: np.ndarray, marker: str
) -> dict[str, Sequence[Any] | np.ndarray]:
    """The batch as columns of the rollouts table (``runs/schema.py``)."""
    return {
        "step": [step] * len(batch),
        "generation": [generation] * len(batch),
        "prompt_id": [str(name) for name in batch.prompt_ids],
        "prompt": [prompt if isinstance(prompt, str) else json.dumps(prompt) for prompt in batch.prompts],
        "completion": batch.completions,
        "num_tokens": batch.num_tokens,
        "reward": batch.rewards,
        "shaped_reward": batch.shaped_rewards,
        "advantage": advantages.astype(np.float64),
        "is_correct": batch.is_correct,
        "answer": [extract_answer(text, marker) for text in batch.completions],
        "strategy": batch.strategies,
        "in_loss": batch.in_loss,
        **{
            name: batch.column(name) for name in ("cluster", "cluster_size", "penalty", "reason", "memory_id")
        },
    }


def prompt_id_of(row: Mapping[str, Any]) -> str | int:
    return row["prompt_id"] if "prompt_id" in row else prompt_id(row["prompt"])


def text_of(completion: str | list[dict[str, Any]]) -> str:
    if isinstance(completion, str):
        return completion
    return "".join(str(message.get("content") or "") for message in completion)


# ---- What one generation batch shows, for every method: how often right, and how varied the errors are.


def batch_figures(
    completions: Sequence[str],
    is_correct: NDArray[np.bool_],
    graded: NDArray[np.bool_],
    *,
    group_size: int,
    marker: str,
) -> dict[str, float]:
    """Figures of B completions, group after group.

    - `pass/pass@1`: share of right completions, mean over groups.
    - `pass/pass@G` (G as a number): share of groups with a right completion.
    - `diversity/answer_entropy`: `answer_entropy` of a group's wrong completions in nats, mean over the groups that
      have any.
    - `diversity/distinct_wrong`: different wrong answers, mean over groups.
    - `diversity/repeated_in_batch`: share of the wrong completions that repeat a wrong answer of their group.

    A figure of nothing (no group, no wrong completion) is left out.

    Args:
        completions: B texts.
        is_correct, graded: (B,); what no reward function graded is left out, and a group of nothing else too.
        group_size: G.
        marker: Of the final answer. No answer counts as one answer of its own.
    """
    rights: list[float] = []
    wrong: list[list[str | None]] = []
    for start in range(0, len(completions), group_size):
        rows = [row for row in range(start, start + group_size) if graded[row]]
        if rows:
            rights.append(float(is_correct[rows].mean()))
            wrong.append([extract_answer(completions[row], marker) for row in rows if not is_correct[row]])
    figures: dict[str, float] = {}
    if rights:
        figures["pass/pass@1"] = float(np.mean(rights))
        figures[f"pass/pass@{group_size}"] = float(np.mean([right > 0 for right in rights]))
        figures["diversity/distinct_wrong"] = float(np.mean([distinct_answers(answers) for answers in wrong]))
    if any(wrong):
        entropies = [answer_entropy(answers) for answers in wrong if answers]
        figures["diversity/answer_entropy"] = float(np.mean(entropies))
        figures["diversity/repeated_in_batch"] = repeated_share(wrong)
    return figures


def fingerprint_figures(
    features: NDArray[np.float32], prompt_ids: Sequence[str | int], chosen: NDArray[np.bool_]
) -> dict[str, float]:
    """`diversity/top1_eigenvalue_ratio` of the chosen rows (B,) of (B, D), within prompts; left out without variance.

    The name has no `meds/` before it, as it says something about the policy and nothing about the memory.
    """
    rows = np.flatnonzero(chosen & np.isfinite(features).all(axis=1)).tolist()
    ratio = top1_eigenvalue_ratio(features[rows], [prompt_ids[row] for row in rows])
    return {} if np.isnan(ratio) else {"diversity/top1_eigenvalue_ratio": ratio}
