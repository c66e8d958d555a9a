"""The method: score a batch against the memory, take the penalty from its rewards, then remember it."""

from collections.abc import Iterable, Sequence
from typing import Literal

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
    check_something_penalised,
)
from meds_rl.labels import NO_ANSWER, NOISE, NOT_SCORED, UNSEEN
from meds_rl.memory.memory import Assigned, ErrorMemory, Visit
from meds_rl.memory.sharing import ALONE, Share
from meds_rl.memory.vote import no_sizes
from meds_rl.shaping.forms import PenaltyForm, penalties_of, shaped_rewards
from meds_rl.shaping.groups import (
    Group,
    GroupKind,
    Side,
    answered,
    groups_of,
    of_each_prompt,
    scored_sides,
)
from meds_rl.shaping.penalty import Anneal, check_anneal, check_progress, strength
from meds_rl.shaping.result import Reason, ShapedBatch
from meds_rl.shaping.scope import ALL_PROMPTS, Scope, compared_in_batch, of_all_prompts


class RewardShaper:
    """Takes reward away from errors that were made before (the paper's shaped reward).

    r_s(x, y) = r(x, y) - min(alpha ln(|C| + 1), beta) for wrong y, where C is the cluster of y among the
    remembered wrong completions of x. A group is the rows with one prompt id in one call, or with one group id.

    Args:
        alpha: Strength of the penalty, >= 0.
        beta: Cap of the penalty, >= 0.
        target: Which completions are penalised and remembered: "wrong", "right" or "both". A right completion
            keeps the sign of its reward: r / (1 + penalty), or r (1 + penalty) for a negative r.
        noise: Remembered completions that are in no cluster count together as one "cluster" (as released), or
            are "free" of penalty.
        all_wrong: A group without a right completion is left alone ("skip", as released: neither penalised
            nor remembered), shaped with an advantage that is not divided by its deviation ("center"), or
            shaped like any other ("shape"). A group that is all right is always left alone.
        no_answer: Completions without an answer count together as one "cluster", or are "free" of penalty and
            not remembered (as released).
        n_neighbors: How many nearest members of the memory vote on a completion's cluster.
        max_distance: Members further than this (unit vectors: 0 to 2) do not vote; no voter, |C| = 0. None: no bound.
        scope: With what a completion is compared: its "prompt"'s memory (as published), the "global" one of all
            prompts, or without a memory the scored others of its group in the "batch".
        penalty_form: What a count costs: "log" (as published), "inverse_sqrt" or "share" (`meds_rl.shaping.forms`).
        mixed: A group with right and wrong completions is penalised ("shape", as published), or only remembered
            ("remember"): there being right already pays, and only groups without a right answer are penalised.
        anneal: Two shares of training: alpha counts whole up to the first, then falls in a line, and not at all from
            the second on. What is wrong is remembered all the while. None: whole throughout, as published.
        memory: The memory to use and to fill; a new one by default.

    Raises:
        TypeError, ValueError: An argument has a wrong type or value, or `mixed`, `all_wrong` and `target` together
            leave nothing that could be penalised.

    Example:
        >>> shaper = RewardShaper()
        >>> batch = dict(
        ...     prompt_ids=["x"] * 3,
        ...     features=[[1.0, 0.1], [0.1, 1.0], [0.5, 0.5]],
        ...     is_correct=[False, False, True],
        ... )
        >>> shaper.shape([0.0, 0.0, 1.0], **batch).rewards.tolist()
        [0.0, 0.0, 1.0]
        >>> shaped = shaper.shape([0.0, 0.0, 1.0], **batch)
        >>> shaped.rewards.round(4).tolist()
        [-0.1099, -0.1099, 1.0]
        >>> shaped.reasons
        ['noise', 'noise', 'not_target']
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
        scope: Scope = "prompt",
        penalty_form: PenaltyForm = "log",
        mixed: Literal["shape", "remember"] = "shape",
        anneal: Anneal | None = None,
    ) -> None:
        check_choice("target", target, ("wrong", "right", "both"))
        check_choice("noise", noise, ("cluster", "free"))
        check_choice("all_wrong", all_wrong, ("skip", "center", "shape"))
        check_choice("no_answer", no_answer, ("cluster", "free"))
        check_choice("scope", scope, ("prompt", "global", "batch"))
        check_choice("penalty_form", penalty_form, ("log", "inverse_sqrt", "share"))
        check_choice("mixed", mixed, ("shape", "remember"))
        check_something_penalised(mixed=mixed, all_wrong=all_wrong, target=target)
        if memory is not None and not isinstance(memory, ErrorMemory):
            raise TypeError(f"memory must be an ErrorMemory, got {type(memory).__name__}")
        self.alpha = check_non_negative("alpha", alpha)
        self.beta = check_non_negative("beta", beta)
        self.target = target
        self.noise = noise
        self.all_wrong = all_wrong
        self.no_answer = no_answer
        self.n_neighbors = check_positive_int("n_neighbors", n_neighbors)
        self.max_distance = check_max_distance(max_distance)
        self.scope = scope
        self.penalty_form = penalty_form
        self.mixed = mixed
        self.anneal = check_anneal("anneal", anneal)
        # An empty memory is falsy, so `memory or ErrorMemory()` would drop the caller's.
        self.memory = ErrorMemory() if memory is None else memory

    def memory_prompt(self, prompt_id: PromptId) -> PromptId:
        """Under which prompt id the memory holds what is remembered of a prompt."""
        return ALL_PROMPTS if self.scope == "global" else prompt_id

    def alpha_at(self, progress: float | None) -> float:
        """The strength of the penalty when a share of training, 0 to 1, is done; only with `anneal` does it matter.

        Raises:
            ValueError: progress is out of range, or missing where `anneal` needs it.
        """
        return self.alpha * strength(self.anneal, check_progress(progress, self.anneal))

    def scored_rows(
        self,
        *,
        prompt_ids: Sequence[PromptId],
        is_correct: ArrayLike,
        group_ids: Iterable[PromptId] | None = None,
    ) -> NDArray[np.bool_]:
        """Which rows (B,) `shape` would look up and remember: the only ones whose fingerprints matter to it.

        An engine need not compute the others' fingerprints; rows of NaN may stand for them.

        Raises:
            TypeError, ValueError: An argument has a wrong type or shape.
        """
        n_rows = len(prompt_ids)
        correct = check_bools("is_correct", is_correct, n_rows)
        ids = check_prompt_ids(prompt_ids, n_rows)
        groups = groups_of(ids, correct, _check_group_ids(group_ids, n_rows))
        return np.array([reason is None for reason in self._why_unscored(groups, correct)], dtype=np.bool_)

    def shape(
        self,
        rewards: ArrayLike,
        *,
        prompt_ids: Iterable[PromptId],
        features: ArrayLike,
        is_correct: ArrayLike,
        group_ids: Iterable[PromptId] | None = None,
        progress: float | None = None,
        share: Share = ALONE,
    ) -> ShapedBatch:
        """Score a batch against the memory as it is, shape its rewards, then remember it.

        The order of rows does not matter to the result. After an error the memory is as it was before. Threads may
        call it at once: each batch is scored and remembered as one whole, one after the other.

        Args:
            rewards: (B,) finite rewards before shaping.
            prompt_ids: (B,) strings or integers; 1 and "1" are different prompts.
            features: (B, D) fingerprints; a row of NaN means that the completion gives no answer.
            is_correct: (B,) bool.
            group_ids: (B,) strings or integers, where one prompt may have several groups in a batch, each normalised by
                itself: whether all of a group are wrong is then asked of each. They share the prompt's memory. By
                default each prompt has one group.
            progress: Share of training that is done, 0 to 1; only `anneal` needs it.
            share: This process's place among several that hold the same memory and shape the same batch: each looks up
                and clusters its share of the prompts, all get the same result.

        Raises:
            TypeError, ValueError: An argument has a wrong type, shape or value.
        """
        raw_rewards = check_rewards(rewards)
        n_rows = len(raw_rewards)
        ids = check_prompt_ids(prompt_ids, n_rows)
        correct = check_bools("is_correct", is_correct, n_rows)
        fingerprints = check_features(features, n_rows)
        named = _check_group_ids(group_ids, n_rows)
        alpha = self.alpha_at(progress)
        groups = groups_of(ids, correct, named)
        unscored = self._why_unscored(groups, correct)
        scored = np.array([reason is None for reason in unscored], dtype=np.bool_)
        sides = scored_sides(groups, correct, scored, fingerprints)
        if self.scope != "batch":
            sides = of_all_prompts(sides) if self.scope == "global" else of_each_prompt(sides)
        with self.memory.lock:
            clusters, sizes = self._score(sides, n_rows, share)
            memory_ids = self._remember(sides, n_rows, share)

        penalties = penalties_of(self.penalty_form, sizes, groups, alpha, self.beta)
        spared = self._only_remembered(groups, scored)
        penalties[spared] = 0.0
        return ShapedBatch(
            rewards=shaped_rewards(self.penalty_form, raw_rewards, penalties, correct),
            penalties=penalties,
            cluster_sizes=sizes,
            clusters=clusters,
            reasons=[
                (reason or (Reason.MIXED if spare else self._why_scored(cluster))).value
                for reason, spare, cluster in zip(unscored, spared.tolist(), clusters.tolist(), strict=True)
            ],
            normalize_by_std=self._normalize_by_std(groups, n_rows),
            memory_ids=memory_ids,
            prompt_ids=ids,
            group_ids=ids if named is None else named,
            is_correct=correct,
            raw_rewards=raw_rewards,
        )

    def _why_unscored(self, groups: list[Group], is_correct: NDArray[np.bool_]) -> list[Reason | None]:
        """For each row why it is left alone, or None where it is scored."""
        reasons: list[Reason | None] = [None] * len(is_correct)
        for group in groups:
            for row in group.rows.tolist():
                reasons[row] = self._why_left_alone(group.kind, bool(is_correct[row]))
        return reasons

    def _why_left_alone(self, kind: GroupKind, is_correct: bool) -> Reason | None:
        if kind is GroupKind.ALL_RIGHT:
            return Reason.ALL_RIGHT
        if kind is GroupKind.ALL_WRONG and self.all_wrong == "skip":
            return Reason.ALL_WRONG
        if self.target not in ("right" if is_correct else "wrong", "both"):
            return Reason.NOT_TARGET
        return None

    def _only_remembered(self, groups: list[Group], scored: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which scored rows (B,) are not penalised, because their group has a right answer."""
        spared = np.zeros_like(scored)
        if self.mixed == "remember":
            for group in groups:
                spared[group.rows] = scored[group.rows] & (group.kind is GroupKind.MIXED)
        return spared

    def _why_scored(self, cluster: int) -> Reason:
        if cluster == UNSEEN:
            return Reason.UNSEEN
        if cluster == NOISE:
            return Reason.NOISE_FREE if self.noise == "free" else Reason.NOISE
        if cluster == NO_ANSWER:
            return Reason.NO_ANSWER_FREE if self.no_answer == "free" else Reason.NO_ANSWER
        return Reason.CLUSTER

    def _score(self, sides: list[Side], n_rows: int, share: Share) -> Assigned:
        """Clusters (B,) and the sizes (B,) that count; rows in no side are NOT_SCORED with size 0."""
        clusters = np.full(n_rows, NOT_SCORED, dtype=np.int64)
        sizes = no_sizes(n_rows, self.memory.half_life)
        for side, (side_clusters, side_sizes) in zip(sides, self._look_up(sides, share), strict=True):
            clusters[side.rows], sizes[side.rows] = side_clusters, side_sizes
        if self.noise == "free":
            sizes[clusters == NOISE] = 0
        if self.no_answer == "free":
            # Nothing new is remembered, but the memory may come from a run that did.
            sizes[clusters == NO_ANSWER] = 0
        return Assigned(clusters, sizes)

    def _look_up(self, sides: list[Side], share: Share) -> list[Assigned]:
        if self.scope == "batch":
            return [compared_in_batch(side, self.memory.clustering) for side in sides]
        return self.memory.assign_batch(
            [Visit(side.prompt_id, side.features, side.is_correct) for side in sides],
            n_neighbors=self.n_neighbors,
            max_distance=self.max_distance,
            share=share,
        )

    def _remember(self, sides: list[Side], n_rows: int, share: Share) -> NDArray[np.int64]:
        """Add the scored rows to the memory; ids (B,), -1 for what is not remembered."""
        memory_ids = np.full(n_rows, -1, dtype=np.int64)
        if self.scope == "batch":
            return memory_ids
        if self.no_answer == "free":
            sides = [answered(side) for side in sides]
        visits = [Visit(side.prompt_id, side.features, side.is_correct) for side in sides]
        for side, ids in zip(sides, self.memory.remember_batch(visits, share=share), strict=True):
            memory_ids[side.rows] = ids
        return memory_ids

    def _normalize_by_std(self, groups: list[Group], n_rows: int) -> NDArray[np.bool_]:
        normalize = np.ones(n_rows, dtype=np.bool_)
        if self.all_wrong == "center":
            for group in groups:
                normalize[group.rows] = group.kind is not GroupKind.ALL_WRONG
        return normalize


def _check_group_ids(group_ids: Iterable[PromptId] | None, n_rows: int) -> list[PromptId] | None:
    return None if group_ids is None else check_prompt_ids(group_ids, n_rows, name="group_ids")
