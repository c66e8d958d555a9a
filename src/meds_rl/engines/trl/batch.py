"""One generation batch as arrays over the rows of all processes: its shaped rewards, advantages, columns, figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.logging import get_logger
from accelerate.utils import broadcast_object_list
from numpy.typing import NDArray

from meds_rl.evaluation.diversity.eigenvalues import top1_eigenvalue_ratio
from meds_rl.labels import NO_ANSWER, NO_MEMORY, NOISE, NOT_GRADED, NOT_SCORED, UNSEEN
from meds_rl.memory.memory import ErrorMemory
from meds_rl.memory.recall import RightCompletion
from meds_rl.rollouts.answers import suggest_marker
from meds_rl.shaping.advantage import AdvantageFunction, advantages_by, group_advantages
from meds_rl.shaping.recall import WEIGHT
from meds_rl.shaping.result import ShapedBatch
from meds_rl.shaping.shaper import RewardShaper

logger = get_logger("meds_rl")

Result = TypeVar("Result")
Features = Callable[[NDArray[np.bool_]], NDArray[np.float32]]
"""From (B,) bool, the wanted rows, to their fingerprints (B, D); NaN elsewhere or where there is no answer."""

_UNSHAPED = {"cluster": NOT_SCORED, "cluster_size": 0.0, "penalty": 0.0, "memory_id": -1, "reason": NO_MEMORY}


@dataclass
class Batch:
    """B completions of one generation batch, over all processes, in TRL's order (group after group).

    Attributes:
        prompt_ids, prompts, completions, answers, num_tokens, strategies: one value a row.
        rewards: raw rewards r, (B,); NaN where no reward function graded the row.
        is_correct: (B,) bool.
        is_graded: (B,) bool, rows with a finite reward and a grade; only they are shaped and remembered.
        outcomes: one text a row, None for no outcome (`meds_rl.fingerprint.outcome_text`); None if no reward function
            logs outcomes.
        group_size: rows of a group, TRL's `num_generations`; a prompt may have several groups.
        num_fillers: rows at the end that only fill the batch (dynamic sampling).
        knows_right: False if no reward function says right or wrong (all rows with a finite reward then count as graded
            and wrong), or none has graded a row yet. The memory then only watches.
        shaped: clusters, penalties and rewards of the graded rows; None before `shape` and without a memory.
        shaped_rewards: r_s, (B,); r before `shape` and for rows that are not graded.
        features: (B, D), the fingerprints that `shape` took; None without a memory.
        recalled: by the row that it replaces, the right completion that the update uses; None without recall.
        fingerprint_age: mean age, in generation batches, of the remembered fingerprints that were compared with.
    """

    prompt_ids: list[str | int]
    prompts: list[Any]
    completions: list[str]
    answers: list[str | None]
    num_tokens: list[int]
    strategies: list[str | None]
    rewards: NDArray[np.float64]
    is_correct: NDArray[np.bool_]
    is_graded: NDArray[np.bool_]
    group_size: int
    outcomes: list[str | None] | None = None
    num_fillers: int = 0
    knows_right: bool = True
    shaped: ShapedBatch | None = None
    shaped_rewards: NDArray[np.float64] = field(init=False)
    features: NDArray[np.float32] | None = None
    fingerprint_age: float = 0.0
    recalled: dict[int, RightCompletion] | None = None

    def __post_init__(self) -> None:
        self.shaped_rewards = self.rewards.copy()

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def group_ids(self) -> NDArray[np.int64]:
        """(B,) number of the group that each row is compared in."""
        return np.arange(len(self)) // self.group_size

    @property
    def in_loss(self) -> NDArray[np.bool_]:
        """(B,) bool: rows that the update uses."""
        return np.arange(len(self)) < len(self) - self.num_fillers

    @property
    def added(self) -> NDArray[np.float64]:
        """(B,) shaped minus raw rewards; 0 for an infinite reward, NaN where there is none."""
        finite = ~np.isinf(self.rewards)
        return np.subtract(self.shaped_rewards, self.rewards, out=np.zeros(len(self)), where=finite)

    @property
    def scored_wrong(self) -> NDArray[np.bool_]:
        """(B,) bool: wrong rows that the memory scored."""
        return ~self.is_correct & (np.array(self.column("cluster")) != NOT_SCORED)

    def shape(
        self,
        shaper: RewardShaper,
        features: Features,
        accelerator: Accelerator,
        *,
        progress: float | None = None,
    ) -> None:
        """Score the graded rows against the memory, then remember them.

        Args:
            shaper: the first process scores with its own and sends the result to the others, which use its settings
                only.
            features: a function, called in all processes together.
            accelerator: of this process.
            progress: share of training that is done.
        """
        graded = self.is_graded
        rows: dict[str, Any] = {
            "prompt_ids": [name for name, keep in zip(self.prompt_ids, graded, strict=True) if keep],
            "is_correct": self.is_correct[graded],
            "group_ids": self.group_ids[graded].tolist(),
        }
        wanted = np.zeros(len(self), dtype=np.bool_)
        wanted[graded] = shaper.scored_rows(**rows)
        fingerprints = self.features = features(wanted)

        def score_and_remember() -> tuple[ShapedBatch, float]:
            age = self._mean_age(shaper.memory, wanted & ~np.isnan(fingerprints).any(axis=1))
            shaped = shaper.shape(self.rewards[graded], features=fingerprints[graded], progress=progress, **rows)
            return shaped, age

        self.shaped, self.fingerprint_age = on_main_process(accelerator, score_and_remember)
        self.shaped_rewards = self._spread(self.shaped.rewards, self.rewards)

    def only_watch(self) -> None:
        """Undo all penalties: the batch is remembered, and its rewards stay raw."""
        self.shaped_rewards = self.rewards.copy()
        if self.shaped is not None:
            raw, none = self.shaped.raw_rewards, np.zeros(len(self.shaped))
            self.shaped = replace(self.shaped, rewards=raw, penalties=none, normalize_by_std=none == 0)

    def _mean_age(self, memory: ErrorMemory, rows: NDArray[np.bool_]) -> float:
        """Mean age of the remembered fingerprints that these rows (B,) are compared with; 0 where there are none."""
        keys = {(self.prompt_ids[row], bool(self.is_correct[row])) for row in np.flatnonzero(rows).tolist()}
        entries = [entry for key in keys if (entry := memory.entry(*key)) is not None]
        count = sum(len(entry.vectors) for entry in entries)
        return memory.step - sum(int(entry.steps.sum()) for entry in entries) / count if count else 0.0

    def advantages(
        self, function: AdvantageFunction | None = None, scale_rewards: str | None = "group"
    ) -> NDArray[np.float64]:
        """(B,) advantages that replace TRL's; NaN for rows that keep TRL's.

        A recalled completion counts in its group with its reward and as right; its own advantage gets `WEIGHT`.

        Args:
            function: gives them for all rows with a finite reward; other rows get 0. None: r_s - mean for the groups
                that are penalised and not divided by their deviation (`meds_all_wrong="center"`), what TRL would give
                for those that took in a recalled completion, NaN for all others.
            scale_rewards: as in TRL, for groups with a recalled completion: what r_s - mean is divided by. The
                deviation of the batch is taken with the recalled rewards: without, it is 0 if all of it is wrong.

        Raises:
            ValueError: the function does not return one finite number for each row.
        """
        finite, recalled = np.isfinite(self.rewards), self.recalled or {}
        rewards, is_correct = self.shaped_rewards.copy(), self.is_correct.copy()
        for row, one in recalled.items():
            rewards[row], is_correct[row] = one.reward, True
        if function is None:
            advantages = np.full(len(self), np.nan)
            took_in = finite & np.isin(self.group_ids, self.group_ids[list(recalled)])
            divided = took_in & (scale_rewards == "group")
            rows = took_in | self._centred_rows()
            advantages[rows] = group_advantages(
                rewards[rows], prompt_ids=self.group_ids[rows].tolist(), normalize_by_std=divided[rows]
            )
            if scale_rewards == "batch":
                advantages[took_in] /= np.std(rewards[finite], ddof=1) + 1e-4
        else:
            advantages = np.zeros(len(self))
            advantages[finite] = advantages_by(function, rewards[finite], self.group_ids[finite], is_correct[finite])
        advantages[list(recalled)] *= WEIGHT
        return advantages

    def _centred_rows(self) -> NDArray[np.bool_]:
        """(B,) bool: rows of groups that are not divided by their deviation, and in which a completion is penalised."""
        rows = np.zeros(len(self), dtype=np.bool_)
        if self.shaped is not None:
            rows[self.is_graded] = ~self.shaped.normalize_by_std
            penalised = self.shaped_rewards != self.rewards
            rows &= np.isin(self.group_ids, self.group_ids[rows & penalised])
        return rows

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
            # Floats, as a half-life gives fractions.
            "cluster_size": shaped.cluster_sizes.astype(np.float64),
            "penalty": shaped.penalties,
            "memory_id": shaped.memory_ids,
            "reason": np.array(shaped.reasons, dtype=object),
        }[name]
        default = NOT_GRADED if name == "reason" else _UNSHAPED[name]
        spread: list[Any] = self._spread(values, np.full(len(self), default, dtype=values.dtype)).tolist()
        return spread

    def _spread(self, values: np.ndarray, default: np.ndarray) -> np.ndarray:
        """``default`` (B,) with the values of the graded rows."""
        spread = default.copy()
        spread[self.is_graded] = values
        return spread


def all_wrong_has_signal(advantage: AdvantageFunction | None, group_size: int) -> bool:
    """Whether a function gives a group of wrong answers with equal rewards advantages other than 0."""
    zeros = np.zeros(group_size)
    return advantage is not None and bool(np.any(advantage(zeros, zeros.astype(np.int64), zeros.astype(np.bool_))))


def warn_of_first_batch(batch: Batch, *, reads_answers: bool) -> None:
    """Warn where the first batch suggests that a setting is not what the user meant.

    Args:
        batch: the batch.
        reads_answers: whether the fingerprint needs the answer or its place.
    """
    found = sum(answer is not None for answer in batch.answers)
    if reads_answers and found < len(batch) / 10:
        first, last = (shorten(batch.completions[row]) for row in (0, -1))
        how = "Set answer_marker to the way in which your answers are marked"
        if (better := suggest_marker(batch.completions)) is not None:
            how = f"Set answer_marker={better[0]!r} in MEDSConfig, which finds an answer in {better[1]} of them"
        logger.warning(
            f"{found} of {len(batch)} completions of the first batch have an answer, so the memory can hardly tell "
            f"errors apart. Two of them: {first!r}, {last!r}. {how}, or pass answer_finder to MEDSTrainer: a function "
            "from a completion's text to its answer."
        )
    graded = batch.is_correct[batch.is_graded]
    if batch.knows_right and len(graded) and (graded.all() or not graded.any()):
        verdict, what = ("right", "no error to remember") if graded.all() else ("wrong", "nothing right to learn from")
        logger.warning(
            f"All {len(graded)} graded completions of the first batch are {verdict}: there is {what}. Check the reward "
            "function that says right or wrong (correctness) and correct_above."
        )


def warn_of_rows_without_reward(rewards: torch.Tensor, ungraded: torch.Tensor) -> None:
    """Warn of rows without a reward that TRL does not warn of, as a function that is no reward graded them.

    Args:
        rewards: (B, F).
        ungraded: (B,) bool.
    """
    unseen = int((ungraded & ~torch.isnan(rewards).all(dim=1)).sum())
    if unseen:
        logger.warning(
            f"All reward functions returned None for {unseen} of {len(rewards)} completions; the function that only "
            "says right or wrong (correctness) is no reward. Please ensure that at least one reward function returns a "
            "valid reward."
        )


def shorten(text: str, width: int = 120) -> str:
    """A text of at most `width` characters, its middle left out."""
    return text if len(text) <= width else f"{text[: width // 2 - 2]} ... {text[-(width // 2 - 3) :]}"


# ---- Several processes.


def slice_of(accelerator: Accelerator, size: int) -> slice:
    """The rows of this process among those of all processes, ``size`` each."""
    return slice(accelerator.process_index * size, (accelerator.process_index + 1) * size)


def on_main_process(accelerator: Accelerator, function: Callable[[], Result]) -> Result:
    """Call a function in the first process, which owns the memory; every process gets its result.

    Raises:
        RuntimeError: in the other processes, if the function failed; they would otherwise wait for ever. The first
            process raises the error itself.
    """
    if accelerator.num_processes == 1:
        return function()
    shared: list[Any] = [None, None]  # result, error message
    try:
        if accelerator.is_main_process:
            shared[0] = function()
    except Exception as error:
        shared[1] = f"process 0 failed: {type(error).__name__}: {error}"
        raise
    finally:
        broadcast_object_list(shared)
    if shared[1] is not None:
        raise RuntimeError(shared[1])
    result: Result = shared[0]
    return result


# ---- What is logged and written.


def cluster_words(clusters: Sequence[int], sizes: Sequence[float]) -> list[str]:
    """Each completion's cluster and its size |C| in a few letters, for TRL's table of completions.

    Example:
        >>> cluster_words([3, -1, -2, -3, -4], [12.0, 1.5, 2.0, 0.0, 0.0])
        ['3 (12)', 'noise (1.5)', 'no answer (2)', 'new', '']
    """
    names = {NOISE: "noise", NO_ANSWER: "no answer", UNSEEN: "new", NOT_SCORED: ""}
    pairs = [
        (int(cluster), names.get(int(cluster), str(cluster)), size)
        for cluster, size in zip(clusters, sizes, strict=True)
    ]
    return [name if cluster in (UNSEEN, NOT_SCORED) else f"{name} ({size:.3g})" for cluster, name, size in pairs]


def rollout_columns(
    batch: Batch, step: int, generation: int, advantages: NDArray[np.float64]
) -> dict[str, Sequence[Any] | np.ndarray]:
    """The batch as columns of the rollouts table (``meds_rl/rollouts/table.py``)."""
    memory_columns = ("cluster", "cluster_size", "penalty", "reason", "memory_id")
    # Unknown is null. A row without a reward counts as not graded by its reward.
    known = (batch.is_graded & batch.knows_right) | np.isnan(batch.rewards)
    return {
        "step": [step] * len(batch),
        "generation": [generation] * len(batch),
        "prompt_id": [str(name) for name in batch.prompt_ids],
        "prompt": batch.prompts,
        "completion": batch.completions,
        "num_tokens": batch.num_tokens,
        "reward": batch.rewards,
        "shaped_reward": batch.shaped_rewards,
        "advantage": advantages.astype(np.float64),
        "is_correct": [bool(right) if keep else None for right, keep in zip(batch.is_correct, known, strict=True)],
        "answer": batch.answers,
        "strategy": batch.strategies,
        "in_loss": batch.in_loss,
        **({} if batch.outcomes is None else {"outcome": batch.outcomes}),
        **({} if batch.recalled is None else {"replaced": [row in batch.recalled for row in range(len(batch))]}),
        **{name: batch.column(name) for name in memory_columns},
    }


def fingerprint_figures(
    features: NDArray[np.float32], prompt_ids: Sequence[str | int], chosen: NDArray[np.bool_]
) -> dict[str, float]:
    """`diversity/top1_eigenvalue_ratio` of the chosen rows (B,) of (B, D), within prompts; left out without variance.

    The name has no `meds/` in front, as it describes the policy and not the memory.
    """
    rows = np.flatnonzero(chosen & np.isfinite(features).all(axis=1)).tolist()
    ratio = top1_eigenvalue_ratio(features[rows], [prompt_ids[row] for row in rows])
    return {} if np.isnan(ratio) else {"diversity/top1_eigenvalue_ratio": ratio}
