"""Agreement of clusters with labels over many prompts, and over training."""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.evaluation.agreement import Agreement, Noise, agreement, numbered
from meds_rl.labels import NOISE

# ---- Cuts a training into parts of equally many batches.


class StepBin(NamedTuple):
    """A part of a training.

    Attributes:
        first, last: steps, both within.
        rows: Numbers of the completions sampled at these steps, ascending.
    """

    first: int
    last: int
    rows: NDArray[np.int64]

    @property
    def name(self) -> str:
        """For a table.

        Example:
            >>> StepBin(0, 9, np.arange(3)).name
            'steps 0–9'
        """
        return f"step {self.first}" if self.first == self.last else f"steps {self.first}–{self.last}"


def step_bins(steps: ArrayLike, bins: int) -> list[StepBin]:
    """At most `bins` parts, in order: the different steps, shared out as evenly as they can be.

    Args:
        steps: (n,) integers, the step of each completion.
        bins: 1 or more. With fewer different steps, one part for each.

    Raises:
        ValueError: bins below 1, or more than one axis.
        TypeError: The steps are not integers.

    Example:
        >>> [(part.first, part.last, part.rows.tolist()) for part in step_bins([0, 0, 1, 5, 9], 2)]
        [(0, 1, [0, 1, 2]), (5, 9, [3, 4])]
    """
    own = np.asarray(steps)
    if bins < 1:
        raise ValueError(f"bins must be 1 or more, got {bins}")
    if own.ndim != 1:
        raise ValueError(f"steps must be (n,), got shape {own.shape}")
    if not len(own):
        return []
    if own.dtype.kind not in "iu":
        raise TypeError(f"steps must be integers, got dtype {own.dtype}")
    different = np.unique(own)
    parts = np.array_split(different, min(bins, len(different)))
    return [
        StepBin(int(part[0]), int(part[-1]), np.flatnonzero((own >= part[0]) & (own <= part[-1])))
        for part in parts
    ]


MIN_COMPLETIONS = 3
"""Of a prompt: two are a pair, together or apart."""


class PromptAgreement(NamedTuple):
    """Agreement within prompts.

    Attributes:
        agreement: Each measure's mean over prompts, weighted by their completions.
        num_completions: Of the prompts that entered.
        num_prompts: Prompts that entered.
        num_left_out: Completions of prompts that did not: those where chance has no say (`agreement_by_prompt`).
    """

    agreement: Agreement
    num_completions: int
    num_prompts: int
    num_left_out: int = 0


class AgreementAt(NamedTuple):
    """Agreement within prompts in a part of the training.

    Attributes:
        first, last: Steps, both within.
        found: None where no prompt has anything to compare.
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
    apart, which pushes an adjusted Rand index towards 1 whatever the clusters are.

    Left out are prompts with fewer than three completions, and those where clusters and labels are both one group, or
    both all different: there any clusters of these sizes agree fully. The adjusted Rand index is 0 / 0 there, and
    called 1; without them its mean over clusters drawn at random is 0. The other measures are not adjusted for chance:
    see `agreement_by_chance`.

    Args:
        clusters, labels, noise: as in `agreement`, (n,).
        prompt_ids: (n,) the prompt of each completion.

    Returns:
        None if all prompts are left out.

    Raises:
        TypeError, ValueError: as `agreement`; also prompt_ids of another length.

    Example:
        >>> found = agreement_by_prompt([0, 0, 1, 1, 0, 0, 0], ["a", "a", "b", "b", "a", "b", "c"], list("xxxxyyy"))
        >>> round(found.agreement.purity, 4), found.num_prompts  # (4 * 1 + 3 * 1/3) / 7
        (0.7143, 2)
    """
    own, true, groups = _checked(clusters, labels, prompt_ids)
    rows = [group for group in groups if _says_something(own[group], true[group], noise)]
    if not rows:
        return None
    sizes = np.array([len(group) for group in rows])
    found = [agreement(own[group], true[group], noise=noise) for group in rows]
    return PromptAgreement(_mean(found, sizes), int(sizes.sum()), len(rows), len(own) - int(sizes.sum()))


def agreement_by_chance(
    clusters: ArrayLike,
    labels: ArrayLike | Sequence[Any],
    prompt_ids: Sequence[Hashable],
    *,
    rng: np.random.Generator,
    repeats: int = 3,
    noise: Noise = "group",
) -> PromptAgreement | None:
    """`agreement_by_prompt` with the labels shuffled within each prompt: what clusters of these sizes have by chance.

    The mean over several shuffles, for every measure. An agreement is worth what it is above this.

    Args:
        clusters, labels, prompt_ids, noise: as in `agreement_by_prompt`.
        rng: Shuffles.
        repeats: Shuffles, 1 or more.

    Raises:
        TypeError, ValueError: as `agreement_by_prompt`; also repeats below 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be 1 or more, got {repeats}")
    own, true, groups = _checked(clusters, labels, prompt_ids)
    drawn = []
    for _ in range(repeats):
        shuffled = true.copy()
        for group in groups:
            shuffled[group] = rng.permutation(true[group])
        found = agreement_by_prompt(own, shuffled, prompt_ids, noise=noise)
        if found is None:
            return None  # which prompts enter depends on sizes alone: so it is for every shuffle
        drawn.append(found)
    mean = _mean([one.agreement for one in drawn], np.ones(repeats))
    return drawn[0]._replace(agreement=mean)


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
        >>> labels = ["a", "a", "b", "b"] * 2
        >>> parts = agreement_over_training([0] * 4 + [5] * 4, [0, 0, 1, 1, 0, 0, 0, 0], labels, bins=2)
        >>> [(part.first, part.last, part.found.agreement.purity) for part in parts]
        [(0, 0, 1.0), (5, 5, 0.5)]
    """
    when, own, true = np.asarray(steps), np.asarray(clusters), numbered(labels)
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


def _checked(
    clusters: ArrayLike, labels: ArrayLike | Sequence[Any], prompt_ids: Sequence[Hashable]
) -> tuple[NDArray[Any], NDArray[np.int64], list[NDArray[np.int64]]]:
    """Clusters, labels as numbers, and the rows of each prompt."""
    own, true = np.asarray(clusters), numbered(labels)
    if own.ndim != 1 or own.shape != true.shape or len(prompt_ids) != len(own):
        raise ValueError(
            f"clusters, labels and prompt_ids must be (n,), got shapes {own.shape} and {true.shape} "
            f"and {len(prompt_ids)} prompt ids"
        )
    return own, true, _rows_by_prompt(prompt_ids)


def _says_something(clusters: NDArray[Any], labels: NDArray[np.int64], noise: Noise) -> bool:
    n = len(clusters)
    if n < MIN_COMPLETIONS:
        return False
    num_noise = int((clusters == NOISE).sum())
    num_clusters = len(np.unique(clusters)) + (max(0, num_noise - 1) if noise == "alone" else 0)
    num_labels = len(np.unique(labels))
    return (num_clusters, num_labels) not in ((1, 1), (n, n))


def _mean(found: Sequence[Agreement], weights: NDArray[Any]) -> Agreement:
    return Agreement(*np.average(np.array(found), axis=0, weights=weights).tolist())


def _rows_by_prompt(prompt_ids: Sequence[Hashable]) -> list[NDArray[np.int64]]:
    rows: dict[Hashable, list[int]] = {}
    for row, name in enumerate(prompt_ids):
        rows.setdefault(name, []).append(row)
    return [np.array(group, dtype=np.int64) for group in rows.values()]
