"""A shaped batch: each completion's reward, cluster, penalty and the reason for it."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from meds_rl.checks import PromptId
from meds_rl.labels import NO_ANSWER, NOISE, NOT_SCORED
from meds_rl.memory.entry import ClusterSizes


class Reason(str, Enum):
    """Why a completion has the penalty it has."""

    CLUSTER = "cluster"
    NOISE = "noise"
    NOISE_FREE = "noise_free"
    NO_ANSWER = "no_answer"
    NO_ANSWER_FREE = "no_answer_free"
    UNSEEN = "unseen"
    NOT_TARGET = "not_target"
    ALL_RIGHT = "all_right"
    ALL_WRONG = "all_wrong"


_EXPLANATIONS = {
    Reason.CLUSTER: "its nearest remembered completions are of cluster {cluster}, which had {size:g} members",
    Reason.NOISE: "its nearest remembered completions are of no cluster; {size:g} such count together as one",
    Reason.NOISE_FREE: "its nearest remembered completions are of no cluster, which is free (noise='free')",
    Reason.NO_ANSWER: "it gives no answer, as {size:g} remembered completions did before",
    Reason.NO_ANSWER_FREE: "it gives no answer, which is free (no_answer='free')",
    Reason.UNSEEN: "nothing like it with an answer was remembered of this prompt yet",
    Reason.NOT_TARGET: "completions of its kind are no target of the penalty",
    Reason.ALL_RIGHT: "all completions of its group are right",
    Reason.ALL_WRONG: "all completions of its group are wrong, which is skipped (all_wrong='skip')",
}


def explanation(reason: str, cluster: int, size: float) -> str:
    """A reason (the value of a `Reason`; others are a ValueError) in words, with the completion's cluster and its size.

    Example:
        >>> explanation("cluster", 3, 12.0)
        'its nearest remembered completions are of cluster 3, which had 12 members'
    """
    return _EXPLANATIONS[Reason(reason)].format(cluster=cluster, size=size)


@dataclass(frozen=True, eq=False)
class ShapedBatch:
    """The result of `RewardShaper.shape` for B completions, row for row.

    Attributes:
        rewards: (B,) float64 shaped rewards r_s.
        penalties: (B,) float64 >= 0; 0 for rows that were not scored.
        cluster_sizes: (B,) |C| before this batch, as it counts for the penalty: 0 for what is free or was not scored.
            int64, or with a half-life float64: members weighted by age.
        clusters: (B,) int64 label in memory, or NOISE, NO_ANSWER, UNSEEN, NOT_SCORED.
        reasons: (B,) the value of a `Reason`.
        normalize_by_std: (B,) bool, False only for the rows of an all-wrong group under all_wrong="center":
            their advantage is the reward minus the group's mean, not divided by the group's deviation.
        memory_ids: (B,) int64 id under which each completion is remembered, -1 if it is not.
        prompt_ids: (B,) as given.
        group_ids: (B,) as given; the prompt ids where none were.
        is_correct: (B,) bool as given.
        raw_rewards: (B,) float64 rewards as given.
    """

    rewards: NDArray[np.float64]
    penalties: NDArray[np.float64]
    cluster_sizes: ClusterSizes
    clusters: NDArray[np.int64]
    reasons: list[str]
    normalize_by_std: NDArray[np.bool_]
    memory_ids: NDArray[np.int64]
    prompt_ids: list[PromptId]
    group_ids: list[PromptId]
    is_correct: NDArray[np.bool_]
    raw_rewards: NDArray[np.float64]

    def __len__(self) -> int:
        """B."""
        return len(self.rewards)

    def explain(self, row: int) -> str:
        """One completion in words: its cluster, the cluster's size before the batch, the penalty and why."""
        why = explanation(self.reasons[row], int(self.clusters[row]), float(self.cluster_sizes[row]))
        graded = "right" if self.is_correct[row] else "wrong"
        return (
            f"Completion {row} of prompt {self.prompt_ids[row]!r} is {graded}: {why}. Penalty "
            f"{self.penalties[row]:.4f}, reward {self.raw_rewards[row]:.4f} -> {self.rewards[row]:.4f}."
        )

    def metrics(self) -> dict[str, float]:
        """Figures for a log. A fraction or mean of no rows is 0.

        - `share_penalised`: rows with a penalty above 0, of all rows.
        - `mean_penalty`: mean over the scored rows, those with penalty 0 included.
        - `share_wrong_seen`: rows whose cluster had members that count (size > 0), of the scored wrong rows.
        - `noise_share`: rows voted NOISE, of the scored rows.
        - `no_answer_share`: rows without an answer, of the scored wrong rows.
        """
        scored = self.clusters != NOT_SCORED
        scored_wrong = scored & ~self.is_correct
        return {
            "share_penalised": _mean(self.penalties > 0),
            "mean_penalty": _mean(self.penalties[scored]),
            "share_wrong_seen": _mean(self.cluster_sizes[scored_wrong] > 0),
            "noise_share": _mean(self.clusters[scored] == NOISE),
            "no_answer_share": _mean(self.clusters[scored_wrong] == NO_ANSWER),
        }


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return float(values.mean()) if values.size else 0.0
