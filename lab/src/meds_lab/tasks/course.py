"""How a grid's policies went, from what they wrote: do penalties move the habit, and do right answers come?

    meds-lab compare lab/recipes/compare-small.yaml --jobs 2
    python -m meds_lab.tasks.course runs/compare-small            # of finished cells of a grid of the pocket task

Of all completions of hard problems in training, by checkpoint and method, means over seeds, in sixths of the training:

- right: share of completions that are right.
- none right: share of groups without a right answer, those that DAPO drops and the memory shapes.
- habit: share of completions that work in the way that was most frequent in the first sixth.
- new and of no planted way: of the wrong completions that are like nothing remembered, so that they cost nothing,
  the share whose working follows no planted way; nan where the method has no memory.
- push: mean of the absolute advantages, before any entropy term: how strongly these groups move the policy.

With --begins .3 instead, for each training, after how many updates such a share of the completions of hard problems is
right for the first time, as a mean of five updates with hard problems in their batch; - where it never is.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from meds_rl.shaping import Reason
from meds_rl.tasks.pocket.problems import pool
from meds_rl.tasks.pocket.reading import OTHER

PARTS = 6


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", type=Path, help="folder of a grid: TASK/CHECKPOINT/seed-N/METHOD")
    parser.add_argument("--begins", type=float, metavar="SHARE", help="when so many are right, by training, instead")
    parsed = parser.parse_args(arguments)
    found = sorted(path.parent for path in parsed.grid.glob("*/*/seed-*/*/rollouts"))
    runs = [run for run in found if (run / "evaluation" / "after.parquet").is_file()]
    if not runs:
        parser.error(
            f"{parsed.grid} has no finished runs with rollouts (TASK/CHECKPOINT/seed-N/METHOD/rollouts); "
            f"{len(found)} are not finished"
        )
    hard = {problem.prompt for problem in pool("hard")}
    cells: dict[tuple[str, str, str], list[pd.DataFrame]] = {}
    for run in runs:
        method, checkpoint, task = run.name, run.parent.parent.name, run.parent.parent.parent.name
        rows = read(run, hard)
        if rows.empty:
            parser.error(f"{run} has no hard problem of the pocket task, of which the course is")
        cells.setdefault((task, checkpoint, method), []).append(rows)
    if parsed.begins is not None:
        print(f"| task | checkpoint | method | updates until {parsed.begins:g} are right, by seed |")
        print("| :-- | :-- | :-- | --: |")
        for names, frames in cells.items():
            steps = [begins(rows, parsed.begins) for rows in frames]
            listed = ", ".join("-" if step is None else str(step) for step in steps)
            print(f"| {' | '.join(names)} | {listed} |")
        return 0
    print(
        "| task | checkpoint | method | seeds | measure | " + " | ".join(f"{n}/6" for n in range(1, PARTS + 1)) + " |"
    )
    print("| :-- | :-- | :-- | --: | :-- |" + " --: |" * PARTS)
    for (task, checkpoint, method), frames in cells.items():
        for measure, values in course(frames).items():
            numbers = " | ".join(f"{value:.3f}" for value in values)
            print(f"| {task} | {checkpoint} | {method} | {len(frames)} | {measure} | {numbers} |")
    return 0


def read(run: Path, hard: set[str]) -> pd.DataFrame:
    """A run's completions of hard problems, one row each, with the `part` of the training that they are of."""
    columns = ["step", "prompt", "is_correct", "strategy", "advantage", "reason"]
    rows = pd.concat([pd.read_parquet(file, columns=columns) for file in sorted(run.glob("rollouts/*.parquet"))])
    rows["part"] = (rows["step"] * PARTS // (rows["step"].max() + 1)).astype(int)
    return rows[rows["prompt"].isin(hard)]


def begins(rows: pd.DataFrame, share: float) -> int | None:
    """Updates done when the mean over five batches is at least `share`; None where it never is."""
    right = rows.groupby("step")["is_correct"].mean().rolling(5).mean()
    there = right[right >= share]
    return int(there.index[0]) if len(there) else None


def course(frames: Sequence[pd.DataFrame]) -> dict[str, list[float]]:
    """Each measure over the parts of the training, a mean over seeds."""
    courses = []
    for rows in frames:
        habit = rows.loc[rows["part"] == rows["part"].min(), "strategy"].mode()[0]
        groups = rows.groupby(["part", "step", "prompt"])["is_correct"].any()
        courses.append(
            pd.DataFrame(
                {
                    "right": rows.groupby("part")["is_correct"].mean(),
                    "none right": 1 - groups.groupby("part").mean(),
                    "habit": rows["strategy"].eq(habit).groupby(rows["part"]).mean(),
                    "new and of no planted way": rows["strategy"]
                    .eq(OTHER)
                    .where(rows["reason"] == Reason.UNSEEN.value)
                    .groupby(rows["part"])
                    .mean(),
                    "push": rows["advantage"].abs().groupby(rows["part"]).mean(),
                }
            ).reindex(range(PARTS))
        )
    mean = sum(courses[1:], courses[0]) / len(courses)
    return {str(name): values.tolist() for name, values in mean.items()}


if __name__ == "__main__":
    raise SystemExit(main())
