"""All measures of diversity of one set of completions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from meds_rl.evaluation.agreement import Noise
from meds_rl.evaluation.agreement_by_prompt import (
    PromptAgreement,
    agreement_by_chance,
    agreement_by_prompt,
    step_bins,
)
from meds_rl.evaluation.diversity.answers import (
    answer_entropy,
    cluster_entropy,
    distinct_answers,
    repeated_share,
)
from meds_rl.evaluation.diversity.eigenvalues import Center, top1_eigenvalue_ratio
from meds_rl.evaluation.diversity.read import NOWHERE, Completions, Of
from meds_rl.evaluation.diversity.texts import (
    distinct_n,
    self_bleu,
    subsample,
    vendi_score,
    vendi_score_of_texts,
)


@dataclass(frozen=True)
class Limits:
    """How much the costly measures read. Where there is more, they draw from it.

    Attributes:
        wording_problems: problems for distinct-n and the Vendi score of the wording.
        wording_completions: completions of each.
        wording_characters: characters of each, from its beginning.
        bleu_problems, bleu_completions: the same for self-BLEU.
        vectors: fingerprints for the eigenvalue ratios, over all problems.
        problem_vectors: fingerprints of a problem for their Vendi score.
    """

    wording_problems: int = 400
    wording_completions: int = 32
    wording_characters: int = 20_000
    bleu_problems: int = 64
    bleu_completions: int = 16
    vectors: int = 20_000
    problem_vectors: int = 512

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = 2 if name.endswith(("completions", "vectors")) else 1
            if value < least:
                raise ValueError(f"{name} must be {least} or more, got {value}")


class Figure(NamedTuple):
    """A measure's value.

    Attributes:
        value: Mean over problems, or of all together; NaN where it says nothing.
        num_problems: Problems that it was taken from.
    """

    value: float
    num_problems: int


@dataclass(frozen=True)
class Diversity:
    """All measures of a set of completions.

    Attributes:
        num_problems, num_completions: what was looked at.
        figures: by name; `answer_entropy`, `distinct_answers`, ... A measure that needs what is not there is left out.
    """

    num_problems: int
    num_completions: int
    figures: dict[str, Figure]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: no NaN."""
        return {
            "num_problems": self.num_problems,
            "num_completions": self.num_completions,
            "figures": {
                name: {
                    "value": None if math.isnan(figure.value) else figure.value,
                    "num_problems": figure.num_problems,
                }
                for name, figure in self.figures.items()
            },
        }


def diversity(
    completions: Completions,
    *,
    of: Of = "wrong",
    per_problem: int | None = None,
    rng: np.random.Generator,
    limits: Limits | None = None,
    noise: Noise = "group",
    description: str | None = None,
) -> Diversity:
    """Take all measures that the completions allow.

    Each is taken within a problem and averaged over the problems where it says something, with equal weight; only
    `repeated_share` and the pooled eigenvalue ratios are of all together.

    Args:
        completions: B completions.
        of: The "wrong" ones (whose diversity MEDS is about), the "right" ones or "all".
        per_problem: Look at exactly so many of each problem, drawn at random, and leave out problems with fewer.
            Nearly every measure depends on how many completions there are, so only this makes sets of different sizes
            comparable. None: all of them.
        rng: Draws.
        limits: What the costly measures read at most.
        noise: What completions of no cluster are.
        description: Of the progress bar; none is shown without it.

    Raises:
        ValueError: `per_problem` below 1, or an unknown `of`.
    """
    if per_problem is not None and per_problem < 1:
        raise ValueError(f"per_problem must be 1 or more, got {per_problem}")
    problems = _problems(completions, of, per_problem, rng)
    bar = tqdm(
        total=len(problems), desc=description, unit="problem", disable=description is None, leave=False
    )
    with bar:
        work = _Work(completions, problems, rng, Limits() if limits is None else limits, noise, bar.update)
        return Diversity(
            num_problems=len(problems),
            num_completions=sum(map(len, problems)),
            figures={
                **work.of_answers(),
                **work.of_wording(),
                **work.of_clusters(),
                **work.of_fingerprints(),
            },
        )


def _problems(
    completions: Completions, of: Of, per_problem: int | None, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Rows to look at, of each problem that has any."""
    wanted = completions.looked_at(of)
    problems = [rows[wanted[rows]] for rows in completions.by_problem()]
    if per_problem is None:
        return [rows for rows in problems if len(rows)]
    return [rows[subsample(len(rows), per_problem, rng)] for rows in problems if len(rows) >= per_problem]


class _Work:
    """One set of completions on its way through the measures."""

    def __init__(
        self,
        completions: Completions,
        problems: list[NDArray[np.int64]],
        rng: np.random.Generator,
        limits: Limits,
        noise: Noise,
        advance: Callable[[int], Any],
    ) -> None:
        self._all, self._problems, self._rng = completions, problems, rng
        self._limits, self._noise, self._advance = limits, noise, advance

    def of_answers(self) -> dict[str, Figure]:
        answers = [[self._all.answers[row] for row in rows] for rows in self._problems]
        return {
            "answer_entropy": _mean(answer_entropy(one) for one in answers),
            "answer_entropy_normalized": _mean(answer_entropy(one, normalize=True) for one in answers),
            "distinct_answers": _mean(float(distinct_answers(one)) for one in answers),
            "repeated_share": Figure(repeated_share(answers), len(answers)),
        }

    def of_wording(self) -> dict[str, Figure]:
        limits = self._limits
        values: dict[str, list[float]] = {f"distinct_{n}": [] for n in (1, 2, 3, 4)}
        values |= {"self_bleu": [], "vendi_wording": []}
        drawn = subsample(len(self._problems), limits.wording_problems, self._rng)
        bleu = set(subsample(len(drawn), limits.bleu_problems, self._rng))
        for number, problem in enumerate(drawn):
            rows = self._problems[problem]
            rows = rows[subsample(len(rows), limits.wording_completions, self._rng)]
            texts = [self._all.texts[row][: limits.wording_characters] for row in rows]
            for n in (1, 2, 3, 4):
                values[f"distinct_{n}"].append(distinct_n(texts, n))
            values["vendi_wording"].append(vendi_score_of_texts(texts))
            if number in bleu:
                score = self_bleu(texts, max_completions=limits.bleu_completions, rng=self._rng)
                values["self_bleu"].append(score)
            self._advance(1)
        self._advance(len(self._problems) - len(drawn))
        return {name: _mean(one) for name, one in values.items()}

    def of_clusters(self) -> dict[str, Figure]:
        clusters, clustered = self._all.clusters, self._all.clustered
        if clusters is None or clustered is None:
            return {}
        labels = [clusters[rows[clustered[rows]]] for rows in self._problems]
        return {
            "cluster_entropy": _mean(cluster_entropy(one, noise=self._noise) for one in labels),
            # Noise and "no answer" (below 0) are no clusters.
            "clusters": _mean(
                float(len(np.unique(one[one >= 0]))) if len(one) else math.nan for one in labels
            ),
        }

    def of_fingerprints(self) -> dict[str, Figure]:
        if self._all.vector_rows is None or not len(self._all.vectors):
            return {}
        there = [rows[self._all.vector_rows[rows] != NOWHERE] for rows in self._problems]
        vendi = []
        for rows in there:
            drawn = rows[subsample(len(rows), self._limits.problem_vectors, self._rng)]
            vendi.append(vendi_score(self._all.features(drawn)) if len(drawn) else math.nan)
        return {"vendi_fingerprints": _mean(vendi), **self._eigenvalue_ratios(there)}

    def _eigenvalue_ratios(self, there: list[NDArray[np.int64]]) -> dict[str, Figure]:
        rows = np.concatenate(there) if there else np.zeros(0, dtype=np.int64)
        rows = rows[subsample(len(rows), self._limits.vectors, self._rng)]
        features = self._all.features(rows)
        names = [self._all.problem_ids[row] for row in rows]
        by_problem: dict[str, list[int]] = {}
        for place, name in enumerate(names):
            by_problem.setdefault(name, []).append(place)
        several = sum(
            len(places) > 1 for places in by_problem.values()
        )  # one alone has no distance to its mean

        def pooled(center: Center, num_problems: int) -> Figure:
            ratio = top1_eigenvalue_ratio(features, names, center=center)
            return Figure(ratio, 0 if math.isnan(ratio) else num_problems)

        return {
            "top1_eigenvalue_ratio": pooled("problem", several),
            "top1_eigenvalue_ratio_pooled": pooled("pooled", len(by_problem)),
            "top1_eigenvalue_ratio_by_problem": _mean(
                top1_eigenvalue_ratio(features[places]) for places in by_problem.values()
            ),
        }


def _mean(values: Iterable[float]) -> Figure:
    known = [value for value in values if not math.isnan(value)]
    return Figure(math.fsum(known) / len(known) if known else math.nan, len(known))


# ---- A set of completions in parts: the groups of an evaluation, or the course of a training.

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
