"""Read the workings in a grid's samples with the reader of today: what was trained stays as it is.

    meds compare recipes/compare-longer.yaml --jobs 2
    python benchmarks/reread.py runs/compare-longer             # of finished cells of a grid of the pocket task
    meds compare recipes/compare-longer.yaml --table

`strategy` and `is_exact` are written anew into each finished cell's samples, before and after training; answers, and
what is right, are not looked at. It prints, for each cell that changes, how many of its samples after training follow
no planted way, and how many are right by a right working, as they were read and as they are now. For cells that were
trained when the reader understood fewer wordings (`meds_rl.tasks.pocket.reading`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from meds_rl.rollouts.samples import read_samples, step_of, write_samples
from meds_rl.tasks.pocket.problems import pool
from meds_rl.tasks.pocket.reading import OTHER, strategy
from meds_rl.tasks.pocket.strategies import CORRECT


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, write, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("grid", type=Path, help="folder of a grid: TASK/CHECKPOINT/seed-N/METHOD")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    parsed = parser.parse_args(arguments)
    files = sorted(parsed.grid.glob("*/*/seed-*/*/evaluation/after.parquet"))
    if not files:
        parser.error(f"{parsed.grid} has no finished cells (TASK/CHECKPOINT/seed-N/METHOD/evaluation)")
    ours = {problem.prompt for difficulty in ("easy", "hard") for problem in pool(difficulty)}
    print("| cell | no planted way: was | is | right by right working: was | is |")
    print("| :-- | --: | --: | --: | --: |")
    changed = 0
    for file in files:
        for path in (file.with_name("before.parquet"), file):
            old = read_samples(path)
            other = set(old["prompt"].to_pylist()) - ours
            if other:
                parser.error(f"{path} has problems that are not of the pocket task: {min(other)!r}")
            new = reread(old)
            if new.equals(old):
                continue
            if not parsed.dry_run:
                write_samples(path, new, step=step_of(path))
            if path is file:
                changed += 1
                name = file.parents[1].relative_to(parsed.grid)
                print(f"| {name} | {' | '.join(f'{was} | {now}' for was, now in counts(old, new))} |")
    print(f"\n{changed} of {len(files)} cells changed{', nothing was written' if parsed.dry_run else ''}.")
    return 0


def reread(table: pa.Table) -> pa.Table:
    """Samples with `strategy` and `is_exact` of today's reader."""
    rows = zip(
        *(table[name].to_pylist() for name in ("completion", "prompt", "is_correct")),
        strict=True,
    )
    read = [(strategy(completion, {"prompt": prompt}), right) for completion, prompt, right in rows]
    columns = {"strategy": [name for name, _ in read], "is_exact": [r and n == CORRECT for n, r in read]}
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        field = table.schema.field(place)
        table = table.set_column(place, field, pa.array(values, field.type))
    return table


def counts(old: pa.Table, new: pa.Table) -> list[tuple[int, int]]:
    """Samples of no planted way, and right by a right working: as they were read, and now."""
    return [
        (column(old).count(value), column(new).count(value))
        for column, value in (
            (lambda table: table["strategy"].to_pylist(), OTHER),
            (lambda table: table["is_exact"].to_pylist(), True),
        )
    ]


if __name__ == "__main__":
    raise SystemExit(main())
