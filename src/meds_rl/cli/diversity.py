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
    from meds_rl.cli.diversity_tables import Annotator
    from meds_rl.evaluation.diversity.measure import Compared
    from meds_rl.evaluation.diversity.read import Completions

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
    """Measure each path and print the tables, then ask the annotator if there is one; write the JSON after each."""
    annotator = _annotator(args)
    from meds_rl.cli.diversity_tables import shown_name
    from meds_rl.cli.tables import console
    from meds_rl.evaluation.diversity.read import read_completions

    if args.json is not None:
        _check_target(args.json)
    if annotator is not None:
        annotator.check_caches(args.paths)
    found = [(path, read_completions(path)) for path in args.paths]
    out = console()
    results: list[dict[str, Any]] = []
    for path, completions in found:
        results.append({"path": path, **_measure(path, completions, args, out)})
        _write(args, results)
    if annotator is not None:
        for (path, completions), result in zip(found, results, strict=True):
            _ask(path, completions, args, annotator, out, result)
            _write(args, results)
    if args.json is not None:
        out.print(f"All figures are in {shown_name(str(args.json))}", soft_wrap=True)
    return 0


def _measure(path: str, completions: Completions, args: argparse.Namespace, out: Any) -> dict[str, Any]:
    import numpy as np

    from meds_rl.cli.diversity_tables import agreement_table, diversity_table, notes, shown_name
    from meds_rl.evaluation.diversity.measure import agreements, diversity, parts_of
    from meds_rl.labels import NO_ANSWER

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
    out.print(diversity_table(f"{shown_name(path)}: {args.of} completions", found))
    for note in notes(completions):
        out.print(note, soft_wrap=True)
    labels: dict[str, list[Any]] = {"strategy": list(completions.strategies)}
    # No answer is an answer; None would be left out as a missing label.
    labels["answer"] = [NO_ANSWER if answer is None else answer for answer in completions.answers]
    compared = agreements(completions, parts, labels, rng=rng, noise=args.noise)
    if compared:
        out.print(agreement_table(compared))
    return {
        "population": None if completions.population is None else completions.population._asdict(),
        "left_out": {
            what: {"count": len(rows), "first_rows": list(rows[:5])}
            for what, rows in completions.left_out.items()
        },
        "parts": {name: one.to_dict() for name, one in found.items()},
        "agreement": _agreement(compared),
    }


def _ask(
    path: str,
    completions: Completions,
    args: argparse.Namespace,
    annotator: Annotator,
    out: Any,
    result: dict[str, Any],
) -> None:
    import numpy as np

    from meds_rl.cli.diversity_tables import agreement_table
    from meds_rl.evaluation.diversity.measure import agreements, parts_of

    parts = parts_of(completions, args.bins)
    annotation = annotator.annotate(path, completions, parts, args.of, out)
    result["annotator"] = annotation.result
    rng = np.random.default_rng(args.seed)
    compared = agreements(completions, parts, {"annotator": annotation.labels}, rng=rng, noise=args.noise)
    result["agreement"] |= _agreement(compared)
    out.print(annotation.score_table())
    out.print(annotation.table())
    if compared:
        out.print(agreement_table(compared))


def _agreement(compared: dict[str, dict[str, Compared]]) -> dict[str, Any]:
    return {
        kind: {
            name: {
                **one.found.agreement._asdict(),
                "completions": one.found.num_completions,
                "prompts": one.found.num_prompts,
                "completions_left_out": one.found.num_left_out,
                "by_chance": one.chance.agreement._asdict(),
            }
            for name, one in by_part.items()
        }
        for kind, by_part in compared.items()
    }


def _write(args: argparse.Namespace, results: list[dict[str, Any]]) -> None:
    if args.json is None:
        return
    from meds_rl.rollouts.folder import write_atomically

    data = {"schema_version": SCHEMA_VERSION, "settings": _settings(args), "results": results}
    # ASCII: names of files need not be texts.
    write_atomically(args.json, (json.dumps(data, indent=2, allow_nan=False) + "\n").encode())


def _check_target(path: Path) -> None:
    """Before anything is measured or asked."""
    from meds_rl.rollouts.folder import require_writable

    if path.is_dir():
        raise IsADirectoryError(f"--json {path} is a folder; name a file.")
    require_writable(path.parent, f"--json {path} cannot be written")


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
    from meds_rl.cli.diversity_tables import make_annotator

    return make_annotator(args)


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    names = ("of", "bins", "per_problem", "noise", "seed")
    return {name: getattr(args, name) for name in names}


def _mapping(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"must be a mapping, got {text!r}")
    return value


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is none of its numbers")
