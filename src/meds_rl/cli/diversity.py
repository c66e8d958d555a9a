"""Measure how varied completions are, by many measures, and how clusters of errors agree with labels.

PATH is a run folder (its rollouts, cut into parts of training), a folder that `meds eval` wrote, or a file of samples.
Nothing leaves this machine unless --annotate and --endpoint are given.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meds_rl.cli.diversity_annotation import Annotator
    from meds_rl.evaluation.diversity.completions import Completions

SCHEMA_VERSION = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to look at, and the annotator."""
    add = parser.add_argument
    add(
        "paths", nargs="+", metavar="PATH", help="run folder, folder of meds eval, or parquet file of samples"
    )
    add("--of", choices=("wrong", "right", "all"), default="wrong", help="completions to look at (wrong)")
    add("--bins", type=int, default=3, metavar="N", help="parts that a training is cut into (default: 3)")
    add(
        "--per-problem",
        type=int,
        metavar="N",
        help="exactly N completions of each problem, for fair comparison",
    )
    add("--noise", choices=("group", "alone"), default="group", help="completions in no cluster (group)")
    add("--seed", type=int, default=0, help="of what is drawn where there is too much (default: 0)")
    add("--json", type=Path, metavar="FILE", help="also write all figures there")
    ask = parser.add_argument_group("annotator", "a language model that judges the completions").add_argument
    ask("--annotate", action="store_true", help="ask a model; needs --endpoint and --model")
    ask("--endpoint", metavar="URL", help="OpenAI-compatible address, http://127.0.0.1:8000/v1; no default")
    ask("--model", metavar="NAME", help="the model's name there")
    ask(
        "--api-key-env",
        metavar="NAME",
        help="environment variable that holds the API key (default: none is sent)",
    )
    ask("--annotate-problems", type=int, default=20, metavar="N", help="problems scored in each part (20)")
    ask("--annotate-completions", type=int, default=100, metavar="N", help="wrong completions labelled (100)")
    ask(
        "--categories", type=Path, metavar="FILE", help='labels of your own, one "name: what it means" a line'
    )
    ask("--parameters", type=_mapping, metavar="JSON", help='default: {"temperature": 0, "max_tokens": 1024}')
    ask("--concurrency", type=int, default=4, metavar="N", help="requests at a time (default: 4)")
    ask("--timeout", type=float, default=120.0, metavar="SECONDS", help="of one request (default: 120)")
    ask("--attempts", type=int, default=5, metavar="N", help="requests a question at most (default: 5)")
    ask(
        "--cache",
        type=Path,
        metavar="DIR",
        help="replies (default: annotator_cache beside what is looked at)",
    )


def run(args: argparse.Namespace) -> int:
    """Measure each path, print the tables, write the JSON."""
    annotator = _annotator(args)
    from meds_rl.cli.tables import console
    from meds_rl.evaluation.diversity.read import read_completions

    found = [(path, read_completions(path)) for path in args.paths]
    out = console()
    results = []
    for path, completions in found:
        results.append({"path": str(path), **_look_at(path, completions, args, annotator, out)})
    if args.json is not None:
        from meds_rl.runs.folder import write_atomically

        data = {"schema_version": SCHEMA_VERSION, "settings": _settings(args), "results": results}
        write_atomically(args.json, (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode())
        out.print(f"All figures are in {args.json}", soft_wrap=True)
    return 0


def _look_at(
    path: str, completions: Completions, args: argparse.Namespace, annotator: Annotator | None, out: Any
) -> dict[str, Any]:
    import numpy as np

    from meds_rl.cli.diversity_tables import agreement_table, diversity_table
    from meds_rl.evaluation.diversity.measure import diversity
    from meds_rl.evaluation.diversity.parts import agreements, parts_of
    from meds_rl.shaping.labels import NO_ANSWER

    rng = np.random.default_rng(args.seed)
    parts = parts_of(completions, args.bins)
    found = {
        part.name: diversity(
            completions.select(part.rows),
            of=args.of,
            per_problem=args.per_problem,
            rng=rng,
            noise=args.noise,
            description=part.name,
        )
        for part in parts
    }
    result: dict[str, Any] = {"parts": {name: one.to_dict() for name, one in found.items()}}
    labels: dict[str, list[Any]] = {"strategy": list(completions.strategies)}
    # No answer is an answer; None would be left out as a missing label.
    labels["answer"] = [NO_ANSWER if answer is None else answer for answer in completions.answers]
    title = f"{path}: {args.of} completions"
    scores = None
    if annotator is not None:
        annotation = annotator.annotate(path, completions, parts, args.of, out)
        labels["annotator"], scores = annotation.labels, annotation.scores
        result["annotator"] = annotation.result
    out.print(diversity_table(title, found, scores))
    compared = agreements(completions, parts, labels, noise=args.noise)
    if compared:
        out.print(agreement_table(compared))
        result["agreement"] = {
            kind: {
                name: {
                    **one.agreement._asdict(),
                    "completions": one.num_completions,
                    "prompts": one.num_prompts,
                }
                for name, one in by_part.items()
            }
            for kind, by_part in compared.items()
        }
    if annotator is not None:
        out.print(annotation.table())
    return result


def _annotator(args: argparse.Namespace) -> Annotator | None:
    """Refuses half an annotator before anything is read."""
    if not args.annotate:
        if args.endpoint is not None or args.model is not None:
            raise ValueError("--endpoint and --model are of no use without --annotate.")
        return None
    if args.endpoint is None or args.model is None:
        raise ValueError(
            "--annotate needs --endpoint URL and --model NAME: completions are sent nowhere unasked."
        )
    from meds_rl.cli.diversity_annotation import make_annotator

    return make_annotator(args)


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    names = ("of", "bins", "per_problem", "noise", "seed")
    return {name: getattr(args, name) for name in names}


def _mapping(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"must be a mapping, got {text!r}")
    return value
