"""Train the pocket model with DAPO and with MEDS, on the same prompts and seeds, and compare the two."""

import argparse

METHODS = ("dapo", "meds")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to put the runs, and how long to train."""
    parser.add_argument("--recipe", default="recipes/pocket.yaml", help="the recipe of both runs")
    parser.add_argument("--output", default="runs/demo", metavar="DIR", help="folder of the two run folders")
    parser.add_argument("--steps", type=int, metavar="N", help="optimiser steps instead of the recipe's")
    parser.add_argument("--seed", type=int, default=0, help="seed of both runs")


def run(args: argparse.Namespace) -> int:
    """Train both, print the comparison, say where everything is."""
    from pathlib import Path

    from meds_rl.cli.quiet import quieten

    quieten()
    from meds_rl.cli.tables import console, figures_table
    from meds_rl.engines.trl.recipe import load_recipe
    from meds_rl.engines.trl.run import train

    out = console()
    steps = [] if args.steps is None else ["--max_steps", str(args.steps)]
    results = {}
    for method in METHODS:
        folder = str(Path(args.output) / method)
        overrides = ["--method", method, "--seed", str(args.seed), "--output_dir", folder, *steps]
        results[method] = train(load_recipe(args.recipe, overrides))
    groups = {
        after.group: [before.summary, *(_of_group(result.after, after.group) for result in results.values())]
        for before, after in zip(results["dapo"].before, results["dapo"].after, strict=True)
    }
    labels = dict.fromkeys(["before", *(f"after {method}" for method in METHODS)])
    out.print(figures_table("One seed of a small task: look, do not conclude", labels, groups))
    for method, result in results.items():
        out.print(f"{method}: {result.folder}", soft_wrap=True)
    out.print(f"What MEDS remembered: meds inspect {results['meds'].folder}", soft_wrap=True)
    return 0


def _of_group(evaluations: list, group: str):  # type: ignore[no-untyped-def, type-arg]
    return next(evaluation.summary for evaluation in evaluations if evaluation.group == group)
