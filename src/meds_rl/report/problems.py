"""What each problem of an evaluation shows: how often right, how many different wrong answers, how often none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from meds_rl.evaluation.paired import PerProblem
from meds_rl.evaluation.pass_at_k import pass_at_k
from meds_rl.rollouts.samples import read_samples

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("pass@1", "pass@k", "distinct", "repeated", "no_answer")


def read_problems(path: Path) -> pd.DataFrame:
    """One row a problem and group: ``group``, ``problem_id``, ``n`` samples, ``right``, ``wrong``, ``distinct`` wrong
    answers ("no answer" is one) and ``no_answer``.

    Raises:
        SamplesFileError: the file holds no samples.
    """
    samples = read_samples(path).select(["group", "problem_id", "answer", "is_correct"]).to_pandas()
    keys = ["group", "problem_id"]
    problems = samples.groupby(keys, sort=True).agg(
        n=("is_correct", "size"),
        right=("is_correct", "sum"),
        no_answer=("answer", lambda answers: int(answers.isna().sum())),
    )
    wrong = samples[~samples["is_correct"].astype(bool)]
    problems["wrong"] = problems["n"] - problems["right"]
    distinct = wrong.groupby(keys)["answer"].nunique(dropna=False)
    problems["distinct"] = distinct.reindex(problems.index).fillna(0).astype(np.int64)
    table: pd.DataFrame = problems.reset_index()
    return table


def read_golds(path: Path) -> dict[str, str]:
    """The right answer to each problem of a file of samples that names one.

    Raises:
        SamplesFileError: the file holds no samples.
    """
    columns = read_samples(path).select(["problem_id", "gold"]).to_pydict()
    pairs = zip(columns["problem_id"], columns["gold"], strict=True)
    return {problem_id: gold for problem_id, gold in pairs if gold is not None}


def per_problem(problems: pd.DataFrame, metric: str, k: int) -> PerProblem:
    """A metric of each problem of one group.

    Raises:
        ValueError: an unknown metric, or fewer than k samples of a problem.
    """
    ids: Sequence[str] = problems["problem_id"].tolist()
    n, right, wrong, distinct, none = (
        problems[name].to_numpy(dtype=np.int64) for name in ("n", "right", "wrong", "distinct", "no_answer")
    )
    if metric == "pass@1":
        return PerProblem(ids, right / n)
    if metric == "pass@k":
        return PerProblem(ids, pass_at_k(n, right, k))
    if metric == "distinct":
        return PerProblem(ids, distinct)
    if metric == "repeated":
        return PerProblem(ids, wrong - distinct, wrong)
    if metric == "no_answer":
        return PerProblem(ids, none, n)
    raise ValueError(f"metric must be one of {', '.join(METRICS)}; got {metric!r}.")


def figure(metric: PerProblem) -> float:
    """sum(values) / sum(weights); NaN where nothing weighs."""
    total = float(metric.weights.sum())
    return float(metric.values.sum()) / total if total else float("nan")
