"""The evaluations before, in and after training, in the form of the course."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meds_rl.report.panels import EVALUATION_PANELS
from meds_rl.report.problems import figure, per_problem, read_golds, read_problems
from meds_rl.report.source import RunData
from meds_rl.rollouts.samples import SamplesFileError

if TYPE_CHECKING:
    import pandas as pd

AFTER = "after.parquet"


def evaluations(runs: Sequence[RunData]) -> dict[str, Any]:
    """Panels and values, as `meds_rl.report.course.course` gives them; the lines are the groups of problems."""
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
                for metric, *_ in EVALUATION_PANELS:
                    value = figure(per_problem(group, metric, k))
                    if not math.isnan(value):
                        row = (run.id, metric, str(name), step, value)
                        for column, item in zip(values.values(), row, strict=True):
                            column.append(item)
    word = "/".join(str(k) for k in sorted(ks)) or "k"
    return {
        "panels": [
            {
                "id": name,
                "title": title.format(k=word),
                "unit": unit,
                "percent": percent,
                "help": words.format(k=word),
                "lines": [{"id": group, "label": group} for group in groups],
            }
            for name, title, words, unit, percent in EVALUATION_PANELS
            if groups
        ],
        "values": values,
    }


def read_evaluations(run: RunData) -> list[tuple[int, pd.DataFrame]]:
    """Step and problems of each evaluation; what cannot be read is named in the run's notes."""
    read = [(step, _read(run, path)) for step, path in run.folder.evaluations()]
    return [(step, problems) for step, problems in read if problems is not None]


def end_of_training(run: RunData, steps: Sequence[int]) -> int | None:
    """Which of the steps of a run's evaluations is the end of its training; None where none is.

    It is that of the evaluation after training, or the recipe's last step.
    """
    after = [step for step, path in run.folder.evaluations() if path.name == AFTER]
    ends = [
        step for step in steps if step in after or (run.recipe.max_steps and step >= run.recipe.max_steps)
    ]
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
    """The right answer to each prompt, as far as an evaluation names it; evaluations know prompts by the same id."""
    found: dict[str, str] = {}
    for run in runs:
        for _, path in run.folder.evaluations()[:1]:
            with suppress(SamplesFileError):  # `read_evaluations` tells of it
                found |= read_golds(path)
    return found


def k_of(run: RunData, problems: pd.DataFrame) -> int:
    """k of pass@k: the recipe's, or the number of samples where that is smaller or the recipe does not say."""
    most = int(problems["n"].min())
    return min(run.recipe.eval_k or most, most)
