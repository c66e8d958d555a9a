"""Would a memory help here? Figures of a run and one sentence about it, from its rollouts alone.

`meds_rl.report.regime` chooses the sentence.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meds_rl.evaluation.intervals import Estimate, bootstrap_ratio
from meds_rl.evaluation.pass_at_k import pass_at_k
from meds_rl.report.life import LEAST_BATCHES, thirds
from meds_rl.report.regime import DOMINANT, Regime, evidence_for, regime_of, sentence_of
from meds_rl.report.source import RunData
from meds_rl.report.workings import Workings

Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]

LEAST_COMPLETIONS = 4
"""Prompts with fewer completions are left out (of `live_errors`: fewer wrong completions in the last third)."""

HALF = 0.5
"""Beside `DOMINANT`, the fraction of a prompt's completions that its commonest error is compared with."""

LEAST_GROUPS = 20
"""If so many groups are all mixed, the others were probably dropped before the rollouts were saved."""

FEW = 3
"""At most this many right answers to a prompt are few: a penalty can matter if about .3 to 3 are expected."""

MAX_BLOCKS = 1000
"""If there are more prompts, the bootstrap draws random blocks of them, to bound its time."""

NUM_RESAMPLES = 2000

LEAST_DESCRIBED = 8
"""Of fewer completions no rate is given."""

HELP = (
    "A memory lowers the reward of a wrong completion the more often its prompt got the same error before. These "
    "figures are from the rollouts alone. A group is the completions of one prompt in one batch. Two wrong "
    "completions of a prompt make the same error if their outcomes are equal (what a grader reports, such as failed "
    "tests). Without outcomes, if the steps of their workings are alike or, where no steps can be read, if their "
    "final answers are equal. No answer counts as an error, too, unless hardly any completion has one. The sentence "
    "describes the run; it does not promise that a penalty helps."
)


@dataclass(frozen=True)
class Groups:
    """The groups of two or more graded completions, and the fraction of each of three kinds."""

    count: int
    size: int
    all_wrong: float
    mixed: float
    all_right: float


@dataclass(frozen=True)
class Commonest:
    """The commonest error of each prompt, as a fraction of its completions: the median over prompts, and the fractions
    of prompts where it is over `HALF` and over `DOMINANT`."""

    prompts: int
    median: float
    over_half: float
    over_dominant: float


@dataclass(frozen=True)
class Right:
    """Fractions of prompts with no, 1 to `FEW`, and more right completions. For those with none: the median number n of
    completions, and 3 / n, the highest rate of right completions that n wrong ones cannot exclude (at 95 %; None if n
    is below `LEAST_DESCRIBED`)."""

    prompts: int
    none: float
    few: float
    many: float
    none_completions: int | None
    none_rate_at_most: float | None


@dataclass(frozen=True)
class PassAtK:
    """Unbiased pass@k in the first and the last third of the batches, and the difference."""

    k: int
    first: Estimate
    last: Estimate
    difference: Estimate | None


@dataclass(frozen=True)
class Outlook:
    """What a run's rollouts say about whether a memory could help.

    Attributes:
        run: its number.
        regime, sentence: one of `meds_rl.report.regime.SENTENCES`.
        num_batches: number of batches with graded completions.
        group_size: the commonest number of completions in a group.
        groups: None without a group of two or more.
        commonest: None without a prompt of `LEAST_COMPLETIONS`, or if all of these have fewer than `LEAST_DESCRIBED`.
        asked_again: fraction of the prompts that came in two batches or more.
        seen_before: fraction of errors that the prompt had made in an earlier batch, among the wrong completions of
            prompts that had come before; None without any.
        live_errors: effective number, exp(entropy), of a prompt's errors in the last third of the batches (in all of
            fewer than three batches); median over prompts.
        right: right completions per prompt.
        pass_at_k: None with fewer than three batches, or if groups were dropped.
        same_prompts: whether both thirds of ``pass_at_k`` have the same prompts.
        num_prompts: number of prompts of ``pass_at_k`` in the first and in the last third.
        errors_known: whether errors can be distinguished; else `commonest`, `seen_before`, `live_errors` are None.
        errors_by: how they are distinguished (`error_codes`): outcome, working or answer.
        notes: what a reader of these figures must know.
    """

    run: int
    regime: Regime
    sentence: str
    num_batches: int
    group_size: int
    groups: Groups | None
    commonest: Commonest | None
    asked_again: float
    seen_before: float | None
    live_errors: float | None
    right: Right
    pass_at_k: list[PassAtK] | None
    same_prompts: bool
    num_prompts: tuple[int, int]
    errors_known: bool
    errors_by: str
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """The outlook in the report's data."""
        return asdict(self)


def outlook(
    run: RunData,
    seed: int = 0,
    workings: Workings | None = None,
    growth: tuple[float, float] | None = None,
    is_tested: bool = False,
) -> Outlook | None:
    """Describe a run; None if none of its completions is graded, or none is wrong.

    Args:
        run: The run.
        seed: of the bootstrap.
        workings: the grouped workings of its wrong completions; without them errors are compared by final answer.
        growth: of a way of going wrong that grows, its shares of its prompts' completions before and in the last third.
        is_tested: whether the report compares such runs with and without a penalty.
    """
    graded = _Graded(run, workings)
    if not len(graded.prompt) or graded.is_correct.all():
        return None
    rng = np.random.default_rng(seed)
    groups = _groups(graded)
    why_dropped = _why_dropped(run, groups)
    pass_at, same, num_prompts = (None, False, (0, 0)) if why_dropped else _pass_at_k(graded, rng)
    known = bool((graded.error >= 0).any())
    found: dict[str, Any] = {
        "num_batches": graded.num_batches,
        "group_size": graded.group_size,
        "groups": groups,
        "commonest": _commonest(graded) if known else None,
        "asked_again": float(graded.asked_again.mean()),
        "seen_before": _seen_before(graded),
        "live_errors": _live_errors(graded),
        "right": _right(graded),
        "errors_known": known,
        "errors_by": _errors_by(run, workings),
    }
    no_answer = _unnamed(run, workings)
    evidence = evidence_for(found["seen_before"], growth, found["errors_by"])
    regime = regime_of(found, no_answer, bool(why_dropped), bool(evidence))
    return Outlook(
        run=run.id,
        regime=regime,
        sentence=sentence_of(regime, found, no_answer, evidence, is_tested),
        **found,
        pass_at_k=pass_at,
        same_prompts=same,
        num_prompts=num_prompts,
        notes=[why_dropped + _DROPPED] if why_dropped else [],
    )


def drops_groups(run: RunData) -> bool:
    """Whether groups that are all right or all wrong are missing from a run's rollouts."""
    return bool(_why_dropped(run, _groups(_Graded(run, None))))


_DROPPED = ": figures of groups describe only those that were kept, and pass@k is not given."


def _why_dropped(run: RunData, groups: Groups | None) -> str:
    """Why groups that are all right or all wrong are missing from the rollouts; empty if nothing speaks for it."""
    if run.recipe.fields.get("dynamic_sampling"):
        return "Dynamic sampling drops groups that are all right or all wrong before they are recorded"
    if groups is not None and groups.mixed == 1 and groups.count >= LEAST_GROUPS:
        return (
            f"All {groups.count:,} groups are mixed, so others were probably dropped before they were saved (dynamic "
            "sampling, filter_groups)"
        )
    return ""


def error_codes(run: RunData, workings: Workings | None = None) -> Ints:
    """(n,) a number for the error of each wrong completion (``run.wrong``); compare it within a prompt only.

    Errors are compared by outcome, if outcomes are known. Otherwise, if the workings of all wrong completions were
    read, they are compared by steps, and by final answer where there are no steps. If only a sample was read, they are
    compared by final answer alone: a sample does not show which errors came before. -1 where answers are unknown
    (`RunData.answers_known`) and no steps were read.
    """
    if run.outcomes_known:
        outcomes, _ = pd.factorize(run.rollouts["outcome"].iloc[run.wrong], use_na_sentinel=False)
        return outcomes.astype(np.int64)
    answers, names = pd.factorize(run.rollouts["answer"].iloc[run.wrong], use_na_sentinel=False)
    groups = _groups_of_workings(run, workings)
    if not run.answers_known:
        answers = np.full(len(answers), -1)
    return np.where(groups >= 0, len(names) + groups, answers).astype(np.int64)


def _errors_by(run: RunData, workings: Workings | None) -> str:
    if run.outcomes_known:
        return "outcome"
    return "working" if (_groups_of_workings(run, workings) >= 0).any() else "answer"


def _groups_of_workings(run: RunData, workings: Workings | None) -> Ints:
    """(n,) the group of each wrong completion by its steps; -1 without steps."""
    if workings is None or workings.by != "steps" or len(workings.rows) < len(run.wrong):
        return np.full(len(run.wrong), -1, dtype=np.int64)
    groups = np.empty(len(run.wrong), dtype=np.int64)
    groups[np.searchsorted(run.wrong, workings.rows)] = workings.groups
    return groups


def _unnamed(run: RunData, workings: Workings | None) -> float:
    """Fraction of the wrong completions that have neither an answer nor steps; 0 if outcomes name errors."""
    if run.outcomes_known:
        return 0.0
    none = run.rollouts["answer"].iloc[run.wrong].isna().to_numpy()
    return float((none & (_groups_of_workings(run, workings) < 0)).mean())


class _Graded:
    """A run's N graded completions as numbers, in the order of training.

    Attributes:
        prompt, batch, group: (N,) codes; batches are numbered in order, and a group lies in one batch.
        is_correct: (N,).
        error: (N,) code of the prompt's error; -1 for a right completion.
        num_prompts, num_batches, group_size: counts; the group's size is the commonest one.
        asked_again: (P,) whether each prompt came in two batches or more.
    """

    def __init__(self, run: RunData, workings: Workings | None) -> None:
        rollouts = run.rollouts
        rows = np.flatnonzero(np.isfinite(rollouts["reward"].to_numpy(dtype=np.float64)))
        error = np.full(len(rollouts), -1, dtype=np.int64)
        error[run.wrong] = error_codes(run, workings)
        self.prompt, self.num_prompts = _codes(rollouts["prompt_id"].iloc[rows])
        batches, batch = np.unique(rollouts["generation"].to_numpy(dtype=np.int64)[rows], return_inverse=True)
        self.batch, self.num_batches = batch.ravel().astype(np.int64), len(batches)
        self.is_correct: Bools = rollouts["is_correct"].to_numpy(dtype=bool)[rows]
        self.group = _pairs(self.batch, _group_names(rollouts.iloc[rows], self.prompt))
        self.error = np.where(error[rows] < 0, -1, _pairs(self.prompt, error[rows]))
        sizes = np.bincount(np.bincount(self.group)) if len(rows) else np.zeros(1, dtype=np.int64)
        self.group_size = int(sizes.argmax())
        first = np.full(self.num_prompts, self.num_batches)
        np.minimum.at(first, self.prompt, self.batch)
        self.asked_again: Bools = np.zeros(self.num_prompts, dtype=bool)
        self.is_later: Bools = self.batch > first[self.prompt]
        self.asked_again[self.prompt[self.is_later]] = True

    def per_prompt(self, rows: Bools) -> Ints:
        """(P,) how many of some rows are of each prompt."""
        return np.bincount(self.prompt[rows], minlength=self.num_prompts)

    def third(self, last: bool) -> Bools:
        """(N,) the rows of the first or the last third of the batches; all rows of fewer than three batches."""
        if self.num_batches < LEAST_BATCHES:
            return np.ones(len(self.batch), dtype=bool)
        begin, end = thirds(self.num_batches)
        return self.batch >= end if last else self.batch < begin


def _group_names(rollouts: pd.DataFrame, prompt: Ints) -> Ints:
    """(N,) codes: equal for completions of a batch that were compared with each other: by `group_id`, or by prompt."""
    if "group_id" not in rollouts:
        return prompt
    named = rollouts["group_id"].notna().to_numpy()
    codes, _ = _codes(rollouts["group_id"])
    return np.where(named, codes, codes.max(initial=0) + 1 + prompt)


def _codes(values: pd.Series) -> tuple[Ints, int]:
    codes, names = pd.factorize(values, use_na_sentinel=False)
    return codes.astype(np.int64), len(names)


def _pairs(a: Ints, b: Ints) -> Ints:
    """(N,) codes of the pairs, from 0."""
    if not len(a):
        return a
    _, codes = np.unique(a * (b.max() + 2) + b + 1, return_inverse=True)
    return np.asarray(codes.ravel(), dtype=np.int64)


def _groups(graded: _Graded) -> Groups | None:
    sizes = np.bincount(graded.group)
    right = np.bincount(graded.group, weights=graded.is_correct)
    compared = sizes >= 2
    if not compared.any():
        return None
    none, every = right[compared] == 0, (right == sizes)[compared]
    return Groups(
        count=int(compared.sum()),
        size=graded.group_size,
        all_wrong=float(none.mean()),
        mixed=float((~none & ~every).mean()),
        all_right=float(every.mean()),
    )


def _commonest(graded: _Graded) -> Commonest | None:
    known = graded.error >= 0
    counts = np.bincount(graded.error[known])
    largest = np.zeros(graded.num_prompts)
    np.maximum.at(largest, graded.prompt[known], counts[graded.error[known]])
    asked = graded.per_prompt(np.ones(len(known), dtype=bool))
    enough = asked >= LEAST_COMPLETIONS
    if asked[enough].sum() < LEAST_DESCRIBED:
        return None
    shares = largest[enough] / asked[enough]
    return Commonest(
        prompts=int(enough.sum()),
        median=float(np.median(shares)),
        over_half=float((shares > HALF).mean()),
        over_dominant=float((shares > DOMINANT).mean()),
    )


def _seen_before(graded: _Graded) -> float | None:
    """As `Outlook.seen_before`."""
    known = graded.error >= 0
    first = np.full(int(graded.error.max(initial=-1)) + 1, graded.num_batches)
    np.minimum.at(first, graded.error[known], graded.batch[known])
    later = known & graded.is_later
    if not later.any():
        return None
    return float((graded.batch[later] > first[graded.error[later]]).mean())


def _live_errors(graded: _Graded) -> float | None:
    """As `Outlook.live_errors`. It is at most a prompt's number of wrong completions, so it is too small if these are
    few."""
    rows = graded.third(last=True) & (graded.error >= 0)
    total = graded.per_prompt(rows)
    codes, first, counts = np.unique(graded.error[rows], return_index=True, return_counts=True)
    if not len(codes):
        return None
    prompt = graded.prompt[rows][first]
    shares = counts / total[prompt]
    entropy = np.bincount(prompt, weights=-shares * np.log(shares), minlength=graded.num_prompts)
    enough = total >= LEAST_COMPLETIONS
    return float(np.median(np.exp(entropy[enough]))) if enough.any() else None


def _right(graded: _Graded) -> Right:
    asked = graded.per_prompt(np.ones(len(graded.prompt), dtype=bool))
    right = graded.per_prompt(graded.is_correct)
    none = right == 0
    completions = int(np.median(asked[none])) if none.any() else None
    return Right(
        prompts=graded.num_prompts,
        none=float(none.mean()),
        few=float(((right > 0) & (right <= FEW)).mean()),
        many=float((right > FEW).mean()),
        none_completions=completions,
        none_rate_at_most=None if completions is None or completions < LEAST_DESCRIBED else 3 / completions,
    )


def _pass_at_k(graded: _Graded, rng: np.random.Generator) -> tuple[list[PassAtK] | None, bool, tuple[int, int]]:
    """pass@k for k = 1, 2, 4, ... up to the group size; over the prompts that are in both thirds, if there are any."""
    if graded.num_batches < LEAST_BATCHES:
        return None, False, (0, 0)
    ks = [2**power for power in range(graded.group_size.bit_length())]
    rows = [graded.third(last=False), graded.third(last=True)]
    asked = [graded.per_prompt(third) for third in rows]
    right = [graded.per_prompt(third & graded.is_correct) for third in rows]
    enough = [count >= ks[-1] for count in asked]
    same = bool((enough[0] & enough[1]).any())
    if same:
        enough = [enough[0] & enough[1]] * 2
    if not (enough[0].any() and enough[1].any()):
        return None, False, (0, 0)
    first, last = (
        np.stack([_each(n[chosen], c[chosen], k) for k in ks], axis=1)
        for n, c, chosen in zip(asked, right, enough, strict=True)
    )
    sizes = (len(first), len(last))
    if same:
        found = _means(np.concatenate([first, last, last - first], axis=1), rng)
        columns = found[: len(ks)], found[len(ks) : 2 * len(ks)], found[2 * len(ks) :]
        return [PassAtK(*row) for row in zip(ks, *columns, strict=True)], True, sizes
    pairs = zip(ks, _means(first, rng), _means(last, rng), strict=True)
    return [PassAtK(k, a, b, None) for k, a, b in pairs], False, sizes


def _each(n: Ints, c: Ints, k: int) -> NDArray[np.float64]:
    """(P,) pass@k of each prompt; each pair of counts is computed once."""
    pairs, place = np.unique(np.stack([n, c], axis=1), axis=0, return_inverse=True)
    return np.atleast_1d(np.asarray(pass_at_k(pairs[:, 0], pairs[:, 1], k)))[place.ravel()]


def _means(values: NDArray[np.float64], rng: np.random.Generator) -> list[Estimate]:
    """Means over P prompts of (P, K), with bootstrap intervals over prompts."""
    counts = np.ones((len(values), 1))
    if len(values) > MAX_BLOCKS:
        block = rng.permutation(len(values)) % MAX_BLOCKS
        order, starts = np.argsort(block, kind="stable"), np.arange(MAX_BLOCKS)
        starts = np.searchsorted(block[order], starts)
        values, counts = np.add.reduceat(values[order], starts), np.add.reduceat(counts[order], starts)
    return bootstrap_ratio(values, np.broadcast_to(counts, values.shape), rng, num_resamples=NUM_RESAMPLES)
