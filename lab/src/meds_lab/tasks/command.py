"""Train a pocket model from random weights, or sample one and print what it does."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from meds_lab.tasks.figures import Figures

DESCRIPTION = """\
Train a pocket model from random weights (--output DIR), or sample a model and print what it does (--check): the
one just built, that of a folder (--model DIR), or the one with this seed in lab/checkpoints. The defaults build what is
there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `meds-lab pocket`."""
    parser.description = DESCRIPTION
    parser.add_argument("--output", type=Path, metavar="DIR", help="build a model and write it here; must not exist")
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="of weights and texts (default: 0; kept: plain 0, 1; stuck and scatter 0, 1, 5 to 8; guess 0)",
    )
    parser.add_argument(
        "--variant",
        default="plain",
        help="plain (default); stuck: most errors are one habit; guess, scatter: the same, and "
        "wrong workings end with a guess, one of the problem's numbers or one of 900",
    )
    parser.add_argument(
        "--base",
        type=Path,
        metavar="DIR",
        help="with --variant: the plain model to continue from (default: the one with this seed)",
    )
    # WarmupConfig has the defaults.
    parser.add_argument("--steps", type=int, help="optimiser steps")
    parser.add_argument("--batch-size", type=int, help="texts a step")
    parser.add_argument("--learning-rate", type=float, help="the highest one of the schedule")
    parser.add_argument("--threads", type=int, help="torch's threads; another number rounds differently")
    parser.add_argument("--check", action="store_true", help="sample the model and print a table")
    parser.add_argument("--model", type=Path, metavar="DIR", help="with --check: a model to look at")
    parser.add_argument("--samples", type=int, default=128, metavar="N", help="a problem (default: 128)")
    parser.add_argument("--problems", type=int, default=32, metavar="N", help="of each kind (default: 32)")


def run(args: argparse.Namespace) -> int:
    """Build, check, or both. Bad input raises (ValueError or an OSError) before anything is computed."""
    _check_arguments(args)
    from meds_rl.cli.tables import quieten

    quieten()
    if args.output is not None:
        _build(args)
    if args.check:
        _show(args)
    return 0


def _check_arguments(args: argparse.Namespace) -> None:
    from meds_lab.tasks.checkpoints import checkpoint_path
    from meds_rl.tasks.pocket.problems import RESERVED

    if args.base is not None and (args.output is None or args.variant == "plain"):
        raise ValueError("--base names what a variant continues from: it goes with --output and --variant")
    if args.base is not None and not (args.base / "config.json").is_file():
        raise FileNotFoundError(f"--base {args.base} is not a folder with a model: no config.json")
    if args.model is not None and (args.output is not None or not args.check):
        raise ValueError("--model names a model to look at: it goes with --check and without --output")
    if args.output is None and not args.check:
        raise ValueError("nothing to do: give --output DIR to build a model, --check to look at one, or both")
    if args.output is not None and args.output.exists():
        raise FileExistsError(f"--output {args.output} exists; nothing is overwritten")
    if args.samples < 1:
        raise ValueError(f"--samples must be at least 1, got {args.samples}")
    if not 1 <= args.problems <= RESERVED:
        raise ValueError(f"--problems must lie in 1 to {RESERVED}, got {args.problems}")
    if args.model is not None and not (args.model / "config.json").is_file():
        raise FileNotFoundError(f"--model {args.model} is not a folder with a model: no config.json")
    if args.output is None and args.model is None:
        checkpoint_path(args.seed, args.variant)


def _build(args: argparse.Namespace) -> None:
    from tqdm.auto import tqdm

    from meds_lab.tasks.checkpoints import save_half
    from meds_lab.tasks.warmup import Warmup, config_of

    given = {
        "steps": args.steps,
        "batch_size": args.batch_size,
        "learning_rate": args.learning_rate,
        "threads": args.threads,
    }
    config = replace(
        config_of(args.variant, args.seed),
        **{name: value for name, value in given.items() if value is not None},
    )
    warmup = Warmup(config, args.base)
    with tqdm(warmup, total=config.steps, desc="warm-up", unit="step") as bar:
        for loss in bar:
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
    save_half(warmup.model, warmup.tokenizer, args.output)
    print(f"Written: {args.output}")


def _show(args: argparse.Namespace) -> None:
    from meds_lab.tasks.checkpoints import checkpoint_path
    from meds_rl.cli.tables import console
    from meds_rl.tasks.pocket.model import load_folder

    folder = args.output or args.model or checkpoint_path(args.seed, args.variant)
    model, tokenizer = load_folder(folder)
    figures = {kind: sample_figures(model, tokenizer, kind, args.problems, args.samples) for kind in ("hard", "easy")}
    console().print(_table(figures, args.samples))


def sample_figures(
    model: Any, tokenizer: Any, kind: str, num_problems: int, num_samples: int, *, show_progress: bool = True
) -> Figures:
    """Sample a model on the first problems of a kind, which the warm-up never saw, and count.

    Args:
        model: a pocket model.
        tokenizer: its tokenizer.
        kind: "hard" or "easy".
        num_problems: how many problems.
        num_samples: completions of each, at temperature 1.
        show_progress: whether a progress bar is shown.
    """
    from meds_lab.sampling import sample_completions
    from meds_lab.tasks.checkpoints import MAX_COMPLETION_LENGTH
    from meds_lab.tasks.figures import Figures
    from meds_rl.tasks.pocket.problems import pool
    from meds_rl.tasks.pocket.strategies import CORRECT, answers

    problems = pool(kind)[:num_problems]
    completions = sample_completions(
        model,
        tokenizer,
        [problem.prompt for problem in problems],
        num_samples=num_samples,
        max_new_tokens=MAX_COMPLETION_LENGTH,
        batch_size=512,
        description=f"{kind} problems" if show_progress else None,
    )
    figures = Figures()
    for problem, texts in zip(problems, completions, strict=True):
        row = {"prompt": problem.prompt, "answer": str(answers(problem)[CORRECT])}
        figures.add(row, [completion.text for completion in texts])
    return figures


def _table(figures: dict[str, Figures], num_samples: int) -> Table:
    from rich.table import Table

    from meds_rl.evaluation.pass_at_k import pass_at_k
    from meds_rl.tasks.pocket.reading import OTHER, SLIP
    from meds_rl.tasks.pocket.strategies import STRATEGIES

    table = Table(title="What the model does at temperature 1", title_justify="left")
    table.add_column("")
    for kind, counted in figures.items():
        table.add_column(f"{kind} ({len(counted.right)} x {num_samples})", justify="right")
    every = list(figures.values())
    for k in (k for k in (1, 16, 64) if k <= num_samples):
        rates = [sum(float(pass_at_k(num_samples, c, k)) for c in f.right) / len(f.right) for f in every]
        table.add_row(f"pass@{k}", *(f"{rate:.3f}" for rate in rates))
    table.add_section()
    for name in (*STRATEGIES, SLIP, OTHER):
        table.add_row(name, *(f"{f.share(name):.1%}" for f in every))
    table.add_section()
    table.add_row("wrong results, of single steps", *(f"{f.slip_rate:.1%}" for f in every))
    table.add_row("no answer", *(f"{f.no_answer_share:.1%}" for f in every))
    table.add_row("wrong working, of right answers", *(f"{f.lucky_share:.1%}" for f in every))
    return table
