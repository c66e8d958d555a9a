"""Sample a model on a task or benchmark, grade, and report pass@k and maj@k with intervals."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from meds_rl.evaluation.evaluate import EvaluationSettings
    from meds_rl.evaluation.figures import GroupFigures
    from meds_rl.evaluation.intervals import Estimate
    from meds_rl.evaluation.problems import Subject

FORMATS = ("lm-eval", "lighteval")
KINDS = ("pass@k", "exact pass@k", "maj@k")
SINGLE = {
    "no_answer": ("no answer", 3),
    "cut_off": ("cut off", 3),
    "repeated_errors": ("repeated", 3),
    "distinct_wrong": ("distinct", 1),
    "mean_tokens": ("tokens", 1),
}
"""Name of a figure -> heading and decimals."""

CAPTION = (
    "Below each figure: its 95 % bootstrap interval over problems. Exact: right\n"
    "answer and right working. Repeated: wrong answers that were already given to\n"
    "the problem, of all wrong ones. Distinct: different wrong answers a problem.\n"
    "Cut off: at the length limit."
)

FILE_WIDTH = 10_000
"""Columns of a page that is no terminal: nothing is cut there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to evaluate, on what, how, and where the results go."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="hub name, folder, pocket, smollm2, or a run folder")
    add(
        "--task",
        metavar="NAME",
        help="pocket, reasoning_gym:<dataset>, math, code or package.module.function; default: the run's own",
    )
    add("--task-options", type=_json_mapping, metavar="JSON", help="options of the task")
    add(
        "--benchmark",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="aime24, math500, champ, humaneval, ...",
    )
    add(
        "--data",
        metavar="FILE",
        help="local copy of the benchmark, or without one problems of your own: a file, a folder",
    )
    add("--correctness", metavar="FUNCTION", help="import path of the reward function that grades them")
    add("--correct-above", type=float, metavar="X", help="a larger reward is right (default: the run's, else 0.5)")
    add(
        "--answer-marker",
        metavar="MARKER",
        help='how their answers are marked, such as "Answer:" (default: the run\'s)',
    )
    add("--answer-finder", metavar="FUNCTION", help="import path of a function from a text to its answer, instead")
    add("--samples", type=int, metavar="N", help="completions of each problem (default: the run's, else 16)")
    add("--k", type=int, nargs="+", action="extend", metavar="K", help="k in the table (default: powers of two and N)")
    add("--temperature", type=float, help="of sampling (default: the run's, else 1)")
    add("--top-p", type=float, help="of sampling (default: the run's, else 1)")
    add("--max-new-tokens", type=int, metavar="N", help="longest completion (default: the run's, else 3072)")
    add("--seed", type=int, default=0, help="seed of sampling and bootstrap (default: 0)")
    add("--batch-size", type=int, metavar="N", help="completions sampled at once (default: 64; vLLM: 1024)")
    add("--problems", type=int, metavar="N", help="at most N problems of each split or benchmark")
    add("--by", metavar="COLUMN", help="column of the task that the figures are split by")
    add("--engine", choices=("auto", "transformers", "vllm"), default="auto", help="the engine that samples")
    add("--fingerprint", metavar="NAME", help="also keep layer_logits, pooled_logits, answer_states, ...")
    add("--fingerprint-layers", type=int, metavar="N", help="as in a recipe (default: the run's)")
    add("--output", type=Path, metavar="DIR", help="default: runs/eval/MODEL-BENCHMARK, or ...-2, ...")
    add("--resume", action="store_true", help="continue a stopped evaluation in DIR")
    add(
        "--format",
        nargs="+",
        action="extend",
        choices=FORMATS,
        default=[],
        help="also write the files of these harnesses",
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the table, say where everything is."""
    from meds_rl.cli.tables import quieten

    quieten()
    from meds_rl.evaluation.evaluate import evaluate
    from meds_rl.evaluation.problems import find_subject
    from meds_rl.report.text import one_line

    settings, out = _settings(args), page()
    subject = find_subject(settings.model)
    _check_k(args.k, settings, subject)
    if subject.note:
        out.print(one_line(subject.note), soft_wrap=True, markup=False)
    result = evaluate(settings, args.output, resume=args.resume)
    for group in result.groups:
        out.print(heading(group), style="bold")
        for table in at_k_tables(group, out, args.k):
            out.print(table)
    out.print("All samples", style="bold")
    out.print(single_table(result.groups))
    out.print(CAPTION, style="dim")
    if result.num_hung:
        out.print(f"{result.num_hung} completions could not be graded in time; they count as wrong.")
    for note in result.notes:
        out.print(note, soft_wrap=True, markup=False)
    for name in args.format:
        out.print(f"For {name}: {_export(name, result.folder)}", soft_wrap=True)
    out.print(f"Samples and results are in {result.folder} ({result.seconds:.1f} s)", soft_wrap=True)
    return 0


def _json_mapping(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"must be a mapping, got {text!r}")
    return value


def _settings(args: argparse.Namespace) -> EvaluationSettings:
    from meds_rl.evaluation.evaluate import EvaluationSettings

    return EvaluationSettings(
        model=args.model,
        task=args.task,
        task_options=args.task_options,
        benchmarks=tuple(args.benchmark),
        data=args.data,
        correctness=args.correctness,
        correct_above=args.correct_above,
        answer_marker=args.answer_marker,
        answer_finder=args.answer_finder,
        samples=args.samples,
        temperature=args.temperature,
        top_p=args.top_p,
        max_new_tokens=args.max_new_tokens,
        seed=args.seed,
        batch_size=args.batch_size,
        problems=args.problems,
        by=args.by,
        engine=args.engine,
        fingerprint=args.fingerprint,
        fingerprint_layers=args.fingerprint_layers,
    )


def _check_k(ks: list[int] | None, settings: EvaluationSettings, subject: Subject) -> None:
    """Before anything is sampled."""
    from meds_rl.evaluation.evaluate import resolve
    from meds_rl.evaluation.figures import shown_ks

    resolved = resolve(settings, subject)
    shown_ks(resolved.samples or 1, ks)


def _export(name: str, folder: Path) -> str:
    from meds_rl.evaluation.export import write_lighteval, write_lm_eval

    paths = write_lm_eval(folder) if name == "lm-eval" else write_lighteval(folder)
    return str(paths[0].parent)


def page() -> Console:
    """The console; where its output goes to a file or another program, wide enough for every table."""
    from meds_rl.cli.tables import console

    out = console()
    if not out.is_terminal:
        out.width = FILE_WIDTH
    return out


def heading(group: GroupFigures) -> str:
    """The line above a group's table."""
    problems = "1 problem" if group.num_problems == 1 else f"{group.num_problems} problems"
    return f"{group.benchmark}, {group.group}: {problems} x {group.num_samples} samples"


def at_k_tables(group: GroupFigures, out: Console, ks: Sequence[int] | None = None) -> list[Table]:
    """What depends on k, for one group of problems: a column for each k, the interval below each figure.

    Where the columns do not fit side by side on the console, there are several tables, one below the other.
    """
    from meds_rl.evaluation.figures import shown_ks

    left = shown_ks(group.num_samples, ks)
    tables = []
    while left:
        fitting = next(
            (n for n in range(len(left), 1, -1) if _width(_at_k_table(group, left[:n]), out) <= out.width), 1
        )
        tables.append(_at_k_table(group, left[:fitting]))
        left = left[fitting:]
    return tables


def _width(table: Table, out: Console) -> int:
    return out.measure(table, options=out.options.update(width=FILE_WIDTH)).maximum


def _at_k_table(group: GroupFigures, ks: Sequence[int]) -> Table:
    from meds_rl.cli.tables import plain_table

    table = plain_table()
    table.add_column("k", no_wrap=True)
    for k in ks:
        table.add_column(str(k), justify="right", no_wrap=True)
    for kind in KINDS:
        if kind in group.at_k:
            table.add_row(kind, *(_cell(group.at_k[kind][k - 1], 3) for k in ks))
    return table


def single_table(groups: Sequence[GroupFigures]) -> Table:
    """What does not depend on k: a row for each group."""
    from meds_rl.cli.tables import plain_table

    table = plain_table()
    table.add_column("", max_width=24, overflow="fold")
    for title, _ in SINGLE.values():
        table.add_column(title, justify="right", no_wrap=True)
    for group in groups:
        cells = (
            _cell(group.figures[name], decimals) if name in group.figures else "-"
            for name, (_, decimals) in SINGLE.items()
        )
        table.add_row(f"{group.benchmark}\n{group.group}", *cells)
    return table


def _cell(estimate: Estimate, decimals: int) -> str:
    """The figure and, on a line of its own, the interval: of shares with two decimals, no zero before the point."""
    value = f"{estimate.value:.{decimals}f}"
    if estimate.low is None or estimate.high is None:
        return value
    ends = (f"{end:.{min(decimals, 2)}f}" for end in (estimate.low, estimate.high))
    return f"{value}\n" + "–".join(end.removeprefix("0") if decimals == 3 else end for end in ends)
