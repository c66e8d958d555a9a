"""Agreement of clusters with labels over many prompts, and over training."""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.evaluation.agreement import Agreement, agreement
from meds_rl.evaluation.contingency import Noise
from meds_rl.evaluation.step_bins import step_bins


class PromptAgreement(NamedTuple):
    """Agreement within prompts.

    Attributes:
        agreement: Each measure's mean over prompts, weighted by their completions.
        num_completions: Of the prompts that entered.
        num_prompts: Prompts with two completions or more; the others say nothing and are left out.
    """

    agreement: Agreement
    num_completions: int
    num_prompts: int


class AgreementAt(NamedTuple):
    """Agreement within prompts in a part of the training.

    Attributes:
        first, last: Steps, both within.
        found: None where no prompt has two completions.
    """

    first: int
    last: int
    found: PromptAgreement | None


def agreement_by_prompt(
    clusters: ArrayLike,
    labels: ArrayLike | Sequence[Any],
    prompt_ids: Sequence[Hashable],
    *,
    noise: Noise = "group",
) -> PromptAgreement | None:
    """`agreement` within each prompt, averaged over prompts with their numbers of completions as weights.

    Cluster 3 of one prompt has nothing to do with cluster 3 of another, so they are never compared. Pooling all
    completions under the pair of prompt and cluster would count every pair of different prompts as one that is rightly
    apart, which pushes an adjusted Rand index towards 1 whatever the clusters are. A prompt with two completions or
    more and a single label in a single cluster agrees fully; a prompt with one completion cannot disagree and is left
    out.

    Args:
        clusters, labels, noise: as in `agreement`, (n,).
        prompt_ids: (n,) the prompt of each completion.

    Returns:
        None if no prompt has two completions.

    Raises:
        TypeError, ValueError: as `agreement`; also prompt_ids of another length.

    Example:
        >>> found = agreement_by_prompt([0, 0, 1, 1, 0, 0], ["a", "a", "b", "b", "a", "b"], list("xxxxyy"))
        >>> round(found.agreement.purity, 4), found.num_prompts  # (4 * 1 + 2 * .5) / 6
        (0.8333, 2)
    """
    own, true = np.asarray(clusters), np.asarray(labels)
    if own.ndim != 1 or own.shape != true.shape or len(prompt_ids) != len(own):
        raise ValueError(
            f"clusters, labels and prompt_ids must be (n,), got shapes {own.shape} and {true.shape} "
            f"and {len(prompt_ids)} prompt ids"
        )
    groups = [rows for rows in _rows_by_prompt(prompt_ids) if len(rows) > 1]
    if not groups:
        return None
    found = [agreement(own[rows], true[rows], noise=noise) for rows in groups]
    sizes = np.array([len(rows) for rows in groups])
    means = np.average(np.array(found), axis=0, weights=sizes)
    return PromptAgreement(Agreement(*means.tolist()), int(sizes.sum()), len(groups))


def agreement_over_training(
    steps: ArrayLike,
    clusters: ArrayLike,
    labels: ArrayLike | Sequence[Any],
    prompt_ids: Sequence[Hashable] | None = None,
    *,
    bins: int = 10,
    noise: Noise = "group",
) -> list[AgreementAt]:
    """`agreement_by_prompt` in each part of a training.

    Args:
        steps: (n,) integers, when each completion was sampled.
        clusters, labels, noise: as in `agreement`, (n,).
        prompt_ids: (n,) as in `agreement_by_prompt`; None: all of one prompt.
        bins: Parts of equally many different steps.

    Raises:
        TypeError, ValueError: as `agreement`.

    Example:
        >>> parts = agreement_over_training([0, 0, 5, 5], [0, 1, 0, 0], ["a", "b", "a", "b"], bins=2)
        >>> [(part.first, part.last, part.found.agreement.purity) for part in parts]
        [(0, 0, 1.0), (5, 5, 0.5)]
    """
    when, own, true = np.asarray(steps), np.asarray(clusters), np.asarray(labels)
    ids = [0] * len(own) if prompt_ids is None else list(prompt_ids)
    if not when.shape == own.shape == true.shape == (len(ids),):
        raise ValueError(
            f"steps, clusters, labels and prompt_ids must be (n,), got shapes {when.shape}, {own.shape}, "
            f"{true.shape} and {len(ids)} prompt ids"
        )
    return [
        AgreementAt(
            part.first,
            part.last,
            agreement_by_prompt(
                own[part.rows], true[part.rows], [ids[row] for row in part.rows], noise=noise
            ),
        )
        for part in step_bins(when, bins)
    ]


def _rows_by_prompt(prompt_ids: Sequence[Hashable]) -> list[NDArray[np.int64]]:
    rows: dict[Hashable, list[int]] = {}
    for row, name in enumerate(prompt_ids):
        rows.setdefault(name, []).append(row)
    return [np.array(group, dtype=np.int64) for group in rows.values()]
