"""Representation-based exploration (rep_exp, arXiv 2510.11686): a bonus for states unlike the group's others.

r + w h^T (0.01 I + sum_j h_j h_j^T)^(-1) h. h is the mean of the last hidden states over the completion, projected to
`dim` numbers by a sparse random matrix, less the group's mean. Groups without a right completion get no bonus. Use it
with ``method: meds`` and ``fingerprint_from: reference``; with ``preset: paper`` the rest is DAPO. Nothing is
remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from meds_rl.checks import check_non_negative, check_positive_int
from meds_rl.engines.trl import MEDSTrainer
from meds_rl.engines.trl.batch import Batch, Features
from meds_rl.fingerprint import AnswerPosition, Head, Tokenizer, Where

if TYPE_CHECKING:
    from torch import Tensor


def elliptical_bonus(features: ArrayLike, ridge: float = 0.01) -> NDArray[np.float64]:
    """Leverage of each completion in its group: b_i = h_i^T (ridge I + sum_j h_j h_j^T)^-1 h_i, h centred.

    Args:
        features: (G, k) finite features of one group's completions.
        ridge: above 0; the released recipe has 0.01.

    Returns:
        (G,) float64 in [0, 1): near 0 for a state like many others, near 1 for a direction that no other has.

    Raises:
        ValueError: `features` is not (G, k) or `ridge` is 0.

    Example:
        Two equal states and one on the other side: the mean is 0, h = -1, -1, 2, and 1 + 1 + 4 + .01 = 6.01.

        >>> elliptical_bonus([[0.0], [0.0], [3.0]]).round(4).tolist()
        [0.1664, 0.1664, 0.6656]
    """
    if check_non_negative("ridge", ridge) == 0:
        raise ValueError(f"ridge must be above 0, got {ridge!r}")
    states = np.asarray(features, dtype=np.float64)
    if states.ndim != 2:
        raise ValueError(f"features must have shape (G, k), got {states.shape}")
    centred = states - states.mean(axis=0) if len(states) else states
    covariance = ridge * np.eye(states.shape[1]) + centred.T @ centred
    bonus: NDArray[np.float64] = np.einsum("gk,kg->g", centred, np.linalg.solve(covariance, centred.T))
    return bonus


def sparse_projection(num_features: int, dim: int, seed: int) -> NDArray[np.float64]:
    """A sparse random projection (d, k) that keeps distances on average (Li, Hastie and Church 2006).

    Entries are +-sqrt(1 / (p k)) with probability p / 2 each and 0 else, p = 1 / sqrt(d).

    Args:
        num_features: d >= 1.
        dim: k >= 1.
        seed: of the draw.
    """
    d, k = check_positive_int("num_features", num_features), check_positive_int("dim", dim)
    density = 1.0 / np.sqrt(d)
    drawn = np.random.default_rng(seed).random((d, k))
    signs = (drawn < density / 2).astype(np.float64) - (drawn >= 1 - density / 2)
    projection: NDArray[np.float64] = signs / np.sqrt(density * k)
    return projection


@dataclass(frozen=True)
class MeanState:
    """The fingerprint: mean_t h_L(t) over the completion's tokens, h_L after the final norm, d features."""

    name: Literal["mean_state"] = "mean_state"

    @property
    def reads_completion(self) -> bool:
        """It reads the whole completion."""
        return True

    def layers(self, num_layers: int) -> Sequence[int]:
        """The last layer."""
        return [num_layers]

    def num_features(self, num_layers: int, hidden_size: int) -> int:
        """d."""
        return hidden_size

    def read(self, hidden: Tensor, where: Where, head: Head) -> Tensor:
        """(b, d) means over the completions' tokens, summed in float32."""
        mask = where.completion_mask.unsqueeze(-1)
        total = torch.where(mask, hidden.float(), 0.0).sum(dim=1)
        return total / mask.sum(dim=1).clamp(min=1)

    def combine(self, kept: list[Tensor]) -> Tensor:
        """The one layer's means."""
        return kept[0]


def every_completion(completion_ids: Sequence[int], _tokenizer: Tokenizer) -> AnswerPosition | None:
    """An answer finder that finds one in every completion of two tokens or more: a mean needs no answer."""
    return AnswerPosition(0, completion_ids[1]) if len(completion_ids) > 1 else None


class RepExpTrainer(MEDSTrainer):
    """`MEDSTrainer` with the bonus in place of the penalty.

    Attributes:
        weight: w, of the bonus in the reward.
        dim: numbers that a state is projected to; the matrix is drawn once, from ``args.seed``.
    """

    weight: float
    dim: int

    def shape(self, batch: Batch, features: Features) -> None:
        """Add the bonus to the rewards; nothing is remembered."""
        groups = [rows for rows in _groups(batch) if batch.is_correct[rows].any()]
        wanted = np.zeros(len(batch), dtype=np.bool_)
        for rows in groups:
            wanted[rows] = True
        states = features(wanted)
        projected = states @ sparse_projection(states.shape[1], self.dim, self.args.seed)
        for rows in groups:
            found = rows[~np.isnan(projected[rows]).any(axis=1)]
            batch.shaped_rewards[found] += self.weight * elliptical_bonus(projected[found])


def _groups(batch: Batch) -> list[NDArray[np.intp]]:
    """The graded rows of each prompt."""
    rows: dict[str | int, list[int]] = {}
    for row in np.flatnonzero(batch.is_graded).tolist():
        rows.setdefault(batch.prompt_ids[row], []).append(row)
    return [np.array(found, dtype=np.intp) for found in rows.values()]


def trainer(*args: Any, weight: float = 0.01, dim: int = 32, **kwargs: Any) -> MEDSTrainer:
    """A `RepExpTrainer`."""
    check_non_negative("weight", weight), check_positive_int("dim", dim)
    made = RepExpTrainer(*args, fingerprint=MeanState(), answer_finder=every_completion, **kwargs)
    made.weight, made.dim = weight, dim
    return made
