"""A set of completions in parts: the groups of an evaluation, or the course of a training."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meds_rl.evaluation.agreement_by_prompt import PromptAgreement, agreement_by_chance, agreement_by_prompt
from meds_rl.evaluation.contingency import Noise
from meds_rl.evaluation.diversity.completions import NOWHERE, Completions
from meds_rl.evaluation.step_bins import step_bins

ALL = "all"


class Part(NamedTuple):
    """Some rows of a set of completions.

    Attributes:
        name: for a table.
        rows: ascending.
    """

    name: str
    rows: NDArray[np.int64]


class Compared(NamedTuple):
    """Clusters against labels.

    Attributes:
        found: as they are.
        chance: with the labels shuffled within each problem.
    """

    found: PromptAgreement
    chance: PromptAgreement


def parts_of(completions: Completions, bins: int) -> list[Part]:
    """The parts of a training by steps, or the groups of an evaluation.

    Args:
        completions: B completions.
        bins: Parts that a training is cut into, each of as many steps.

    Raises:
        ValueError: bins below 1.
    """
    if completions.steps is not None:
        return [Part(part.name, part.rows) for part in step_bins(completions.steps, bins)]
    if bins < 1:
        raise ValueError(f"bins must be 1 or more, got {bins}")
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(completions.groups):
        rows.setdefault(name, []).append(row)
    return [Part(name, np.array(group, dtype=np.int64)) for name, group in rows.items()]


def agreements(
    completions: Completions,
    parts: list[Part],
    labels: dict[str, list[Any]],
    *,
    rng: np.random.Generator,
    noise: Noise = "group",
) -> dict[str, dict[str, Compared]]:
    """How the clusters agree with labels, by kind of label and part; over all parts too where there are several.

    Only wrong completions that have a cluster and a fingerprint are compared: of those without an answer the cluster is
    the answer, by definition. Those that only filled up a batch are compared too: the memory clusters them with the
    others. A missing label (None) is left out, but for answers.

    Args:
        completions: B completions.
        parts: As from `parts_of`.
        labels: For each kind, B labels.
        rng: Shuffles labels, for what chance does.
        noise: What completions of no cluster are.
    """
    clusters, clustered = completions.clusters, completions.clustered
    if clusters is None or clustered is None or completions.vector_rows is None:
        return {}
    compared = clustered & ~completions.is_correct & (completions.vector_rows != NOWHERE)
    everything = Part(ALL, np.arange(len(completions)))
    found: dict[str, dict[str, Compared]] = {}
    for kind, values in labels.items():
        known = compared & np.array([value is not None for value in values], dtype=bool)
        for part in parts if len(parts) == 1 else [*parts, everything]:
            rows = part.rows[known[part.rows]]
            of_rows = [values[row] for row in rows]
            problems = [completions.problem_ids[row] for row in rows]
            one = agreement_by_prompt(clusters[rows], of_rows, problems, noise=noise)
            chance = agreement_by_chance(clusters[rows], of_rows, problems, rng=rng, noise=noise)
            if one is not None and chance is not None:
                found.setdefault(kind, {})[part.name] = Compared(one, chance)
    return found
