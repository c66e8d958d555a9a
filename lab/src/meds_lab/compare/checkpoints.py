"""Differences of one method to the others in finished grids, with each starting checkpoint counted once.

    python -m meds_lab.compare.checkpoints lab/evidence/compare-recommended.parquet

Seeds of one checkpoint are not independent, so here the checkpoints are the units. For each group of problems and
measure the table has the other method's mean, the number of checkpoints, the mean difference, its 95 % interval by
Student's t, the number of checkpoints with a difference above 0, p of the sign-flip test (not corrected), and the mean
difference without the checkpoint where it is largest. --without names another checkpoint to leave out:

    python -m meds_lab.compare.checkpoints lab/evidence/compare-recommended.parquet --without stuck-5

A second table has exact pass@k of the hard test problems for each checkpoint: the mean, and each seed's. --models
counts checkpoints with the same number at the end once: they were trained from one plain model.

Files may contain the same cells. Cells of different budgets are refused.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import sem, t

from meds_lab.compare.checks import differing_fields
from meds_lab.compare.significance import sign_flip_p
from meds_rl.evaluation.paired import NOISE

MEASURES = {
    "test hard": ["exact pass@k", "pass@1"],
    "train hard": ["pass@1"],
    "test easy": ["pass@1"],
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", type=Path, nargs="+", help="cells.parquet of meds-lab compare")
    parser.add_argument("--method", default="recommended", help="is compared with all others (default: recommended)")
    parser.add_argument("--only", nargs="*", metavar="CHECKPOINT", help="use only these (default: all)")
    parser.add_argument("--without", metavar="CHECKPOINT", help="leave it out in the last column (default: the best)")
    parser.add_argument("--models", action="store_true", help="units are the plain models, not the checkpoints")
    parsed = parser.parse_args(arguments)
    cells = pd.concat([pd.read_parquet(file) for file in parsed.cells], ignore_index=True)
    cells = cells[(cells["when"] == "after") & cells["group"].isin(MEASURES)]
    checkpoints = sorted(set(cells["checkpoint"]))
    if not checkpoints:
        parser.error(f"no cell has a group of {', '.join(MEASURES)}")
    for name in [*(parsed.only or []), *([parsed.without] if parsed.without else [])]:
        if name not in checkpoints:
            parser.error(f"no cell is of checkpoint {name}; there are {', '.join(checkpoints)}")
    if parsed.only is not None:
        cells = cells[cells["checkpoint"].isin(parsed.only)]
    if parsed.method not in set(cells["method"]):
        parser.error(f"no cell is of {parsed.method}; there are {', '.join(sorted(set(cells['method'])))}")
    try:
        cells = each_once(cells)
    except ValueError as error:
        parser.error(str(error))
    if parsed.models:
        cells = cells.assign(checkpoint=cells["checkpoint"].str.extract(r"(\d+)$", expand=False))
    print(f"{parsed.method} minus each method; checkpoints: {', '.join(sorted(set(cells['checkpoint'])))}.\n")
    print(
        "| group | measure | method | its mean | checkpoints | difference | 95 % interval | > 0 | p | "
        f"without {parsed.without or 'the best'} |"
    )
    print("| :-- | :-- | :-- | --: | --: | --: | --: | --: | --: | --: |")
    for group, measures in MEASURES.items():
        for measure in measures:
            of_group = cells[cells["group"] == group]
            table = of_group.pivot_table(index=["checkpoint", "seed"], columns="method", values=measure)
            for method in table.columns.drop(parsed.method, errors="ignore"):
                pairs = table[[method, parsed.method]].dropna()
                if len(pairs):
                    print(f"| {group} | {measure} | {line(method, pairs, parsed.method, parsed.without)} |")
    print(f"\n{by_checkpoint(cells[cells['group'] == 'test hard'])}")
    return 0


def by_checkpoint(cells: pd.DataFrame) -> str:
    """Exact pass@k of each method at each checkpoint, as a table in Markdown: the mean, and each seed's."""
    seeds = cells.groupby(["method", "checkpoint", "seed"])["exact pass@k"].mean().groupby(["method", "checkpoint"])
    words = seeds.agg(lambda values: f"{values.mean():.3f} ({', '.join(f'{value:.3f}' for value in values)})")
    table = words.unstack("checkpoint").fillna("")
    rows = [table.columns, ["--:"] * len(table.columns), *table.to_numpy()]
    names = ["exact pass@k", ":--", *table.index]
    return "\n".join(f"| {name} | {' | '.join(row)} |" for name, row in zip(names, rows, strict=True))


def each_once(cells: pd.DataFrame) -> pd.DataFrame:
    """Each cell and group once.

    Raises:
        ValueError: cells of different budgets, or two different ones of one name.
    """
    recipes = {given: json.loads(given) for given in dict.fromkeys(cells["given"])}
    for field, values in differing_fields(recipes, ["model_name_or_path"]).items():
        listed = " and ".join(dict.fromkeys(map(repr, values.values())))
        raise ValueError(f"cells of different budgets are not put together: {field} is {listed}")
    name = ["checkpoint", "seed", "method", "group"]
    figures = ["pass@1", "exact pass@k"]
    cells = cells.drop_duplicates([*name, *figures])
    twice = cells[cells.duplicated(name)]
    if len(twice):
        checkpoint, seed, method, _ = twice.iloc[0][name]
        raise ValueError(f"{checkpoint}, seed {seed}, {method} is there twice, with different figures")
    return cells


def line(method: str, pairs: pd.DataFrame, than: str, without: str | None) -> str:
    """The rest of a row of the table."""
    by_checkpoint = (pairs[than] - pairs[method]).groupby(level="checkpoint").mean()
    more = by_checkpoint.to_numpy()
    own = pairs[method].groupby(level="checkpoint").mean().mean()
    low, high = interval(more)
    p = sign_flip_p(more, np.random.default_rng(0))
    left = np.sort(more)[:-1] if without is None else by_checkpoint.drop(without, errors="ignore").to_numpy()
    rest = f"{left.mean():+.3f}" if len(left) else ""
    return (
        f"{method} | {own:.3f} | {len(more)} | {more.mean():+.3f} | [{low:+.3f}, {high:+.3f}] | "
        f"{(more > NOISE).sum()} | {p:.3f} | {rest}"
    )


def interval(values: np.ndarray) -> tuple[float, float]:
    """Student's 95 % interval of the mean of C values; NaN for one."""
    if len(values) < 2:
        return np.nan, np.nan
    half = t.ppf(0.975, len(values) - 1) * sem(values)
    return float(values.mean() - half), float(values.mean() + half)


if __name__ == "__main__":
    raise SystemExit(main())
