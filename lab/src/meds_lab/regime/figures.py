"""How often a frozen policy is right and wrong on each problem: right answers, the habit, live errors, and lambda.

Lambda is the number of right answers that training would sample if the policy did not change: eps times the samples of
a prompt, 12 visits of 8. Below .3 most trainings sample none; above 3 most sample enough without help.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import minimize

from meds_rl.fingerprint.steps import read_steps
from meds_rl.fingerprint.text import normalized_answer

GROUP = 8
VISITS = 12
DRAWN = GROUP * VISITS
UNDECIDED = (0.3, 3.0)
"""The lambdas for which penalties can change whether a problem is learned."""

RIGHT = -1
"""The mode of a right completion."""


@dataclass(frozen=True)
class Sampled:
    """The N completions of one problem.

    Attributes:
        source: the data set's name.
        problem_id: of the prompt.
        modes: name -> (N,) int, the error of each completion; `RIGHT` for a right one. By "steps", errors are equal
            if the fingerprint `steps` is, or the answer where no steps can be read; by "answer", if the normalised
            answer is. Completions without either are one error.
        is_nonsense: (N,) bool, true without an answer or without steps that can be read.
    """

    source: str
    problem_id: str
    modes: Mapping[str, NDArray[np.int64]]
    is_nonsense: NDArray[np.bool_]

    @property
    def is_correct(self) -> NDArray[np.bool_]:
        """(N,) bool."""
        right: NDArray[np.bool_] = self.modes["steps"] == RIGHT
        return right


@dataclass(frozen=True)
class Figures:
    """The figures of one problem, with errors named in one way.

    Attributes:
        eps: share of right completions.
        habit: share of the most frequent error among all completions.
        modes: effective number of errors, exp of the entropy over them; 0 without errors.
        unseen: share of wrong completions whose error occurs once, which estimates the probability that the next error
            is new (Good and Turing).
        nonsense: share of completions without an answer or without steps that can be read.
        lam: lambda, eps times `DRAWN`.
    """

    eps: float
    habit: float
    modes: float
    unseen: float
    nonsense: float
    lam: float


NAMES = ("eps", "habit", "modes", "unseen", "nonsense", "lam")
"""The fields of `Figures`."""


def sampled(rows: Iterable[Mapping[str, Any]]) -> list[Sampled]:
    """The problems of a samples table, in its order; `rows` are its rows as mappings."""
    by_problem: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        by_problem.setdefault((row["benchmark"], row["problem_id"]), []).append(row)
    return [_sampled(source, problem_id, found) for (source, problem_id), found in by_problem.items()]


def _sampled(source: str, problem_id: str, rows: Sequence[Mapping[str, Any]]) -> Sampled:
    workings = [read_steps(row["prompt"], row["completion"]) for row in rows]
    answers = [None if row["answer"] is None else normalized_answer(row["answer"]) for row in rows]
    steps = [answer if one is None else ("steps", one.key) for one, answer in zip(workings, answers, strict=True)]
    right = np.array([row["is_correct"] for row in rows], dtype=np.bool_)
    nonsense = [one is None or answer is None for one, answer in zip(workings, answers, strict=True)]
    modes = {name: np.where(right, RIGHT, _numbers(keys)) for name, keys in (("steps", steps), ("answer", answers))}
    return Sampled(source, problem_id, modes, np.array(nonsense, dtype=np.bool_))


def _numbers(keys: Sequence[Any]) -> NDArray[np.int64]:
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def figures(problem: Sampled, by: str) -> Figures:
    """The figures of a problem, its errors named `by` "steps" or "answer".

    Example:
        Two right, four times one error, once each of two others: the habit is half of all.

        >>> modes = np.array([-1, -1, 0, 0, 0, 0, 1, 2])
        >>> found = figures(Sampled("x", "y", {"steps": modes}, np.zeros(8, dtype=bool)), "steps")
        >>> found.eps, found.habit, round(found.modes, 3), round(found.unseen, 3), found.lam
        (0.25, 0.5, 2.381, 0.333, 24.0)
    """
    modes = problem.modes[by]
    _, counts = np.unique(modes[modes != RIGHT], return_counts=True)
    shares = counts / max(counts.sum(), 1)
    eps = float((modes == RIGHT).mean())
    return Figures(
        eps=eps,
        habit=float(counts.max(initial=0) / len(modes)),
        modes=float(np.exp(-(shares * np.log(shares)).sum())) if len(counts) else 0.0,
        unseen=float((counts == 1).sum() / max(counts.sum(), 1)),
        nonsense=float(problem.is_nonsense.mean()),
        lam=eps * DRAWN,
    )


# ---- Shares of prompts by lambda.


@dataclass(frozen=True)
class Lottery:
    """How many prompts are undecided.

    Attributes:
        undecided: share of prompts whose sampled lambda is in `UNDECIDED`.
        fitted: the same share under a beta distribution of eps over prompts, fitted to the counts. It also counts
            prompts without a right sample, whose lambda may still be in `UNDECIDED`.
        none_right: share of prompts without a right sample.
        upper: upper end of the exact 95 % interval of eps for such a prompt.
        rule_of_three: the one-sided 95 % limit of the same, 3 / N.
    """

    undecided: float
    fitted: float
    none_right: float
    upper: float
    rule_of_three: float


def lottery(right: Sequence[int], sizes: Sequence[int]) -> Lottery:
    """The shares of P prompts, from the numbers (P,) of right samples and of all samples."""
    k, n = np.asarray(right), np.asarray(sizes)
    drawn, low, high = k / n * DRAWN, *UNDECIDED
    a, b = beta_of(k, n)
    fitted = stats.beta.cdf(min(1.0, high / DRAWN), a, b) - stats.beta.cdf(low / DRAWN, a, b)
    least = int(n.min())
    return Lottery(
        undecided=float(((drawn >= low) & (drawn <= high)).mean()),
        fitted=float(fitted),
        none_right=float((k == 0).mean()),
        upper=clopper_pearson(0, least)[1],
        rule_of_three=3 / least,
    )


def clopper_pearson(right: int, size: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share.

    >>> [round(end, 4) for end in clopper_pearson(0, 64)]
    [0.0, 0.056]
    """
    interval = stats.binomtest(right, size).proportion_ci(level, method="exact")
    return float(interval.low), float(interval.high)


def beta_of(right: NDArray[np.int64], sizes: NDArray[np.int64]) -> tuple[float, float]:
    """The parameters a and b, from e^-7 to e^7, of the beta distribution of eps with the largest likelihood."""

    def loss(logs: NDArray[np.float64]) -> float:
        a, b = np.exp(logs)
        return -float(stats.betabinom.logpmf(right, sizes, a, b).sum())

    best = minimize(loss, np.zeros(2), method="Nelder-Mead", bounds=[(-7, 7)] * 2, options={"xatol": 1e-4})
    a, b = np.exp(best.x)
    return float(a), float(b)
