"""Agreement of clusters with labels within prompts, averaged over prompts, and over training."""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.evaluation.agreement import Agreement, Labels, Noise, agreement, numbered, partition

MIN_COMPLETIONS = 3  # of a prompt: two are one pair only


def rows_by_name(names: Sequence[Hashable]) -> dict[Hashable, NDArray[np.int64]]:
    """The rows of each name, ascending, in the order in which the names first appear.

    Example:
        >>> rows_by_name("aba")
        {'a': array([0, 2]), 'b': array([1])}
    """
    rows: dict[Hashable, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    return {name: np.array(group, dtype=np.int64) for name, group in rows.items()}


class StepBin(NamedTuple):
    """A part of a training: steps `first` to `last` (both included), and the `rows` sampled in them, ascending."""

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
    """At most `bins` >= 1 parts of a training, in order, with the different `steps` (n,) divided as evenly as possible.

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
        StepBin(int(part[0]), int(part[-1]), np.flatnonzero((own >= part[0]) & (own <= part[-1]))) for part in parts
    ]


class PromptAgreement(NamedTuple):
    """The mean agreement over prompts, weighted by their completions."""

    agreement: Agreement
    num_completions: int
    num_prompts: int
    num_left_out: int = 0  # completions of the prompts that cannot be compared


class AgreementAt(NamedTuple):
    """Agreement in steps `first` to `last` of a training; `found` is None if no prompt can be compared."""

    first: int
    last: int
    found: PromptAgreement | None


def agreement_by_prompt(
    clusters: ArrayLike, labels: Labels, prompt_ids: Sequence[Hashable], *, noise: Noise = "group"
) -> PromptAgreement | None:
    """`agreement` within each prompt, averaged over prompts with their numbers of completions as weights.

    Pooling all prompts would count every pair of completions of different prompts as correctly separated, which pushes
    an adjusted Rand index towards 1. Left out are prompts with fewer than three completions, and those where clusters
    and labels are both one group or both all different: the adjusted Rand index is 0 / 0 there. Without them its mean
    over random clusters is 0; for the other measures see `agreement_by_chance`.

    `prompt_ids` are (n,); the other arguments and errors as `agreement`. None if all prompts are left out.

    Example:
        >>> found = agreement_by_prompt([0, 0, 1, 1, 0, 0, 0], ["a", "a", "b", "b", "a", "b", "c"], list("xxxxyyy"))
        >>> round(found.agreement.purity, 4), found.num_prompts  # (4 * 1 + 3 * 1/3) / 7
        (0.7143, 2)
    """
    return _mean_over_prompts(*_checked(clusters, labels, prompt_ids, noise))


def agreement_by_chance(
    clusters: ArrayLike,
    labels: Labels,
    prompt_ids: Sequence[Hashable],
    *,
    rng: np.random.Generator,
    repeats: int = 3,
    noise: Noise = "group",
) -> PromptAgreement | None:
    """`agreement_by_prompt` with the labels shuffled within each prompt, averaged over `repeats`: the baseline."""
    if repeats < 1:
        raise ValueError(f"repeats must be 1 or more, got {repeats}")
    own, true, groups = _checked(clusters, labels, prompt_ids, noise)
    drawn = []
    for _ in range(repeats):
        shuffled = true.copy()
        for group in groups:
            shuffled[group] = rng.permutation(true[group])
        found = _mean_over_prompts(own, shuffled, groups)
        if found is None:
            return None  # which prompts are left out depends on sizes alone, so this holds for every shuffle
        drawn.append(found)
    mean = _mean([one.agreement for one in drawn], np.ones(repeats))
    return drawn[0]._replace(agreement=mean)


def agreement_over_training(
    steps: ArrayLike,
    clusters: ArrayLike,
    labels: Labels,
    prompt_ids: Sequence[Hashable] | None = None,
    *,
    bins: int = 10,
    noise: Noise = "group",
) -> list[AgreementAt]:
    """`agreement_by_prompt` in each part of a training.

    `steps` are (n,) integers, when each completion was sampled; `bins` parts have equally many different steps. Without
    `prompt_ids` all are of one prompt. The other arguments and errors as `agreement`.

    Example:
        >>> labels = ["a", "a", "b", "b"] * 2
        >>> parts = agreement_over_training([0] * 4 + [5] * 4, [0, 0, 1, 1, 0, 0, 0, 0], labels, bins=2)
        >>> [(part.first, part.last, part.found.agreement.purity) for part in parts]
        [(0, 0, 1.0), (5, 5, 0.5)]
    """
    own, true = np.asarray(clusters), numbered(labels)
    ids = [0] * len(own) if prompt_ids is None else list(prompt_ids)
    if not np.shape(steps) == own.shape == true.shape == (len(ids),):
        raise ValueError(
            f"steps, clusters, labels and prompt_ids must be (n,), got shapes {np.shape(steps)}, {own.shape}, "
            f"{true.shape} and {len(ids)} prompt ids"
        )
    found = []
    for first, last, rows in step_bins(steps, bins):
        part = agreement_by_prompt(own[rows], true[rows], [ids[row] for row in rows], noise=noise)
        found.append(AgreementAt(first, last, part))
    return found


def _checked(
    clusters: ArrayLike, labels: Labels, prompt_ids: Sequence[Hashable], noise: Noise
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[NDArray[np.int64]]]:
    """Clusters and labels as numbers, and the rows of each prompt."""
    own, true = partition(clusters, noise), numbered(labels)
    if own.shape != true.shape or len(prompt_ids) != len(own):
        raise ValueError(
            f"clusters, labels and prompt_ids must be (n,), got shapes {own.shape} and {true.shape} "
            f"and {len(prompt_ids)} prompt ids"
        )
    return own, true, list(rows_by_name(prompt_ids).values())


def _mean_over_prompts(
    clusters: NDArray[np.int64], labels: NDArray[np.int64], groups: Sequence[NDArray[np.int64]]
) -> PromptAgreement | None:
    rows = [group for group in groups if _is_comparable(clusters[group], labels[group])]
    if not rows:
        return None
    sizes = np.array([len(group) for group in rows])
    mean = _mean([agreement(clusters[group], labels[group]) for group in rows], sizes)
    return PromptAgreement(mean, int(sizes.sum()), len(rows), len(clusters) - int(sizes.sum()))


def _is_comparable(clusters: NDArray[np.int64], labels: NDArray[np.int64]) -> bool:
    n = len(clusters)
    groups = len(np.unique(clusters)), len(np.unique(labels))
    return n >= MIN_COMPLETIONS and groups not in ((1, 1), (n, n))


def _mean(found: Sequence[Agreement], weights: NDArray[Any]) -> Agreement:
    return Agreement(*np.average(np.array(found), axis=0, weights=weights).tolist())
