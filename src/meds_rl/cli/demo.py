"""Train a small model that is stuck in one error, with DAPO and with MEDS at equal samples, and compare the two.

The two trainings run side by side, one CPU core each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from meds_rl.evaluation.figures import Summary

METHODS = {"dapo": ("--method", "dapo"), "meds": ("--method", "meds", "--preset", "recommended")}
"""Each run and what its recipe is overridden with; all else is equal."""

CAPTION = """\

One starting model and one seed ({seed}). pass@16 here counts right answers. The
lab has more runs and counts exact pass@16, for which the working must be right,
too. On hard problems it is .525 for recommended, the mean over 24 pairs, and
.636 with meds_recall=4. DAPO ran in 8 pairs with one seed: DAPO .247,
recommended .536, recommended with a penalty of 0 .496. See lab/README.md."""
"""Below the table."""

MAPS = 6
"""Maps of the report: fewer than usual, to save time."""

ERROR_LINES = 20
"""Last lines of a run's log that are shown if it fails."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to put the runs, and how long to train."""
    parser.add_argument("--recipe", default="recipes/pocket.yaml", help="the recipe of both runs")
    parser.add_argument(
        "--output", metavar="DIR", help="folder of the two run folders; default runs/demo, or runs/demo-2, ..."
    )
    parser.add_argument("--steps", type=int, metavar="N", help="optimiser steps instead of the recipe's")
    parser.add_argument("--seed", type=int, default=0, help="seed of both runs")


def run(args: argparse.Namespace) -> int:
    """Train both, print the comparison, say where everything is.

    Raises:
        FileExistsError: the output folder exists.
        ChildProcessError: a training failed; the message has the end of its log.
    """
    from meds_rl.cli.tables import console

    folder = _free_folder(args.output)
    if folder.exists():
        raise FileExistsError(f"{folder} exists; nothing was changed. Name another folder with --output.")
    out = console()
    out.print(f"{' and '.join(METHODS)}: {args.recipe}, seed {args.seed}, side by side", style="bold")
    started = time.monotonic()
    runs = {method: folder / method for method in METHODS}
    _train(args, runs)
    table = _comparison(runs, args.seed)
    out.print("No table: the recipe has eval_samples: 0." if table is None else table)
    out.print(f"Trained in {time.monotonic() - started:.0f} s.")
    for method, path in runs.items():
        out.print(f"{method}: {path}", soft_wrap=True)
    out.print(f"What MEDS remembered: meds inspect {runs['meds']}", soft_wrap=True)
    _report(list(runs.values()), folder / "report.html")
    return 0


def _free_folder(given: str | None) -> Path:
    """The folder that was given, or a new one: a second demo does not overwrite the first."""
    if given is not None:
        return Path(given)
    folder, number = Path("runs/demo"), 1
    while folder.exists():
        number += 1
        folder = Path(f"runs/demo-{number}")
    return folder


def _train(args: argparse.Namespace, runs: Mapping[str, Path]) -> None:
    """Run ``meds train`` once for each method, at the same time, and show how far they are."""
    processes = {method: _start(args, method, path) for method, path in runs.items()}
    try:
        _wait(processes, runs)
    finally:
        for process in processes.values():
            if process.poll() is None:
                process.terminate()
                process.wait()
    for method, process in processes.items():
        if process.returncode:
            lines = _log(runs[method]).read_text(encoding="utf-8", errors="replace").splitlines()
            raise ChildProcessError(f"{method} failed:\n" + "\n".join(lines[-ERROR_LINES:]))


def _start(args: argparse.Namespace, method: str, path: Path) -> subprocess.Popen[bytes]:
    steps = [] if args.steps is None else ["--max_steps", str(args.steps)]
    overrides = [*METHODS[method], "--seed", str(args.seed), "--output_dir", str(path), *steps]
    command = [sys.executable, "-m", "meds_rl", "train", args.recipe, *overrides, "--disable_tqdm", "true"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with _log(path).open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}.log")


def _wait(processes: Mapping[str, subprocess.Popen[bytes]], runs: Mapping[str, Path]) -> None:
    """Draw a progress bar for each run until all have ended or one has failed."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from meds_rl.report.recipe import read_recipe
    from meds_rl.rollouts import RunFolder

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    totals: dict[str, int | None] = dict.fromkeys(runs)
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=2) as progress:
        bars = {method: progress.add_task(method, total=None) for method in runs}
        while True:
            states = [process.poll() for process in processes.values()]
            for method, path in runs.items():
                totals[method] = totals[method] or read_recipe(path).max_steps
                step = max((row["step"] for row in RunFolder(path).metrics()), default=0)
                progress.update(bars[method], completed=step, total=totals[method])
            if all(state == 0 for state in states) or any(states):
                return
            time.sleep(1)


def _comparison(runs: Mapping[str, Path], seed: int) -> Table | None:
    """Figures before training and after each method, by group of test problems (of training problems without any)."""
    from meds_rl.cli.tables import figures_table

    before = _summaries(next(iter(runs.values())), "before")
    if not before:
        return None
    after = {method: _summaries(path, "after") for method, path in runs.items()}
    groups = [group for group in before if group.startswith("test")] or list(before)
    rows = {group: [before[group], *(found[group] for found in after.values())] for group in groups}
    labels = ["before", *(f"after {method}" for method in runs)]
    return figures_table("Before and after training", labels, rows, CAPTION.format(seed=seed))


def _summaries(run: Path, when: str) -> dict[str, Summary]:
    from meds_rl.evaluation.figures import Summary
    from meds_rl.rollouts import RunFolder

    path = RunFolder(run).evaluation_path / f"{when}.json"
    figures = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {group: Summary(**values) for group, values in figures.items()}


def _report(runs: list[Path], path: Path) -> None:
    """Write the report of both runs if the packages that it needs are installed."""
    from meds_rl.cli.tables import console

    try:
        from meds_rl.report.data import report_data
        from meds_rl.report.drawing.html import write_page

        write_page(report_data(runs, map_prompts=MAPS, show_progress=True), path)
    except ImportError as error:
        console().print(f"No report was written: {error}.", soft_wrap=True)
    else:
        console().print(f"Which errors recur, in a browser: {path}", soft_wrap=True)
