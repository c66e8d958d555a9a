"""Sample a model on a task or benchmark, grade, and report pass@k and maj@k with intervals."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meds_rl.evaluation.evaluate import EvaluationSettings

FORMATS = ("lm-eval", "lighteval")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to evaluate, on what, how, and where the results go."""
    add = parser.add_argument
    add(
        "model",
        metavar="MODEL",
        help="hub name, folder, pocket, pocket:SEED, pocket-stuck (-guess, -scatter), smollm2, or a run folder",
    )
    add("--task", metavar="NAME", help="pocket, reasoning_gym:<dataset> or math; default: the run's own")
    add("--task-options", type=_json_mapping, metavar="JSON", help="options of the task")
    add(
        "--benchmark",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="aime24, aime25, amc23, math500, ...",
    )
    add("--data", metavar="FILE", help="local copy of the benchmark: a file, or a folder of them")
    add("--samples", type=int, metavar="N", help="completions of each problem (default: the run's, else 16)")
    add(
        "--k",
        type=int,
        nargs="+",
        action="extend",
        metavar="K",
        help="k in the table (default: powers of two and N)",
    )
    add("--temperature", type=float, help="default: the run's, else 1")
    add("--top-p", type=float, help="default: the run's, else 1")
    add("--max-new-tokens", type=int, metavar="N", help="longest completion (default: the run's, else 3072)")
    add("--seed", type=int, default=0, help="of sampling and bootstrap (default: 0)")
    add("--batch-size", type=int, metavar="N", help="completions sampled at once (default: 64; vLLM: 1024)")
    add("--problems", type=int, metavar="N", help="at most N problems of each split or benchmark")
    add("--by", metavar="COLUMN", help="column of the task that the figures are split by")
    add("--engine", choices=("auto", "transformers", "vllm"), default="auto", help="what samples")
    add("--fingerprint", metavar="NAME", help="also keep layer_logits, pooled_logits, answer_states, ...")
    add("--fingerprint-layers", type=int, metavar="N", help="as in a recipe (default: the run's)")
    add("--output", type=Path, metavar="DIR", help="default: runs/eval/MODEL-BENCHMARK, or ...-2, ...")
    add("--resume", action="store_true", help="go on with what a stopped evaluation left in DIR")
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
    from meds_rl.cli.quiet import quieten

    quieten()
    from meds_rl.cli.eval_tables import CAPTION, at_k_tables, heading, page, single_table
    from meds_rl.evaluation.evaluate import evaluate

    settings = _settings(args)
    _check_k(args.k, settings)
    result = evaluate(settings, args.output, resume=args.resume)
    out = page()
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
        out.print(note)
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


def _check_k(ks: list[int] | None, settings: EvaluationSettings) -> None:
    """Before anything is sampled."""
    from meds_rl.evaluation.evaluate import resolve
    from meds_rl.evaluation.figures import shown_ks
    from meds_rl.evaluation.problems import find_subject

    resolved = resolve(settings, find_subject(settings.model))
    shown_ks(resolved.samples or 1, ks)


def _export(name: str, folder: Path) -> str:
    from meds_rl.evaluation.export import write_lighteval, write_lm_eval

    paths = write_lm_eval(folder) if name == "lm-eval" else write_lighteval(folder)
    return str(paths[0].parent)
