"""One table of a grid of skills, from the probes of its finished cells.

    python -m meds_lab.skills.collect runs/compare-skills --output lab/evidence/skills.parquet

It has a row for each training, kind of problem and skill (`read_cell`). `meds_lab.skills.inference` reads it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from meds_lab.skills.probe import FILE, PARTS
from meds_lab.skills.skills import SAMPLES

EARLY = PARTS.index(0.25)
"""Index of the probe that `early_logp` compares with the one before training."""

FOUND = 0.05
"""A skill is found if its right rule is more probable than this at the end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the cells and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", type=Path, nargs="+", help="folder of a grid: TASK/CHECKPOINT/seed-N/METHOD")
    parser.add_argument("--output", type=Path, required=True, help="the table, a parquet file")
    parsed = parser.parse_args(arguments)
    tables = [read_cell(path.parent) for grid in parsed.grid for path in sorted(grid.glob(f"*/*/seed-*/*/{FILE}"))]
    tables = [table for table in tables if table is not None]
    if not tables:
        parser.error(f"{', '.join(map(str, parsed.grid))}: no finished cell with {FILE}")
    rows = pd.concat(tables, ignore_index=True)
    rows.to_parquet(parsed.output, index=False)
    cells = rows.drop_duplicates(["checkpoint", "seed", "method"])
    print(f"{parsed.output}: {len(cells)} trainings: {cells['method'].value_counts(sort=False).to_dict()}")
    return 0


def read_cell(folder: Path) -> pd.DataFrame | None:
    """The rows of one cell, one for each kind of problem and skill; None if its training has not ended.

    Args:
        folder: TASK/CHECKPOINT/seed-N/METHOD, with the probes.

    Returns:
        `p_right` and `p_right_0` are means over all problems of the row, at the end and before training. Only rows of
        kind "hard" have `lam`, the expected number of right samples in training if nothing were learned; `early_logp`,
        the change of the mean ln p_right over the first quarter of training, in nats; and `found`.
    """
    probes = pd.read_parquet(folder / FILE)
    steps = sorted(set(probes["step"]))
    if len(steps) < len(PARTS):
        return None
    # On a problem of kind "habit" the habit gives the right answer, too.
    probes["p_right"] += np.where(probes["kind"] == "habit", probes["p_habit"], 0.0)
    by = ["kind", "skill", "rules", "tells"]
    trained = probes[probes["split"] == "train"]
    before, early, after = (probes[probes["step"] == step].groupby(by) for step in (steps[0], steps[EARLY], steps[-1]))
    lam = trained[trained["step"] == steps[0]].groupby(by)["p_right"].mean() * SAMPLES
    table = pd.DataFrame(
        {
            "lam": lam,
            "p_right_0": before["p_right"].mean(),
            "p_right": after["p_right"].mean(),
            "early_logp": early["logp_right"].mean() - before["logp_right"].mean(),
        }
    ).reset_index()
    table["found"] = (table["p_right"] > FOUND).astype(object)
    is_hard = table["kind"] == "hard"
    table.loc[~is_hard, ["lam", "early_logp", "found"]] = None
    checkpoint, seed, method = folder.parent.parent.name, int(folder.parent.name.removeprefix("seed-")), folder.name
    return table.assign(checkpoint=checkpoint, seed=seed, method=method, found=table["found"].astype("boolean"))


if __name__ == "__main__":
    raise SystemExit(main())
