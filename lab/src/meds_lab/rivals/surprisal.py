"""Surprisal: the less likely the policy finds the text of an error, the more it gets. No memory and no clusters.

In a group without a right answer the advantage is alpha (-ln pi(y) - the group's mean of it), with ``meds_alpha`` as
annealed by ``meds_anneal``. This gives the gradient of alpha times the entropy over whole texts. So -ln pi(y) is the
sum over the completion's tokens, at the sampling temperature; the mean over tokens would not give the gradient of an
entropy. Groups with a right answer get no penalty. ``meds_beta`` does not apply. Use it with ``meds_all_wrong: center``
(or ``preset: recommended``).

The log-probabilities are those of TRL's forward for the old ones. It runs for every batch here; TRL would skip it where
each batch is used once.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from meds_lab.rivals.batch_memory import BatchMemory
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.engines.trl.batch import Batch, Features
from meds_rl.memory import equal_vectors
from meds_rl.shaping import ShapedBatch


def surprisal_penalties(
    logps: ArrayLike, groups: ArrayLike, is_correct: ArrayLike, alpha: float
) -> NDArray[np.float64]:
    """alpha (ln pi(y) - the smallest of the group) in groups without a right answer, 0 in others.

    The advantage is the group's mean penalty minus the completion's.

    Args:
        logps: (B,) ln pi(y) of whole completions.
        groups: (B,) whole numbers; rows with the same one are a group.
        is_correct: (B,) bool.
        alpha: >= 0, in units of reward per nat.

    Returns:
        (B,) >= 0.

    Example:
        The third row's group has a right answer.

        >>> surprisal_penalties([-2, -5, -1, -9], [0, 0, 1, 1], [False, False, False, True], 0.1).round(3).tolist()
        [0.3, 0.0, 0.0, 0.0]
    """
    values, group, right = np.asarray(logps, dtype=np.float64), np.asarray(groups), np.asarray(is_correct)
    penalties = np.zeros(len(values))
    for number in np.unique(group):
        rows = group == number
        if not right[rows].any():
            penalties[rows] = alpha * (values[rows] - values[rows].min())
    return penalties


class SurprisalTrainer(MEDSTrainer):
    """`MEDSTrainer` with these penalties. Nothing is remembered.

    Attributes:
        text_logps: (n,) ln pi(y) of this process's completions of the batch in progress.
    """

    text_logps: torch.Tensor | None = None

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self.text_logps = None
        if self.model.training:
            # TRL skips the forward if this number times steps_per_generation divides gradient_accumulation_steps.
            self.num_iterations = self.args.gradient_accumulation_steps + 1
        return super()._generate_and_score_completions(inputs)

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Any, attention_mask: torch.Tensor, logits_to_keep: int, *args: Any, **kwargs: Any
    ) -> Any:
        found = super()._get_per_token_logps_and_entropies(
            model, input_ids, attention_mask, logits_to_keep, *args, **kwargs
        )
        # The first forward without a gradient is the policy's; a reference's may follow.
        if self.model.training and not torch.is_grad_enabled() and self.text_logps is None:
            self.text_logps = (found[0].double() * attention_mask[:, -logits_to_keep:]).sum(dim=1)
        return found

    def shape(self, batch: Batch, features: Features) -> None:
        """Penalise likely texts."""
        super().shape(batch, features)
        if batch.shaped is None or self.shaper is None or self.text_logps is None:
            raise RuntimeError("surprisal needs a shaped batch and the policy's log-probabilities")
        logps = self.accelerator.gather(self.text_logps).cpu().numpy()
        alpha = self.shaper.alpha_at(min(1.0, self.state.global_step / self.state.max_steps))
        shaped: ShapedBatch = batch.shaped
        rows = batch.is_graded
        penalties = surprisal_penalties(logps[rows], batch.group_ids[rows], shaped.is_correct, alpha)
        batch.shaped = replace(shaped, penalties=penalties, rewards=shaped.raw_rewards - penalties)
        batch.shaped_rewards[rows] = batch.shaped.rewards


def trainer(model: Any, reward_funcs: Any, args: MEDSConfig, train_dataset: Any, **kwargs: Any) -> MEDSTrainer:
    """A `SurprisalTrainer`.

    Raises:
        ValueError: groups without a right answer are skipped or divided by their deviation.
    """
    if args.meds_all_wrong != "center":
        raise ValueError(f"surprisal needs meds_all_wrong='center', got {args.meds_all_wrong!r}")

    def penalty(cluster_sizes: ArrayLike, _group_sizes: ArrayLike) -> NDArray[np.float64]:
        return np.zeros(np.shape(cluster_sizes))

    memory = BatchMemory(equal_vectors)
    return SurprisalTrainer(model, reward_funcs, args, train_dataset, memory=memory, penalty=penalty, **kwargs)
