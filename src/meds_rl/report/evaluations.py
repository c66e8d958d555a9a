"""The evaluations before, in and after training: figures of each problem, and of each group over training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meds_rl.evaluation.paired import PerProblem
from meds_rl.evaluation.pass_at_k import pass_at_k
from meds_rl.report.course import Panel
from meds_rl.report.recipe import evaluated_recipe, variants
from meds_rl.report.source import RunData
from meds_rl.rollouts.samples import SamplesFileError, read_samples

if TYPE_CHECKING:
    import pandas as pd

EVALUATION_PANELS = (
    Panel("pass@1", "pass@1", "Share of right completions, mean over problems.", (), percent=True),
    Panel(
        "pass@k",
        "pass@{k}",
        "Chance that at least one of {k} completions is right (unbiased estimate), mean over problems.",
        (),
        percent=True,
    ),
    Panel(
        "distinct",
        "Distinct wrong answers",
        "Different wrong answers among a problem's completions, mean over problems.",
        (),
        unit="per problem",
    ),
    Panel(
        "repeated",
        "Repeated errors",
        "Share of the wrong completions that repeat an earlier wrong answer to the same problem in the same "
        "evaluation.",
        (),
        percent=True,
    ),
    Panel("no_answer", "No answer", "Share of the completions without a final answer.", (), percent=True),
)
"""One for each metric; `evaluations` adds the lines, one for each group of problems."""

METRICS = tuple(panel.id for panel in EVALUATION_PANELS)

AFTER = "after.parquet"


ONE_RUN_TWICE = "Several evaluations are of one variant with one seed, so each evaluation is a variant of its own."


def find_evaluated(runs: Sequence[RunData]) -> list[str]:
    """Set `RunData.evaluated` where all runs are evaluations, if that distinguishes them; else return a note.

    Then evaluations of runs that differ only in their seed are repetitions of one variant, as their trainings are.
    """
    if not all(run.is_evaluation for run in runs):
        return []
    found = [evaluated_recipe(run.path if run.path.is_dir() else run.path.parent) for run in runs]
    recipes = [recipe or run.recipe for run, recipe in zip(runs, found, strict=True)]
    repetitions = (recipe.repetition for recipe in recipes)
    if len(set(zip(variants(recipes), repetitions, strict=True))) < len(runs):
        return [ONE_RUN_TWICE] if any(found) else []
    for run, recipe in zip(runs, found, strict=True):
        run.evaluated = recipe
    return []


def evaluations(runs: Sequence[RunData]) -> dict[str, Any]:
    """Panels and values, as `meds_rl.report.course.course_table` returns them; a line is a group of problems."""
    values: dict[str, list[Any]] = {name: [] for name in ("run", "panel", "line", "step", "value")}
    groups: list[str] = []
    ks = set()
    for run in runs:
        for step, problems in read_evaluations(run):
            k = k_of(run, problems)
            ks.add(k)
            for name, group in problems.groupby("group", sort=True):
                if name not in groups:
                    groups.append(str(name))
                for metric in METRICS:
                    value = figure(per_problem(group, metric, k))
                    if not math.isnan(value):
                        row = (run.id, metric, str(name), step, value)
                        for column, item in zip(values.values(), row, strict=True):
                            column.append(item)
    word = "/".join(str(k) for k in sorted(ks)) or "k"
    lines = tuple((group, group) for group in groups)
    panels = [
        replace(panel, title=panel.title.format(k=word), help=panel.help.format(k=word), lines=lines)
        for panel in EVALUATION_PANELS
    ]
    return {"panels": [panel.to_dict() for panel in panels if groups], "values": values}


def read_evaluations(run: RunData) -> list[tuple[int, pd.DataFrame]]:
    """Step and problems of each evaluation. The run's notes name the files that cannot be read."""
    read = [(step, _read(run, path)) for step, path in run.folder.evaluations()]
    return [(step, problems) for step, problems in read if problems is not None]


def end_of_training(run: RunData, steps: Sequence[int]) -> int | None:
    """The step of the evaluation at the end of training: the one after it, or at the recipe's last step; else None."""
    after = [step for step, path in run.folder.evaluations() if path.name == AFTER]
    ends = [step for step in steps if step in after or (run.recipe.max_steps and step >= run.recipe.max_steps)]
    return max(ends, default=None)


def _read(run: RunData, path: Path) -> pd.DataFrame | None:
    try:
        problems = read_problems(path)
        if len(problems):
            return problems
        note = f"An evaluation is left out: {path} is empty"
    except SamplesFileError as error:
        note = f"An evaluation is left out: {error}"
    if note not in run.notes:
        run.notes.append(note)
    return None


def golds(runs: Sequence[RunData]) -> dict[str, str]:
    """The right answer to each prompt whose evaluation or rollouts name one, by the prompt's id."""
    found: dict[str, str] = {}
    for run in runs:
        found |= (run.folder.source or {}).get("golds", {})
        for _, path in run.folder.evaluations()[:1]:
            with suppress(SamplesFileError):  # `read_evaluations` adds the note
                found |= read_golds(path)
    return found


def k_of(run: RunData, problems: pd.DataFrame) -> int:
    """k of pass@k: the recipe's, or the number of samples where that is smaller or the recipe does not say."""
    most = int(problems["n"].min())
    return min(run.recipe.eval_k or most, most)


def read_problems(path: Path) -> pd.DataFrame:
    """One row a problem and group: ``group``, ``problem_id``, ``n`` samples, ``right``, ``wrong``, ``distinct`` wrong
    answers ("no answer" is one) and ``no_answer``.

    Raises:
        SamplesFileError: it is not a file of samples.
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
    """The right answers in a file of samples, by problem; problems without one are left out.

    Raises:
        SamplesFileError: it is not a file of samples.
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
    """sum(values) / sum(weights); NaN where all weights are 0."""
    total = float(metric.weights.sum())
    return float(metric.values.sum()) / total if total else float("nan")
