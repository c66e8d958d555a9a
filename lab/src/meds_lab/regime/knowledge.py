"""How much a memory of earlier visits adds to the batch in predicting an error's probability.

The samples of each problem are divided at random: half estimate p, the probability of each error; a group of 8 is the
batch; the rest are visits of 8, the memory. For each error of the batch, ln p is regressed on ln n, with n the error's
count in the batch, and on ln(|C| + 1), with |C| its count in the memory. R squared is cross-validated by problem.

Training subtracts the group's mean, so only differences within a group matter: "within" centres ln p and both
predictors by group.

With 64 samples, only 3 visits of 8 remain for the memory. A second memory of 12 visits is drawn from these 24 samples
with replacement. It has only their information, so its R squared is a lower bound of that of 12 real visits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GroupKFold, cross_val_predict

from meds_lab.regime.figures import GROUP, RIGHT
from meds_rl.evaluation.intervals import Estimate, bootstrap_ratio

DIVISIONS = 20
FOLDS = 10

SIMULATED: dict[str, tuple[float, int, float]] = {
    "one habit of .84, 6 rare": (0.84, 6, 0.5),
    "habit .3, 29 rare": (0.3, 29, 1.0),
    "habit .2, 99 rare": (0.2, 99, 1.0),
}
"""Policies to compare with: the habit's share, the number of rare errors, and s; their shares are as n ** -s.

In simulated trainings, penalties by a memory reach a pass@16 of .90, .57 and .53 on the three, those by batch counts
.93, .50 and .41.
"""


class Errors(NamedTuple):
    """The errors of all batches, one row each.

    Attributes:
        problem, group: (R,) numbers of the row's problem and group.
        log_p: (R,) ln p, with p = (count + 1/2) / (size + 1) in the half that estimates it.
        batch: (R,) ln n.
        memory: (R,) ln(|C| + 1).
    """

    problem: NDArray[np.int64]
    group: NDArray[np.int64]
    log_p: NDArray[np.float64]
    batch: NDArray[np.float64]
    memory: NDArray[np.float64]


@dataclass(frozen=True)
class Knowledge:
    """Cross-validated R squared of ln p, with intervals over problems.

    Attributes:
        batch: of ln n alone.
        memory: of ln(|C| + 1) alone.
        both: of the two.
        gain: `both` minus `batch`.
        alone: share of errors that occur once in the batch, which the batch cannot tell apart.
        known: share of these that the memory has.
    """

    batch: Estimate
    memory: Estimate
    both: Estimate
    gain: Estimate
    alone: float
    known: float


def errors(problems: Sequence[NDArray[np.int64]], *, visits: int, replace: bool, seed: int = 0) -> Errors:
    """The errors of `DIVISIONS` random divisions of each problem's samples.

    Args:
        problems: the modes (N,) of each problem's samples, `RIGHT` for a right one.
        visits: of `GROUP` samples in the memory.
        replace: draw the visits with replacement from the samples that are neither in the batch nor estimate p.
        seed: of the divisions.

    Raises:
        ValueError: a problem has too few samples for the visits.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for problem, modes in enumerate(problems):
        most = most_visits(len(modes))
        if most < 1 or (visits > most and not replace):
            raise ValueError(f"{visits} visits of {GROUP} need more samples: {len(modes)} samples leave {most} visits.")
        for division in range(DIVISIONS):
            estimate, batch, rest = np.split(rng.permutation(modes), [len(modes) // 2, len(modes) // 2 + GROUP])
            memory = rng.choice(rest, visits * GROUP) if replace else rest[: visits * GROUP]
            rows.append(_rows(problem, problem * DIVISIONS + division, estimate, batch[batch != RIGHT], memory))
    return Errors(*map(np.concatenate, zip(*rows, strict=True)))


def most_visits(samples: int) -> int:
    """Whole visits that remain of `samples` after half of them and the batch are taken.

    >>> most_visits(64), most_visits(512)
    (3, 31)
    """
    return (samples - samples // 2 - GROUP) // GROUP


def _rows(
    problem: int, group: int, estimate: NDArray[np.int64], batch: NDArray[np.int64], memory: NDArray[np.int64]
) -> Errors:
    in_estimate, in_batch, in_memory = (
        (batch[:, None] == others[None, :]).sum(axis=1) for others in (estimate, batch, memory)
    )
    return Errors(
        np.full(len(batch), problem),
        np.full(len(batch), group),
        np.log((in_estimate + 0.5) / (len(estimate) + 1)),
        np.log(in_batch),
        np.log1p(in_memory),
    )


def simulated(name: str, num_problems: int, num_samples: int, seed: int = 0) -> list[NDArray[np.int64]]:
    """The modes (N,) of P problems, drawn from a policy of `SIMULATED`; it is never right.

    Example:
        >>> [problem] = simulated("one habit of .84, 6 rare", num_problems=1, num_samples=1000)
        >>> int(np.bincount(problem).argmax()), len(np.unique(problem))
        (0, 7)
    """
    habit, rare, exponent = SIMULATED[name]
    ranks = np.arange(1, rare + 1) ** -exponent
    shares = np.concatenate([[habit], (1 - habit) * ranks / ranks.sum()])
    drawn = np.random.default_rng(seed).choice(rare + 1, (num_problems, num_samples), p=shares)
    return list(drawn.astype(np.int64))


def within_groups(rows: Errors) -> Errors:
    """The rows, with ln p and both predictors minus their group's mean."""

    def centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
        _, group, counts = np.unique(rows.group, return_inverse=True, return_counts=True)
        return np.asarray(values - (np.bincount(group, values) / counts)[group])

    return rows._replace(log_p=centred(rows.log_p), batch=centred(rows.batch), memory=centred(rows.memory))


def knowledge(rows: Errors, *, within: bool, seed: int = 0) -> Knowledge:
    """How well the batch, the memory and both predict ln p on held-out problems.

    Args:
        rows: of at least two problems.
        within: whether only differences within a group count.
        seed: of the intervals.
    """
    used = within_groups(rows) if within else rows
    chosen = {"batch": (used.batch,), "memory": (used.memory,), "both": (used.batch, used.memory)}
    error = {name: _squared_errors(used, np.stack(columns, axis=1)) for name, columns in chosen.items()}
    total = _squared_errors(used, np.zeros((len(used.log_p), 1)))
    _, problem = np.unique(used.problem, return_inverse=True)
    explained = [total - error["batch"], total - error["memory"], total - error["both"], error["batch"] - error["both"]]
    above = np.stack([np.bincount(problem, one) for one in explained], axis=1)
    below = np.bincount(problem, total)[:, None]
    batch, memory, both, gain = bootstrap_ratio(above, below, np.random.default_rng(seed))
    alone = rows.batch == 0
    known = rows.memory[alone] > 0
    return Knowledge(
        batch, memory, both, gain, alone=float(alone.mean()), known=float(known.mean()) if len(known) else 0.0
    )


def _squared_errors(rows: Errors, predictors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R,) squared errors of linear regressions; each row is predicted by one fitted without its problem."""
    folds = GroupKFold(min(FOLDS, len(np.unique(rows.problem))))
    predicted = cross_val_predict(LinearRegression(), predictors, rows.log_p, groups=rows.problem, cv=folds)
    return np.asarray((rows.log_p - predicted) ** 2)
