"""Inference for the grid `skills`: the named questions, then every method beside the penalty of 0.

    python -m meds_lab.skills.inference TABLE.parquet --predictions PREDICTIONS.json

Prints Markdown. TABLE has one row for each training, kind of problem and skill, with the columns `COLUMNS`. The unit of
inference is the starting policy (checkpoint). Methods are compared in pairs: trainings from the same checkpoint with
the same seed.

The test is Student's t over checkpoints, of differences averaged over seeds.

The ratio of discovery m comes from a complementary log-log model of `found` with the offset ln lambda:
P(found) = 1 - exp(-c lambda m). It is fitted by generalised estimating equations, clustered by checkpoint, with the
variance of Mancl and DeRouen (2001), which is corrected for few clusters, and t with C - 1 degrees of freedom.

This model is also the sensitivity analysis of the test, in place of a mixed model. statsmodels' `MixedLM` is Gaussian:
on balanced pairs it gives the t test's estimate, with a normal interval that is too narrow for 16 checkpoints. Its
binomial mixed model has no complementary log-log link.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.families.links import CLogLog
from statsmodels.genmod.generalized_estimating_equations import GEE
from statsmodels.stats.multitest import multipletests

from meds_lab.skills.questions import BASELINE, MARGIN, QUESTIONS, Question

KEYS = ("checkpoint", "seed", "method", "kind", "skill")
SECOND = "early_logp"
"""The second endpoint: change of the mean ln p(right working) over the first quarter of training, in nats."""

NUMBERS = ("lam", "p_right_0", "p_right", SECOND, "found")
COLUMNS = (*KEYS, "rules", "tells", *NUMBERS)
"""Columns of the table. `kind` is hard, habit or own; `p_right_0` is `p_right` before training. Only rows of kind
"hard" need `lam`, `early_logp` and `found`."""

UNKNOWN = (float("nan"),) * 3
"""An interval and a p value that cannot be computed."""

KINDS = ("hard", "habit", "own")
FACTORS = ("rules == 6", "rules == 30", "tells", "not tells")

Row = dict[str, Any]
"""A row of a printed table: column -> cell."""


@dataclass(frozen=True)
class Estimate:
    """An estimate with its interval; NaN for what cannot be computed.

    Attributes:
        value, low, high: the estimate and the ends of its interval.
        p: two-sided, of the null hypothesis of no difference.
        num_checkpoints, num_pairs: how many it is from; of a single method, pairs are trainings.
    """

    value: float
    low: float
    high: float
    p: float
    num_checkpoints: int
    num_pairs: int

    def __str__(self) -> str:
        if np.isnan(self.low):
            return "–" if np.isnan(self.value) else f"{self.value:.3f} [–]"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


# ---- The table.


def check_table(table: pd.DataFrame, methods: Sequence[str] = ()) -> pd.DataFrame:
    """The table, its numbers as floats.

    Args:
        table: with the columns `COLUMNS`.
        methods: those that it must have.

    Raises:
        ValueError: a column, a skill of a training or a method is missing, a row repeats, or a value is not possible.
    """
    if lacking := [name for name in COLUMNS if name not in table.columns]:
        raise ValueError(f"The table lacks the columns {lacking}; it has {list(table.columns)}.")
    if unknown := set(table["kind"]) - set(KINDS):
        raise ValueError(f"kind must be one of {list(KINDS)}, got {sorted(map(str, unknown))}.")
    if (again := table.duplicated(list(KEYS))).any():
        first = table.loc[again, list(KEYS)].iloc[0].to_dict()
        raise ValueError(f"{again.sum()} rows repeat a training and skill, the first is {first}: give one row each.")
    if absent := [name for name in methods if name not in set(table["method"])]:
        raise ValueError(f"The table has no training of {absent}; its methods are {sorted(set(table['method']))}.")
    table = table.astype(dict.fromkeys(NUMBERS, float))
    hard = table[table["kind"] == "hard"]
    _check_values(hard)
    _check_cells(hard)
    return table.assign(tells=table["tells"].eq(True))  # may be missing in rows of easy problems


def _check_values(hard: pd.DataFrame) -> None:
    possible = {
        "lam": hard["lam"].between(0, np.inf, inclusive="neither"),
        SECOND: hard[SECOND].between(-np.inf, np.inf, inclusive="neither"),
        "found": hard["found"].isin([0, 1]),
        "tells": hard["tells"].isin([True, False]),
    }
    for name, right in possible.items():
        if not right.all():
            first = hard.loc[~right, [*KEYS, name]].iloc[0].to_dict()
            raise ValueError(f"{name} is missing or impossible in {(~right).sum()} rows of hard skills, first {first}.")


def _check_cells(hard: pd.DataFrame) -> None:
    """Check that all trainings of a checkpoint have the same hard skills."""
    for checkpoint, rows in hard.groupby("checkpoint"):
        skills = set(rows["skill"])
        for training, own in rows.groupby(["seed", "method"])["skill"]:
            if lacking := sorted(skills - set(own)):
                raise ValueError(
                    f"The training (seed, method) = {training} from the checkpoint {checkpoint!r} lacks the skills "
                    f"{lacking}, which others of the checkpoint have."
                )


def hard_skills(table: pd.DataFrame, subset: str = "") -> pd.DataFrame:
    """The rows of kind "hard" that `subset` selects.

    Raises:
        ValueError: there are none.
    """
    rows = table[table["kind"] == "hard"]
    rows = rows.query(subset) if subset else rows
    if rows.empty:
        raise ValueError(f"The table has no hard skill{f' where {subset!r}' if subset else ''}.")
    return rows


# ---- Estimates.


def paired_differences(rows: pd.DataFrame, column: str, method: str, other: str) -> pd.Series[float]:
    """`method` minus `other` in the mean of `column` over a training's rows, for each pair, by checkpoint and seed.

    Raises:
        ValueError: there is no pair.
    """
    means = _rows_of_pairs(rows, method, other).groupby(["checkpoint", "seed", "method"])[column].mean().unstack()
    if means.empty:
        raise ValueError(f"{method!r} and {other!r} share no checkpoint and seed.")
    return (means[method] - means[other]).dropna()


def over_checkpoints(values: pd.Series[float], level: float = 0.95) -> Estimate:
    """Mean over checkpoints of the mean over seeds, with Student's t interval.

    Args:
        values: indexed by checkpoint and seed.
        level: confidence level of the interval.

    Returns:
        The estimate; without an interval if there is one checkpoint, or if all have the same mean.

    Example:
        >>> index = pd.MultiIndex.from_product([[0, 1, 2], [0, 1]], names=["checkpoint", "seed"])
        >>> print(over_checkpoints(pd.Series([0.0, 0.2, 0.1, 0.3, 0.3, 0.3], index)))
        0.200 [-0.048, 0.448]
    """
    means = values.groupby("checkpoint").mean()
    if np.ptp(means) < 1e-12:
        return Estimate(float(means.mean()), *UNKNOWN, len(means), len(values))
    result = stats.ttest_1samp(means, 0.0)
    low, high = result.confidence_interval(level)
    return Estimate(float(means.mean()), float(low), float(high), float(result.pvalue), len(means), len(values))


def discovery_ratio(rows: pd.DataFrame, method: str, other: str) -> Estimate:
    """The rate of discovery of `method` divided by that of `other`, on pairs.

    It is exp(b) in P(found) = 1 - exp(-lambda exp(a + b [method])), population-averaged.

    Args:
        rows: of hard skills.
        method, other: as the table names them.

    Returns:
        The estimate; NaN if there is one checkpoint, or if a method found all skills or none.
    """
    pairs = _rows_of_pairs(rows, method, other)
    num_checkpoints, num_pairs = pairs["checkpoint"].nunique(), len(pairs[["checkpoint", "seed"]].drop_duplicates())
    share = pairs.groupby("method")["found"].mean()
    if num_checkpoints < 2 or not share.between(0, 1, inclusive="neither").all():
        return Estimate(float("nan"), *UNKNOWN, num_checkpoints, num_pairs)
    fit = GEE(
        pairs["found"].to_numpy(),
        np.column_stack([np.ones(len(pairs)), pairs["method"] == method]),
        groups=pairs["checkpoint"].to_numpy(),
        family=Binomial(CLogLog()),
        offset=np.log(pairs["lam"].to_numpy(dtype=float)),
    ).fit(cov_type="bias_reduced")
    b, variance, df = float(fit.params[1]), float(fit.cov_params()[1, 1]), num_checkpoints - 1
    if variance < 1e-12:  # all checkpoints found the same
        return Estimate(float(np.exp(b)), *UNKNOWN, num_checkpoints, num_pairs)
    half = stats.t.ppf(0.975, df) * np.sqrt(variance)
    value, low, high = (float(x) for x in np.exp([b, b - half, b + half]))
    p = float(2 * stats.t.sf(abs(b) / np.sqrt(variance), df))
    return Estimate(value, low, high, p, num_checkpoints, num_pairs)


def _rows_of_pairs(rows: pd.DataFrame, method: str, other: str) -> pd.DataFrame:
    both = rows[rows["method"].isin([method, other])]
    return both[both.groupby(["checkpoint", "seed"])["method"].transform("nunique") == 2]


# ---- The report.


def question_rows(table: pd.DataFrame, questions: Sequence[Question] = QUESTIONS) -> list[Row]:
    """One row for each question: the difference in the share found, with Holm's correction over the questions.

    The ratio of discovery, ln p and easy problems that the habit solves are described and not tested. A p value that
    cannot be computed counts as 1 in the correction.
    """
    rows: list[Row] = []
    habit = table[table["kind"] == "habit"]
    for one in questions:
        hard = hard_skills(table, one.subset)
        differences = paired_differences(hard, "found", one.method, one.other)
        estimate = over_checkpoints(differences)
        rows.append(
            {
                "question": one.name,
                "difference": f"{one.method} - {one.other}",
                "skills": one.subset or "all",
                "checkpoints": estimate.num_checkpoints,
                "pairs": estimate.num_pairs,
                "share found [95 %]": estimate,
                "p": estimate.p,
                "p (Holm)": float("nan"),
                "as good as": _as_good(over_checkpoints(differences, level=0.9), one.margin),
                "ratio of discovery [95 %]": discovery_ratio(hard, one.method, one.other),
                "ln p after a quarter [95 %]": _difference(hard, SECOND, one.method, one.other),
                **(
                    {}
                    if habit.empty
                    else {"pass@1, habit [95 %]": _difference(habit, "p_right", one.method, one.other)}
                ),
            }
        )
    corrected = multipletests([1.0 if np.isnan(row["p"]) else row["p"] for row in rows], method="holm")[1]
    return [row | {"p (Holm)": float(p)} for row, p in zip(rows, corrected, strict=True)]


def _as_good(narrow: Estimate, margin: float | None) -> str:
    """Two one-sided tests at .05: "yes" if the 90 % interval lies within +-margin."""
    if margin is None:
        return "–"
    within = -margin < narrow.low and narrow.high < margin
    return f"{'yes' if within else 'not shown'}: [{narrow.low:.3f}, {narrow.high:.3f}] of ±{margin:g}"


def method_rows(table: pd.DataFrame, predictions: Mapping[str, float]) -> list[Row]:
    """One row for each method, on all hard skills. `predictions`: method -> multiplier of discovery."""
    hard, rows = hard_skills(table), list[Row]()
    for method in _methods(table):
        found = hard[hard["method"] == method].groupby(["checkpoint", "seed"])["found"].mean()
        share, row = over_checkpoints(found), Row()
        if method != BASELINE:
            row = {
                "multiplier [95 %]": discovery_ratio(hard, method, BASELINE),
                "predicted": predictions.get(method, float("nan")),
                f"minus {BASELINE} [95 %]": _difference(hard, "found", method),
                f"ln p after a quarter, minus {BASELINE} [95 %]": _difference(hard, SECOND, method),
            }
        rows.append({"method": method, "trainings": share.num_pairs, "share found [95 %]": share, **row})
    return rows


def factor_rows(table: pd.DataFrame) -> list[Row]:
    """The multiplier over the baseline by kind of hard skill."""
    hard = hard_skills(table)
    parts = {name: rows for name in FACTORS if not (rows := hard.query(name)).empty}
    return [
        {"method": method, **{name: discovery_ratio(rows, method, BASELINE) for name, rows in parts.items()}}
        for method in _methods(table)
        if method != BASELINE
    ]


def easy_rows(table: pd.DataFrame) -> list[Row]:
    """pass@1 of easy problems: of hard skills where the habit is right ("habit"), and of easy skills ("own")."""
    rows: list[Row] = []
    for kind, easy in table[table["kind"] != "hard"].groupby("kind"):
        for method in _methods(table):
            before, after = easy.loc[easy["method"] == method, ["p_right_0", "p_right"]].mean()
            row: Row = {"method": method, "easy by": kind, "before": before, "after": after}
            if method != BASELINE:
                row[f"minus {BASELINE} [95 %]"] = _difference(easy, "p_right", method)
            rows.append(row)
    return rows


def _methods(table: pd.DataFrame) -> list[str]:
    """The methods in the table, the baseline first."""
    return sorted(set(table["method"]), key=lambda name: (name != BASELINE, name))


def _difference(rows: pd.DataFrame, column: str, method: str, other: str = BASELINE) -> Estimate:
    return over_checkpoints(paired_differences(rows, column, method, other))


def markdown(title: str, rows: Sequence[Row]) -> str:
    """A table under its title; its columns are the keys of the last row.

    Example:
        >>> print(markdown("Methods", [{"method": "none"}, {"method": "memory", "multiplier": 1.4732}]))
        ## Methods
        <BLANKLINE>
        | method | multiplier |
        | :-- | --: |
        | none |  |
        | memory | 1.47 |
    """
    columns = list(rows[-1])
    cells = [[_cell(row.get(name, "")) for name in columns] for row in rows]
    lines = [columns, [":--", *["--:"] * (len(columns) - 1)], *cells]
    return f"## {title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return "–" if np.isnan(value) else f"{value:.3g}"


def report(
    table: pd.DataFrame, questions: Sequence[Question] = QUESTIONS, predictions: Mapping[str, float] | None = None
) -> str:
    """All tables, as Markdown."""
    parts = {
        "Questions": question_rows(table, questions),
        "Methods, on hard skills": method_rows(table, predictions or {}),
        f"Multiplier of discovery over {BASELINE}, by kind of skill [95 %]": factor_rows(table),
        "Easy problems: pass@1": easy_rows(table),
    }
    return "\n\n".join(markdown(title, rows) for title, rows in parts.items() if rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="parquet")
    parser.add_argument("--predictions", type=Path, help="JSON: method -> predicted multiplier of discovery")
    parser.add_argument(
        "--ask", nargs=2, action="append", metavar=("METHOD", "OTHER"), help="instead of the three; may repeat"
    )
    parsed = parser.parse_args(argv)
    questions = [Question(f"{one} or {other}?", one, other, margin=MARGIN) for one, other in parsed.ask or ()]
    questions = questions or list(QUESTIONS)
    predictions = json.loads(parsed.predictions.read_text(encoding="utf-8")) if parsed.predictions else {}
    named = [BASELINE, *(name for one in questions for name in (one.method, one.other))]
    print(report(check_table(pd.read_parquet(parsed.table), list(dict.fromkeys(named))), questions, predictions))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
