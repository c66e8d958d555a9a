"""EDAS, Error Diversity Advantage Shaping (arXiv 2605.17333), by the formula of the authors' repository.

After the group's normalisation, the advantage A of each wrong completion changes by at most |A| / kappa: up for an
error that is rare in its group, down for a frequent one. If all errors of the group are equal, all change by -beta
times their mean |A|. A group without a right answer has advantages of 0, so nothing changes. No memory.

The authors compare errors by their answers: use it with ``method: meds``, ``meds_alpha: 0`` and ``fingerprint:
answer_string``, or another fingerprint to compare by. With ``scale_rewards: none`` the advantages are not divided by
the group's deviation. The authors do not describe their warm-up, so it is left out.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_lab.rivals.batch_memory import BatchMemory, BatchTrainer
from meds_rl.checks import check_non_negative
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.engines.trl.batch import Batch, Features
from meds_rl.memory import equal_vectors
from meds_rl.shaping import group_advantages


def error_diversity(
    advantages: ArrayLike, errors: ArrayLike, alpha: float = 0.4, beta: float = 0.2, kappa: float = 2.0
) -> NDArray[np.float64]:
    """The advantages of one group's wrong completions, shaped.

    A + sgn(D) min(|D|, |A| / kappa), with D = alpha S (-ln p - H) / ln N. N is the number of wrong completions, p the
    share of them with the same error, H the entropy of these shares and S the mean of |A|. If all errors are equal,
    D = -beta S; if N < 2, D = 0.

    Args:
        advantages: (N,) A of the wrong completions.
        errors: (N,) whole numbers, equal for equal errors.
        alpha, beta: >= 0.
        kappa: above 1, so that no sign changes.

    Returns:
        (N,) float64.

    Example:
        Shares 2/3 and 1/3: -ln p = .405 and 1.099, H = .637, ln 3 = 1.099; D = .4 (-.210, .421) = (-.084, .168).

        >>> error_diversity([-1, -1, -1], [7, 7, 8]).round(3).tolist()
        [-1.084, -1.084, -0.832]
        >>> error_diversity([-1, -1], [7, 7]).tolist()
        [-1.2, -1.2]
    """
    values = np.asarray(advantages, dtype=np.float64)
    if len(values) < 2:
        return values
    _, found, counts = np.unique(np.asarray(errors), return_inverse=True, return_counts=True)
    scale = np.abs(values).mean()
    if len(counts) == 1:
        moves = np.full(len(values), -beta * scale)
    else:
        surprisal = -np.log(counts / len(values))[found]  # its mean over the completions is H
        moves = alpha * scale * (surprisal - surprisal.mean()) / np.log(len(values))
    return np.asarray(values + np.sign(moves) * np.minimum(np.abs(moves), np.abs(values) / kappa))


class EDASTrainer(BatchTrainer):
    """`BatchTrainer` that notes which completions of the batch in progress have the same error.

    Attributes:
        errors: one number for each row with a finite reward.
    """

    errors: NDArray[np.int64]

    def shape(self, batch: Batch, features: Features) -> None:
        """Shape as usual (``meds_alpha: 0`` gives no penalty), and number the errors."""
        super().shape(batch, features)
        self.errors = np.array(batch.column("cluster"))[np.isfinite(batch.rewards)]


def trainer(
    model: Any,
    reward_funcs: Any,
    args: MEDSConfig,
    train_dataset: Any,
    *,
    alpha: float = 0.4,
    beta: float = 0.2,
    kappa: float = 2.0,
    **kwargs: Any,
) -> MEDSTrainer:
    """An `EDASTrainer`; `alpha`, `beta` and `kappa` as in `error_diversity`.

    Raises:
        ValueError: `kappa` is not above 1.
    """
    check_non_negative("alpha", alpha)
    check_non_negative("beta", beta)
    if check_non_negative("kappa", kappa) <= 1:
        raise ValueError(f"kappa must be above 1, got {kappa!r}")
    divided = args.scale_rewards != "none"

    def advantage(
        rewards: NDArray[np.float64], group_ids: NDArray[np.int64], is_correct: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        values = group_advantages(rewards, prompt_ids=group_ids.tolist(), normalize_by_std=divided)
        if not values.any():
            return values  # also where the trainer tries the function, before the first batch
        for group in np.unique(group_ids):
            rows = np.flatnonzero((group_ids == group) & ~is_correct)
            values[rows] = error_diversity(values[rows], made.errors[rows], alpha, beta, kappa)
        return values

    memory = BatchMemory(equal_vectors)
    made = EDASTrainer(model, reward_funcs, args, train_dataset, memory=memory, advantage=advantage, **kwargs)
    return made
