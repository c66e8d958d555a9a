"""What each problem of a finished cell shows, and the figures that are compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from meds_rl.evaluation.paired import PerProblem
from meds_rl.report.problems import per_problem, read_problems
from meds_rl.rollouts.samples import read_samples

if TYPE_CHECKING:
    import pandas as pd

MEASURES = {
    "pass@1": "pass@1",
    "pass@k": "pass@{k}",
    "exact pass@k": "exact pass@{k}",
    "distinct": "distinct errors",
    "repeated": "repeated errors",
    "no_answer": "no answer",
}
"""Name -> title. All but ``exact pass@k`` are those of the report (`meds_rl.report.problems.METRICS`)."""


def read_cell_problems(folder: Path, when: str) -> pd.DataFrame:
    """One row a problem and group, as `meds_rl.report.problems.read_problems` gives it, and ``exact``: completions
    whose answer and working are right, null where the task cannot read the working.

    Args:
        folder: the run folder.
        when: "before" or "after".

    Raises:
        FileNotFoundError, SamplesFileError: there are no such samples, or none that can be read.
    """
    path = folder / "evaluation" / f"{when}.parquet"
    problems = read_problems(path)
    keys = ["group", "problem_id"]
    samples = read_samples(path).select([*keys, "is_exact"]).to_pandas()
    exact = samples.groupby(keys)["is_exact"].agg(
        # One completion whose working is not known, and the problem's number is not.
        lambda values: None if values.isna().any() else int(values.astype(bool).sum())
    )
    problems["exact"] = exact.reindex(problems.set_index(keys).index).to_numpy(dtype=object)
    return problems


def measure(problems: pd.DataFrame, name: str, k: int) -> PerProblem | None:
    """A measure of each problem of one group; None where the task does not tell it.

    Raises:
        ValueError: an unknown measure, or fewer than k samples of a problem.
    """
    if name != "exact pass@k":
        return per_problem(problems, name, k)
    if problems["exact"].isna().any():
        return None
    return per_problem(problems.assign(right=problems["exact"]), "pass@k", k)


def title_of(name: str, k: int | str) -> str:
    """What to call a measure; ``k`` is a number, or what stands for several.

    Example:
        >>> title_of("exact pass@k", 16)
        'exact pass@16'
    """
    return MEASURES[name].format(k=k)
