"""What a grid's trained policies do instead of working right, from the samples of their evaluations.

    meds-lab compare lab/recipes/compare-small.yaml --jobs 2
    python -m meds_lab.tasks.workings runs/compare-small              # of finished cells of a grid of the pocket task

By group of problems and method, shares of all samples, means over checkpoints and seeds:

- right working: every step as it should be.
- another planted way: a planted way of going wrong, or a planted way with a slip in a step.
- none of them: a working that follows no planted way, most of it nonsense.
- no answer: of all samples, whatever the working.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from meds_rl.tasks.pocket.reading import OTHER
from meds_rl.tasks.pocket.strategies import CORRECT


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", type=Path, nargs="+", help="folders of grids: TASK/CHECKPOINT/seed-N/METHOD")
    parser.add_argument("--groups", nargs="+", default=["test hard", "test easy"], metavar="GROUP")
    parsed = parser.parse_args(arguments)
    found: dict[tuple[str, str], list[pd.Series]] = {}
    for grid in parsed.grid:
        for file in sorted(grid.glob("*/*/seed-*/*/evaluation/after.parquet")):
            samples = pd.read_parquet(file, columns=["group", "strategy", "answer"])
            for group in parsed.groups:
                of_group = samples[samples["group"] == group]
                if len(of_group):
                    found.setdefault((group, file.parent.parent.name), []).append(shares(of_group))
    if not found:
        parser.error(f"no finished cell in {', '.join(map(str, parsed.grid))} has samples of {parsed.groups}")
    print("| group | method | cells | right working | another planted way | none of them | no answer |")
    print("| :-- | :-- | --: | --: | --: | --: | --: |")
    for (group, method), cells in sorted(found.items()):
        mean = pd.concat(cells, axis=1).mean(axis=1)
        print(f"| {group} | {method} | {len(cells)} | " + " | ".join(f"{share:.3f}" for share in mean) + " |")
    return 0


def shares(samples: pd.DataFrame) -> pd.Series:
    """The four shares of samples with `strategy` and `answer`, None for no answer."""
    right, none = samples["strategy"] == CORRECT, samples["strategy"] == OTHER
    return pd.Series(
        {
            "right": right.mean(),
            "planted": 1 - right.mean() - none.mean(),
            "none": none.mean(),
            "no answer": samples["answer"].isna().mean(),
        }
    )


if __name__ == "__main__":
    raise SystemExit(main())
