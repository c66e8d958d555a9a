"""The method: score a batch against the memory, take the penalty from its rewards, then remember it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.checks import (
    PromptId,
    check_bools,
    check_choice,
    check_features,
    check_max_distance,
    check_non_negative,
    check_positive_int,
    check_prompt_ids,
    check_rewards,
    has_answer,
)
from meds_rl.labels import NO_ANSWER, NOISE, NOT_SCORED, UNSEEN
from meds_rl.memory.entry import ClusterSizes, EntryKey, Visit
from meds_rl.memory.memory import ErrorMemory
from meds_rl.memory.vote import no_sizes
from meds_rl.shaping.penalty import (
    Anneal,
    check_anneal,
    check_penalties,
    check_progress,
    penalty,
    shaped_rewards,
    strength,
)
from meds_rl.shaping.result import Reason, ShapedBatch

PenaltyFunction: TypeAlias = Callable[[ClusterSizes, NDArray[np.int64]], ArrayLike]
"""From cluster sizes (B,) and group sizes (B,) to penalties (B,), finite and >= 0."""


class RewardShaper:
    """Lowers the reward of errors that were made before (the paper's shaped reward).

    r_s(x, y) = r(x, y) - min(alpha ln(|C| + 1), beta) for wrong y, where C is the cluster of y among the remembered
    wrong completions of x. A group is the rows with one prompt id in one call, or with one group id.

    To penalise differently, pass a function (`penalty`) or override `penalties` in a subclass.

    Args:
        alpha: Strength of the penalty, >= 0, in units of reward.
        beta: Cap of the penalty, >= 0, in units of reward.
        target: Which completions are penalised and remembered: "wrong", "right" or "both". A right completion keeps the
            sign of its reward: r / (1 + penalty), or r (1 + penalty) for a negative r.
        noise: What HDBSCAN puts in no cluster: "cluster" counts it together as one cluster (as released), "free" gives
            no penalty.
        all_wrong: What to do with a group without a right completion: "skip" neither penalises nor remembers it (as
            released), "center" penalises it but does not divide its advantages by the group's deviation, "shape" treats
            it like any group. A group that is all right is always skipped.
        no_answer: Completions without an answer: "cluster" counts them together as one cluster, "free" neither
            penalises nor remembers them (as released).
        n_neighbors: How many nearest members of the memory vote on a completion's cluster.
        memory: The memory to use and to fill; a new one by default.
        max_distance: Members further away (of unit vectors: 0 to 2) do not vote; without a voter |C| = 0. None: no
            bound, as published.
        anneal: Two fractions of training: the penalty has its full strength up to the first, falls linearly, and is 0
            from the second on. Errors are remembered throughout. None: full strength throughout, as published.
        penalty: A function from cluster sizes (B,) and group sizes (B,) to penalties (B,) >= 0, in place of
            min(alpha ln(|C| + 1), beta); alpha and beta then have no effect. `anneal` scales its penalties, and they
            are subtracted from right completions, too. A row that is not scored has size 0 and always penalty 0.

    Raises:
        TypeError, ValueError: An argument has a wrong type or value.

    Example:
        >>> shaper = RewardShaper()
        >>> features = [[1.0, 0.1], [0.1, 1.0], [0.5, 0.5]]
        >>> batch = dict(prompt_ids=["x"] * 3, features=features, is_correct=[False, False, True])
        >>> shaper.shape([0.0, 0.0, 1.0], **batch).rewards.tolist()
        [0.0, 0.0, 1.0]
        >>> shaped = shaper.shape([0.0, 0.0, 1.0], **batch)
        >>> shaped.rewards.round(4).tolist()
        [-0.1099, -0.1099, 1.0]
        >>> shaped.reasons
        ['noise', 'noise', 'not_target']

        Instead of the logarithm, the bonus 1 / sqrt(|C|) of outcome-based exploration, less its largest value:

        >>> def outcome(sizes, group_sizes):
        ...     return 0.1 * (1 - 1 / np.sqrt(np.maximum(sizes, 1)))
        >>> shaper = RewardShaper(memory=shaper.memory, penalty=outcome)
        >>> shaper.shape([0.0, 0.0, 1.0], **batch).rewards.round(4).tolist()
        [-0.0293, -0.0293, 1.0]
    """

    def __init__(
        self,
        alpha: float = 0.1,
        beta: float = 0.2,
        target: Literal["wrong", "right", "both"] = "wrong",
        noise: Literal["cluster", "free"] = "cluster",
        all_wrong: Literal["skip", "center", "shape"] = "skip",
        no_answer: Literal["cluster", "free"] = "cluster",
        n_neighbors: int = 3,
        memory: ErrorMemory | None = None,
        *,
        max_distance: float | None = None,
        anneal: Anneal | None = None,
        penalty: PenaltyFunction | None = None,
    ) -> None:
        check_choice("target", target, ("wrong", "right", "both"))
        check_choice("noise", noise, ("cluster", "free"))
        check_choice("all_wrong", all_wrong, ("skip", "center", "shape"))
        check_choice("no_answer", no_answer, ("cluster", "free"))
        if memory is not None and not isinstance(memory, ErrorMemory):
            raise TypeError(f"memory must be an ErrorMemory, got {type(memory).__name__}")
        if penalty is not None and not callable(penalty):
            raise TypeError(f"penalty must be a function of cluster sizes and group sizes, got {penalty!r}")
        self.alpha = check_non_negative("alpha", alpha)
        self.beta = check_non_negative("beta", beta)
        self.target = target
        self.noise = noise
        self.all_wrong = all_wrong
        self.no_answer = no_answer
        self.n_neighbors = check_positive_int("n_neighbors", n_neighbors)
        self.max_distance = check_max_distance(max_distance)
        self.anneal = check_anneal("anneal", anneal)
        self.penalty = penalty
        # An empty memory is falsy, so `memory or ErrorMemory()` would drop the caller's.
        self.memory = ErrorMemory() if memory is None else memory

    def alpha_at(self, progress: float | None) -> float:
        """alpha at a fraction of training; it changes only with `anneal`. ValueError unless `progress` is 0 to 1."""
        return self.alpha * strength(self.anneal, check_progress(progress, self.anneal))

    def penalties(self, sizes: ClusterSizes, groups: list[Group], progress: float | None) -> NDArray[np.float64]:
        """Penalties (B,) >= 0 of a batch: the method for a subclass to override.

        Args:
            sizes: (B,) |C| as it counts; 0 for rows that are not scored, unseen or free of penalty.
            groups: The batch's groups; together they hold each row once.
            progress: Fraction of training that is done, None where `anneal` does not need it.
        """
        if self.penalty is None:
            return penalty(sizes, self.alpha_at(progress), self.beta)
        group_sizes = np.empty(len(sizes), dtype=np.int64)
        for group in groups:
            group_sizes[group.rows] = len(group.rows)
        # A copy: the function may write to what it gets.
        penalties = check_penalties(self.penalty(sizes.copy(), group_sizes), len(sizes))
        return penalties * strength(self.anneal, progress)

    def scored_rows(
        self, *, prompt_ids: Sequence[PromptId], is_correct: ArrayLike, group_ids: Iterable[PromptId] | None = None
    ) -> NDArray[np.bool_]:
        """Which rows (B,) `shape` would look up and remember: the only ones whose fingerprints matter to it.

        An engine may pass rows of NaN for the others instead of computing their fingerprints. Errors as `shape`.
        """
        n_rows = len(prompt_ids)
        correct = check_bools("is_correct", is_correct, n_rows)
        ids = check_prompt_ids(prompt_ids, n_rows)
        groups = ids if group_ids is None else check_prompt_ids(group_ids, n_rows, name="group_ids")
        reasons = self._why_unscored(groups_of(ids, groups, correct), correct)
        return np.array([reason is None for reason in reasons], dtype=np.bool_)

    def shape(
        self,
        rewards: ArrayLike,
        *,
        prompt_ids: Iterable[PromptId],
        features: ArrayLike,
        is_correct: ArrayLike,
        group_ids: Iterable[PromptId] | None = None,
        progress: float | None = None,
    ) -> ShapedBatch:
        """Score a batch against the memory as it is, shape its rewards, then remember it.

        The order of rows does not matter. On an error the memory is unchanged. Threads take turns, batch by batch.

        Args:
            rewards: (B,) finite rewards before shaping.
            prompt_ids: (B,) strings or integers; 1 and "1" are different prompts.
            features: (B, D) fingerprints; a row of NaN means that the completion gives no answer.
            is_correct: (B,) bool.
            group_ids: (B,) strings or integers, where a prompt may have several groups in a batch, each all wrong or
                not, and each normalised by itself. They share the prompt's memory. Default: one group a prompt.
            progress: Fraction of training that is done, 0 to 1; only `anneal` needs it.

        Raises:
            TypeError, ValueError: An argument has a wrong type, shape or value.
        """
        raw_rewards = check_rewards(rewards)
        n_rows = len(raw_rewards)
        ids = check_prompt_ids(prompt_ids, n_rows)
        correct = check_bools("is_correct", is_correct, n_rows)
        fingerprints = check_features(features, n_rows)
        row_groups = ids if group_ids is None else check_prompt_ids(group_ids, n_rows, name="group_ids")
        progress = check_progress(progress, self.anneal)

        groups = groups_of(ids, row_groups, correct)
        why_unscored = self._why_unscored(groups, correct)
        entry_rows = rows_by_entry(groups, correct, why_unscored)
        with self.memory.lock:
            clusters, sizes, penalties = self._score(entry_rows, fingerprints, groups, progress)
            memory_ids = self._remember(entry_rows, fingerprints)

        # The penalties of a penalty function are subtracted as they are, from right completions, too.
        keeps_sign = correct if self.penalty is None else np.zeros_like(correct)
        return ShapedBatch(
            rewards=shaped_rewards(raw_rewards, penalties, keeps_sign),
            penalties=penalties,
            cluster_sizes=sizes,
            clusters=clusters,
            reasons=[
                (reason or self._why_scored(cluster)).value
                for reason, cluster in zip(why_unscored, clusters.tolist(), strict=True)
            ],
            normalize_by_std=self._normalize_by_std(groups, n_rows),
            memory_ids=memory_ids,
            prompt_ids=ids,
            group_ids=row_groups,
            is_correct=correct,
            raw_rewards=raw_rewards,
        )

    def _score(
        self, entry_rows: RowsByEntry, features: NDArray[np.float32], groups: list[Group], progress: float | None
    ) -> tuple[NDArray[np.int64], ClusterSizes, NDArray[np.float64]]:
        """Clusters, the sizes that count and penalties, each (B,); rows that are not scored get NOT_SCORED, 0 and 0."""
        clusters = np.full(len(features), NOT_SCORED, dtype=np.int64)
        sizes = no_sizes(len(features), self.memory.half_life)
        visits = [Visit(key.prompt_id, features[rows], key.is_correct) for key, rows in entry_rows.items()]
        found = self.memory.assign_batch(visits, n_neighbors=self.n_neighbors, max_distance=self.max_distance)
        for rows, assigned in zip(entry_rows.values(), found, strict=True):
            clusters[rows], sizes[rows] = assigned
        if self.noise == "free":
            sizes[clusters == NOISE] = 0
        if self.no_answer == "free":
            # This shaper remembers none, but its memory may come from a run with no_answer="cluster".
            sizes[clusters == NO_ANSWER] = 0
        penalties = check_penalties(self.penalties(sizes, groups, progress), len(sizes))
        return clusters, sizes, np.where(clusters == NOT_SCORED, 0.0, penalties)

    def _remember(self, entry_rows: RowsByEntry, features: NDArray[np.float32]) -> NDArray[np.int64]:
        """Add the scored rows to the memory; ids (B,), -1 for what is not remembered."""
        memory_ids = np.full(len(features), -1, dtype=np.int64)
        if self.no_answer == "free":
            answered = has_answer(features)
            entry_rows = {key: rows[answered[rows]] for key, rows in entry_rows.items()}
        visits = [Visit(key.prompt_id, features[rows], key.is_correct) for key, rows in entry_rows.items()]
        for rows, ids in zip(entry_rows.values(), self.memory.remember_batch(visits), strict=True):
            memory_ids[rows] = ids
        return memory_ids

    def _why_unscored(self, groups: list[Group], is_correct: NDArray[np.bool_]) -> list[Reason | None]:
        """For each row the reason why it is not scored, or None if it is scored."""
        reasons: list[Reason | None] = [None] * len(is_correct)
        for group in groups:
            for row in group.rows.tolist():
                if group.kind is GroupKind.ALL_RIGHT:
                    reasons[row] = Reason.ALL_RIGHT
                elif group.kind is GroupKind.ALL_WRONG and self.all_wrong == "skip":
                    reasons[row] = Reason.ALL_WRONG
                elif self.target not in ("right" if is_correct[row] else "wrong", "both"):
                    reasons[row] = Reason.NOT_TARGET
        return reasons

    def _why_scored(self, cluster: int) -> Reason:
        if cluster == UNSEEN:
            return Reason.UNSEEN
        if cluster == NOISE:
            return Reason.NOISE_FREE if self.noise == "free" else Reason.NOISE
        if cluster == NO_ANSWER:
            return Reason.NO_ANSWER_FREE if self.no_answer == "free" else Reason.NO_ANSWER
        return Reason.CLUSTER

    def _normalize_by_std(self, groups: list[Group], n_rows: int) -> NDArray[np.bool_]:
        normalize = np.ones(n_rows, dtype=np.bool_)
        if self.all_wrong == "center":
            for group in groups:
                normalize[group.rows] = group.kind is not GroupKind.ALL_WRONG
        return normalize


# ---- A batch's groups: completions of one prompt that are compared with each other.


class GroupKind(Enum):
    """How a group's completions were graded."""

    MIXED = "mixed"
    ALL_RIGHT = "all right"
    ALL_WRONG = "all wrong"


class Group(NamedTuple):
    """The rows (G,) of one group, all of one prompt."""

    prompt_id: PromptId
    rows: NDArray[np.intp]
    kind: GroupKind


def groups_of(prompt_ids: list[PromptId], group_ids: list[PromptId], is_correct: NDArray[np.bool_]) -> list[Group]:
    """The groups of a batch (all arguments (B,)), by prompt id, integers first; ValueError if one has two prompts."""
    rows_of: dict[PromptId, list[int]] = {}
    for row, group_id in enumerate(group_ids):
        rows = rows_of.setdefault(group_id, [])
        rows.append(row)
        if prompt_ids[row] != prompt_ids[rows[0]]:
            raise ValueError(
                f"a group has the completions of one prompt; group {group_id!r} has completions of "
                f"{prompt_ids[rows[0]]!r} and {prompt_ids[row]!r}"
            )
    groups = []
    for rows in rows_of.values():
        graded = is_correct[rows]
        kind = GroupKind.ALL_RIGHT if graded.all() else GroupKind.MIXED if graded.any() else GroupKind.ALL_WRONG
        groups.append(Group(prompt_ids[rows[0]], np.array(rows, dtype=np.intp), kind))
    return sorted(groups, key=lambda group: (isinstance(group.prompt_id, str), group.prompt_id))


RowsByEntry: TypeAlias = dict[EntryKey, NDArray[np.intp]]
"""For each entry of the memory (a prompt, right or wrong) the rows (m,) that are scored, from all groups."""


def rows_by_entry(groups: list[Group], is_correct: NDArray[np.bool_], why_unscored: list[Reason | None]) -> RowsByEntry:
    """The scored rows, those without a reason not to be, by the entry they are compared with."""
    scored = np.array([reason is None for reason in why_unscored], dtype=np.bool_)
    found: dict[EntryKey, list[NDArray[np.intp]]] = {}
    for group in groups:
        for right in (False, True):
            rows = group.rows[scored[group.rows] & (is_correct[group.rows] == right)]
            if len(rows):
                found.setdefault(EntryKey(group.prompt_id, right), []).append(rows)
    return {key: np.concatenate(parts) for key, parts in found.items()}
