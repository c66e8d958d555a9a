"""All measures of diversity of a set of completions, and of its parts, as `meds diversity` shows them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from meds_rl.evaluation.agreement import Noise
from meds_rl.evaluation.agreement_by_prompt import (
    PromptAgreement,
    agreement_by_chance,
    agreement_by_prompt,
    rows_by_name,
    step_bins,
)
from meds_rl.evaluation.diversity.answers import answer_entropy, cluster_entropy, distinct_answers, repeated_share
from meds_rl.evaluation.diversity.eigenvalues import Center, top1_eigenvalue_ratio
from meds_rl.evaluation.diversity.read import NOWHERE, Completions, Of
from meds_rl.evaluation.diversity.texts import (
    NEEDS_SACREBLEU,
    distinct_n,
    self_bleu,
    subsample,
    vendi_score,
    vendi_score_of_texts,
)

ALL = "all"
WORDING = (*(f"distinct_{n}" for n in (1, 2, 3, 4)), "self_bleu", "vendi_wording")


@dataclass(frozen=True)
class Limits:
    """How much the slow measures read; they draw from larger sets."""

    wording_problems: int = 400  # for distinct-n and the Vendi score of the wording
    wording_completions: int = 32  # of each problem
    wording_characters: int = 20_000  # of each completion
    bleu_problems: int = 64
    bleu_completions: int = 16
    vectors: int = 20_000  # fingerprints for the eigenvalue ratios, over all problems
    problem_vectors: int = 512  # fingerprints of a problem for their Vendi score

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = 2 if name.endswith(("completions", "vectors")) else 1
            if value < least:
                raise ValueError(f"{name} must be {least} or more, got {value}")


class Figure(NamedTuple):
    """A measure's value (a mean over problems, or pooled; NaN if undefined), and the number of problems behind it."""

    value: float
    num_problems: int


@dataclass(frozen=True)
class Diversity:
    """All measures of a set of completions by name, as `answer_entropy`; those without their data are left out.

    `missing` says which measures are left out because a package is not installed, and how to install it.
    """

    num_problems: int
    num_completions: int
    figures: dict[str, Figure]
    missing: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: None instead of NaN."""
        figures = {
            name: {"value": None if math.isnan(value) else value, "num_problems": num}
            for name, (value, num) in self.figures.items()
        }
        counts = {"num_problems": self.num_problems, "num_completions": self.num_completions}
        return {**counts, "figures": figures, "missing": self.missing}


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
    """All measures that the completions allow; `rng` draws, `limits` are for the slow ones.

    Each is computed within a problem and averaged over problems with equal weight; only `repeated_share` and the pooled
    eigenvalue ratios are of all completions together.

    Args:
        of: the "wrong" ones (whose diversity MEDS is about), the "right" ones or "all".
        per_problem: Draw exactly this many of each problem, and leave out problems with fewer. Nearly every measure
            depends on the number of completions, so sets of different sizes need it. None: all.
        noise: whether completions without a cluster are one "group" or each "alone".
        description: Of the progress bar; None shows none.
    """
    if per_problem is not None and per_problem < 1:
        raise ValueError(f"per_problem must be 1 or more, got {per_problem}")
    wanted = completions.looked_at(of)
    problems = [rows[wanted[rows]] for rows in completions.by_problem()]
    problems = [rows for rows in problems if len(rows) >= (per_problem or 1)]
    if per_problem is not None:
        problems = [rows[subsample(len(rows), per_problem, rng)] for rows in problems]
    limits = Limits() if limits is None else limits
    with tqdm(total=len(problems), desc=description, unit="problem", disable=description is None, leave=False) as bar:
        figures = {
            **_of_answers(completions, problems),
            **_of_wording(completions, problems, limits, rng, bar.update),
            **_of_clusters(completions, problems, noise),
            **_of_fingerprints(completions, problems, limits, rng),
        }
    missing = {name: why for name, why in _missing().items() if figures.pop(name, None) is not None}
    return Diversity(len(problems), sum(map(len, problems)), figures, missing)


def _missing() -> dict[str, str]:
    """Measures whose package is not installed, and what they need."""
    return {} if find_spec("sacrebleu") else {"self_bleu": NEEDS_SACREBLEU}


def _of_answers(completions: Completions, problems: list[NDArray[np.int64]]) -> dict[str, Figure]:
    if all(answer is None for answer in completions.answers):  # none were found: that is no error of the model's
        return {}
    answers = [[completions.answers[row] for row in rows] for rows in problems]
    return {
        "answer_entropy": _mean(answer_entropy(one) for one in answers),
        "answer_entropy_normalized": _mean(answer_entropy(one, normalize=True) for one in answers),
        "distinct_answers": _mean(float(distinct_answers(one)) for one in answers),
        "repeated_share": Figure(repeated_share(answers), len(answers)),
    }


def _of_wording(
    completions: Completions,
    problems: list[NDArray[np.int64]],
    limits: Limits,
    rng: np.random.Generator,
    advance: Callable[[int], Any],
) -> dict[str, Figure]:
    values: dict[str, list[float]] = {name: [] for name in WORDING}
    drawn = subsample(len(problems), limits.wording_problems, rng)
    bleu = set() if _missing() else set(subsample(len(drawn), limits.bleu_problems, rng))
    for number, problem in enumerate(drawn):
        rows = problems[problem]
        rows = rows[subsample(len(rows), limits.wording_completions, rng)]
        texts = [completions.texts[row][: limits.wording_characters] for row in rows]
        for n in (1, 2, 3, 4):
            values[f"distinct_{n}"].append(distinct_n(texts, n))
        values["vendi_wording"].append(vendi_score_of_texts(texts))
        if number in bleu:
            values["self_bleu"].append(self_bleu(texts, max_completions=limits.bleu_completions, rng=rng))
        advance(1)
    advance(len(problems) - len(drawn))
    return {name: _mean(one) for name, one in values.items()}


def _of_clusters(completions: Completions, problems: list[NDArray[np.int64]], noise: Noise) -> dict[str, Figure]:
    clusters, clustered = completions.clusters, completions.clustered
    if clusters is None or clustered is None:
        return {}
    labels = [clusters[rows[clustered[rows]]] for rows in problems]
    # Noise and "no answer" (below 0) are not counted as clusters.
    counts = (float(len(np.unique(one[one >= 0]))) if len(one) else math.nan for one in labels)
    return {"cluster_entropy": _mean(cluster_entropy(one, noise=noise) for one in labels), "clusters": _mean(counts)}


def _of_fingerprints(
    completions: Completions, problems: list[NDArray[np.int64]], limits: Limits, rng: np.random.Generator
) -> dict[str, Figure]:
    if completions.vector_rows is None or not len(completions.vectors):
        return {}
    there = [rows[completions.vector_rows[rows] != NOWHERE] for rows in problems]
    vendi = []
    for rows in there:
        drawn = rows[subsample(len(rows), limits.problem_vectors, rng)]
        vendi.append(vendi_score(completions.features(drawn)) if len(drawn) else math.nan)
    rows = np.concatenate(there) if there else np.zeros(0, dtype=np.int64)
    rows = rows[subsample(len(rows), limits.vectors, rng)]
    names = [completions.problem_ids[row] for row in rows]
    features = completions.features(rows)
    by_problem = rows_by_name(names).values()
    several = sum(len(rows) > 1 for rows in by_problem)  # one alone is its own mean

    def pooled(center: Center, num_problems: int) -> Figure:
        ratio = top1_eigenvalue_ratio(features, names, center=center)
        return Figure(ratio, 0 if math.isnan(ratio) else num_problems)

    return {
        "vendi_fingerprints": _mean(vendi),
        "top1_eigenvalue_ratio": pooled("problem", several),
        "top1_eigenvalue_ratio_pooled": pooled("pooled", len(by_problem)),
        "top1_eigenvalue_ratio_by_problem": _mean(top1_eigenvalue_ratio(features[rows]) for rows in by_problem),
    }


def _mean(values: Iterable[float]) -> Figure:
    known = [value for value in values if not math.isnan(value)]
    return Figure(math.fsum(known) / len(known) if known else math.nan, len(known))


class Part(NamedTuple):
    """Some rows of a set of completions, ascending, and their name for a table."""

    name: str
    rows: NDArray[np.int64]


class Compared(NamedTuple):
    """Agreement of clusters with labels, and with the labels shuffled within each problem."""

    found: PromptAgreement
    chance: PromptAgreement


def parts_of(completions: Completions, bins: int) -> list[Part]:
    """A training in `bins` parts of equally many steps, or the groups of an evaluation; ValueError if bins < 1."""
    if completions.steps is not None:
        return [Part(part.name, part.rows) for part in step_bins(completions.steps, bins)]
    if bins < 1:
        raise ValueError(f"bins must be 1 or more, got {bins}")
    return [Part(str(name), rows) for name, rows in rows_by_name(completions.groups).items()]


def agreements(
    completions: Completions,
    parts: list[Part],
    labels: dict[str, list[Any]],
    *,
    rng: np.random.Generator,
    noise: Noise = "group",
) -> dict[str, dict[str, Compared]]:
    """How well the clusters agree with labels, by kind of label and part; with several parts also over `ALL`.

    Only wrong completions with a cluster and a fingerprint are compared, as the cluster of those without an answer is
    the answer by definition. Fillers of a batch are included: the memory clusters them with the others. Rows whose
    label is None are left out. `labels` has B labels for each kind; `rng` shuffles them for the baseline.
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
