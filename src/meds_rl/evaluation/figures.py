"""The metrics of an evaluation, with intervals over problems, and the few that training shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meds_rl.evaluation.intervals import Estimate, bootstrap_ratio
from meds_rl.evaluation.majority import MAX_COMPLETIONS, maj_at_k
from meds_rl.evaluation.pass_at_k import pass_at_every_k, pass_at_k

_Rows: TypeAlias = list[Mapping[str, Any]]

LEAST_ANSWERED = 0.1
NEED_ANSWERS = ("no_answer", "distinct_wrong", "repeated_errors")


@dataclass(frozen=True)
class GroupFigures:
    """The metrics of one group of P problems with n samples each.

    `at_k` has "pass@k", "maj@k" (up to 1,024 samples) and, if working can be checked, "exact pass@k": n estimates each,
    for k = 1..n. `figures` has single estimates by name. If fewer than `LEAST_ANSWERED` of the samples have an answer,
    "maj@k" and the figures of `NEED_ANSWERS` are left out: then the answers were looked for in the wrong place, or
    there are too few of them.
    """

    benchmark: str
    group: str
    num_problems: int
    num_samples: int
    num_answers: int  # samples of all problems in which a final answer was found
    at_k: Mapping[str, Sequence[Estimate]]
    figures: Mapping[str, Estimate]

    @property
    def has_answers(self) -> bool:
        """Whether enough samples have an answer for figures that compare answers."""
        return self.num_answers >= LEAST_ANSWERED * self.num_problems * self.num_samples

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        own = vars(self)
        return {
            **{name: own[name] for name in ("benchmark", "group", "num_problems", "num_samples", "num_answers")},
            **{
                name: [{"k": k, **asdict(estimate)} for k, estimate in enumerate(estimates, start=1)]
                for name, estimates in self.at_k.items()
            },
            **{name: asdict(estimate) for name, estimate in self.figures.items()},
        }


def _problem_figures(rows: _Rows) -> dict[str, tuple[float, float]]:
    """Numerator and denominator of each single metric of one problem."""
    n = len(rows)
    wrong = [row["answer"] for row in rows if not row["is_correct"]]
    distinct = len(set(wrong))
    return {
        "no_answer": (sum(row["answer"] is None for row in rows), n),
        "cut_off": (sum(row["finished"] is False for row in rows), n),
        "mean_tokens": (sum(row["num_tokens"] or 0 for row in rows), n),
        "distinct_wrong": (distinct, 1),
        "repeated_errors": (len(wrong) - distinct, len(wrong)),
    }


def group_figures(rows: Iterable[Mapping[str, Any]], seed: int = 0) -> list[GroupFigures]:
    """The metrics of each group, in the order in which the groups first appear.

    Args:
        rows: of the samples table (`rollouts.samples`), the same number of samples of every problem of a group.
        seed: of the bootstrap; each group has its own generator.
    """
    groups: dict[tuple[str, str], dict[str, _Rows]] = {}
    for row in rows:
        problems = groups.setdefault((row["benchmark"], row["group"]), {})
        problems.setdefault(row["problem_id"], []).append(row)
    if not groups:
        raise ValueError("there are no samples")
    return [
        _figures(*name, list(problems.values()), np.random.default_rng([seed, number]))
        for number, (name, problems) in enumerate(groups.items())
    ]


def _figures(benchmark: str, group: str, problems: list[_Rows], rng: np.random.Generator) -> GroupFigures:
    sizes = sorted(set(map(len, problems)))
    if len(sizes) != 1:
        raise ValueError(f"every problem of {group!r} must have the same number of samples; got {sizes}")
    num_answers = sum(row["answer"] is not None for rows in problems for row in rows)
    parts = _at_k(problems, sizes[0])
    single = [_problem_figures(rows) for rows in problems]
    ratios = np.array([list(values.values()) for values in single])  # (P, metrics, 2)
    widths = [part.shape[1] for part in parts.values()]
    above = np.hstack([*parts.values(), ratios[:, :, 0]])
    below = np.hstack([np.ones((len(problems), sum(widths))), ratios[:, :, 1]])
    estimates = iter(bootstrap_ratio(above, below, rng))
    at_k = {name: [next(estimates) for _ in range(width)] for name, width in zip(parts, widths, strict=True)}
    figures = {name: next(estimates) for name in single[0]}
    found = GroupFigures(benchmark, group, len(problems), sizes[0], num_answers, at_k, figures)
    if found.has_answers:
        return found
    at_k = {name: value for name, value in at_k.items() if name != "maj@k"}
    return replace(found, at_k=at_k, figures={n: value for n, value in figures.items() if n not in NEED_ANSWERS})


def _at_k(problems: list[_Rows], n: int) -> dict[str, NDArray[np.float64]]:
    """(P, n) values of each kind of metric at k."""
    parts = {"pass@k": _pass_rows(n, problems, "is_correct")}
    if all(row["is_exact"] is not None for rows in problems for row in rows):
        parts["exact pass@k"] = _pass_rows(n, problems, "is_exact")
    if n <= MAX_COMPLETIONS:
        columns = [([row["answer"] for row in rows], [row["is_correct"] for row in rows]) for rows in problems]
        parts["maj@k"] = np.array([maj_at_k(answers, right) for answers, right in columns])
    return parts


def _pass_rows(n: int, problems: list[_Rows], column: str) -> NDArray[np.float64]:
    counts = [sum(bool(row[column]) for row in rows) for rows in problems]
    values = {c: pass_at_every_k(n, c) for c in set(counts)}  # many problems have the same count
    return np.array([values[c] for c in counts])


def shown_ks(n: int, given: Sequence[int] | None = None) -> list[int]:
    """The k in a table: those given, else the powers of two below n, and n; ValueError if one is out of 1 to n.

    Example:
        >>> shown_ks(12)
        [1, 2, 4, 8, 12]
    """
    if given is None:
        return sorted({*(2**i for i in range(n.bit_length()) if 2**i <= n), n})
    for k in given:
        if not 1 <= k <= n:
            raise ValueError(f"k must be in 1..{n}, the number of samples; got {k}.")
    return sorted(set(given))


@dataclass(frozen=True)
class Samples:
    """n samples of one problem: whether each is right, and its final answer (None for none)."""

    problem_id: str
    is_correct: Sequence[bool]
    answers: Sequence[str | None]


@dataclass(frozen=True)
class Summary:
    """Metrics over problems, without intervals."""

    num_problems: int
    num_samples: int
    k: int
    pass_at_1: float  # unbiased estimates, mean over problems
    pass_at_k: float
    distinct_wrong: float  # different wrong answers among a problem's n samples, mean over problems
    repeated_errors: float  # fraction of wrong samples that repeat a wrong answer to the same problem
    no_answer: float  # fraction of samples without a final answer

    def to_dict(self) -> dict[str, float]:
        """The metrics by name."""
        return asdict(self)


def summarise(problems: Sequence[Samples], k: int) -> Summary:
    """Summarise samples of several problems, the same number n >= k of each.

    Example:
        >>> a = Samples("a", [True, False, False, False], ["7", "5", "5", None])
        >>> summary = summarise([a], k=2)
        >>> summary.pass_at_1, summary.pass_at_k, summary.distinct_wrong
        (0.25, 0.5, 2.0)
        >>> round(summary.repeated_errors, 3)  # of the wrong 5, 5 and "no answer" one repeats
        0.333
    """
    if not problems:
        raise ValueError("There are no samples to summarise.")
    sizes = {len(problem.is_correct) for problem in problems}
    if len(sizes) != 1:
        raise ValueError(f"Every problem must have the same number of samples; got {sorted(sizes)}.")
    n = sizes.pop()
    if not 1 <= k <= n:
        raise ValueError(f"k must be in 1..{n}, the number of samples; got {k}.")
    correct = np.array([sum(problem.is_correct) for problem in problems])
    # None, "no answer", is an error, too.
    wrong = [[a for a, right in zip(p.answers, p.is_correct, strict=True) if not right] for p in problems]
    num_wrong = sum(map(len, wrong))
    distinct = [len(set(answers)) for answers in wrong]
    return Summary(
        num_problems=len(problems),
        num_samples=n,
        k=k,
        pass_at_1=float(np.mean(pass_at_k(n, correct, 1))),
        pass_at_k=float(np.mean(pass_at_k(n, correct, k))),
        distinct_wrong=float(np.mean(distinct)),
        repeated_errors=1 - sum(distinct) / num_wrong if num_wrong else 0.0,
        no_answer=float(np.mean([answer is None for problem in problems for answer in problem.answers])),
    )
