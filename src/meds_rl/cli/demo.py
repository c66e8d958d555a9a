"""Train the pocket model with DAPO and with MEDS, on the same prompts and seeds, and compare the two."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from meds_rl.train.run import RunResult

METHODS = ("dapo", "meds")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to put the runs, and how long to train."""
    parser.add_argument("--recipe", default="recipes/pocket.yaml", help="the recipe of both runs")
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="folder of the two run folders; default runs/demo, or runs/demo-2, ...",
    )
    parser.add_argument("--steps", type=int, metavar="N", help="optimiser steps instead of the recipe's")
    parser.add_argument("--seed", type=int, default=0, help="seed of both runs")


def run(args: argparse.Namespace) -> int:
    """Train both, print the comparison, say where everything is."""
    from meds_rl.cli.tables import quieten

    quieten()
    from meds_rl.cli.tables import console
    from meds_rl.train.recipe import load_recipe
    from meds_rl.train.run import train

    folder = _free_folder(args.output)
    if folder.exists():
        raise FileExistsError(f"{folder} exists; nothing was changed. Name another folder with --output.")
    steps = [] if args.steps is None else ["--max_steps", str(args.steps)]
    out = console()
    recipes = {}
    for method in METHODS:
        given = ["--method", method, "--seed", str(args.seed), "--output_dir", str(folder / method), *steps]
        recipes[method] = load_recipe(args.recipe, given)
    if not recipes["meds"].run.eval_samples:
        raise ValueError(f"{args.recipe} has eval_samples: 0; the demo compares evaluations and needs some.")
    results: dict[str, RunResult] = {}
    for method, recipe in recipes.items():
        out.print(f"\n{method}: {args.recipe}, seed {args.seed}", style="bold")
        results[method] = train(recipe, before=results.get(METHODS[0]))
    table = _comparison(results, args.seed)
    out.print()
    out.print(table)
    for method, result in results.items():
        out.print(f"{method}: {result.folder}", soft_wrap=True)
    out.print(f"What MEDS remembered: meds inspect {results['meds'].folder}", soft_wrap=True)
    _report([result.folder for result in results.values()], folder / "report.html")
    return 0


def _report(runs: list[Path], path: Path) -> None:
    """Write the report of both runs, where its extra is installed."""
    from meds_rl.cli.tables import console

    try:
        from meds_rl.report.data import report_data
        from meds_rl.report.drawing.html import write_page

        write_page(report_data(runs, show_progress=True), path)
    except ImportError as error:
        console().print(f"No report was written: {error}.", soft_wrap=True)
    else:
        console().print(f"Which errors recur, in a browser: {path}", soft_wrap=True)


def _free_folder(given: str | None) -> Path:
    """Nothing that exists is overwritten: a second demo goes beside the first."""
    if given is not None:
        return Path(given)
    folder, number = Path("runs/demo"), 1
    while folder.exists():
        number += 1
        folder = Path(f"runs/demo-{number}")
    return folder


def _comparison(results: Mapping[str, RunResult], seed: int) -> Table:
    from meds_rl.cli.tables import figures_table

    first = next(iter(results.values()))
    groups = {
        before.group: [before.summary]
        + [
            after.summary
            for result in results.values()
            for after in result.after
            if after.group == before.group
        ]
        for before in first.before
    }
    labels = ["before", *(f"after {method}" for method in results)]
    return figures_table(
        f"The pocket task, seed {seed} (one seed of a small task proves nothing)", labels, groups
    )
