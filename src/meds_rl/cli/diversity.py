"""Measure how varied completions are, by many measures, and how clusters of errors agree with labels.

PATH is a run folder (its rollouts, cut into parts of training), a folder that `meds eval` wrote, a file of samples, or
rollouts that another program saved.
Nothing is sent anywhere unless --annotate and --endpoint are given.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meds_rl.cli.sources import add_read_options, read_options

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from meds_rl.cli.annotator import Annotator
    from meds_rl.evaluation.agreement import Agreement
    from meds_rl.evaluation.diversity.measure import Compared, Diversity
    from meds_rl.evaluation.diversity.read import Completions

SCHEMA_VERSION = 1

ROWS = {
    "answer_entropy": ("answer entropy, nats", ".2f"),
    "answer_entropy_normalized": ("answer entropy, of the most possible", ".2f"),
    "distinct_answers": ("distinct answers a problem", ".1f"),
    "repeated_share": ("share that repeat an answer", ".0%"),
    "distinct_1": ("distinct-1", ".3f"),
    "distinct_2": ("distinct-2", ".3f"),
    "self_bleu": ("self-BLEU (low: diverse)", ".3f"),
    "vendi_wording": ("Vendi score of the wording", ".2f"),
    "vendi_fingerprints": ("Vendi score of the fingerprints", ".2f"),
    "top1_eigenvalue_ratio": ("top-1 eigenvalue ratio (low: diverse)", ".3f"),
    "clusters": ("clusters a problem", ".1f"),
    "cluster_entropy": ("cluster entropy, nats", ".2f"),
}
"""Measure -> its row in the table, and its format."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The paths, what to measure, and the annotator."""
    add = parser.add_argument
    add(
        "paths", nargs="+", metavar="PATH", help="run folder, folder of meds eval, parquet file of samples, or rollouts"
    )
    add(
        "--of", choices=("wrong", "right", "all"), default="wrong", help="which completions to measure (default: wrong)"
    )
    add("--bins", type=int, default=3, metavar="N", help="number of parts that a training is cut into (default: 3)")
    add("--per-problem", type=int, metavar="N", help="measure exactly N completions of each problem, to compare fairly")
    add(
        "--noise",
        choices=("group", "alone"),
        default="group",
        help="completions in no cluster count as one group, or each alone (default: group)",
    )
    add("--seed", type=int, default=0, help="seed of the samples that slow measures draw (default: 0)")
    add("--json", type=Path, metavar="FILE", help="also write all figures to FILE")
    add_read_options(parser)
    ask = parser.add_argument_group("annotator", "a language model that judges the completions").add_argument
    ask("--annotate", action="store_true", help="ask a model; needs --endpoint and --model")
    ask("--endpoint", metavar="URL", help="OpenAI-compatible address, http://127.0.0.1:8000/v1; no default")
    ask("--model", metavar="NAME", help="the model's name there")
    ask("--api-key-env", metavar="NAME", help="environment variable that holds the API key (default: none is sent)")
    ask("--annotate-problems", type=int, default=20, metavar="N", help="problems scored in each part (default: 20)")
    ask("--annotate-completions", type=int, default=100, metavar="N", help="wrong completions labelled (default: 100)")
    ask("--categories", type=Path, metavar="FILE", help='your own labels, one "name: meaning" per line')
    ask("--parameters", type=_mapping, metavar="JSON", help='default: {"temperature": 0, "max_tokens": 1024}')
    ask("--concurrency", type=int, default=4, metavar="N", help="most requests at the same time (default: 4)")
    ask("--timeout", type=float, default=120.0, metavar="SECONDS", help="timeout of one request (default: 120)")
    ask("--attempts", type=int, default=5, metavar="N", help="most requests for one question (default: 5)")
    ask("--cache", type=Path, metavar="DIR", help="where replies are kept (default: annotator_cache beside PATH)")


def run(args: argparse.Namespace) -> int:
    """Measure each path and print the tables, then ask the annotator if there is one; write the JSON after each."""
    annotator = _annotator(args)
    from meds_rl.cli.tables import console, shown_name
    from meds_rl.evaluation.diversity.read import read_completions

    if args.json is not None:
        _check_target(args.json)
    if annotator is not None:
        annotator.check_caches(args.paths)
    options = read_options(args)
    found = [(path, read_completions(path, options)) for path in args.paths]
    out = console()
    results: list[dict[str, Any]] = []
    for path, completions in found:
        results.append({"path": path, **_measure(path, completions, args, out)})
        _write(args, results)
    if annotator is not None:
        for (path, completions), result in zip(found, results, strict=True):
            _annotate(path, completions, args, annotator, out, result)
            _write(args, results)
    if args.json is not None:
        out.print(f"All figures are in {shown_name(str(args.json))}", soft_wrap=True)
    return 0


def _measure(path: str, completions: Completions, args: argparse.Namespace, out: Console) -> dict[str, Any]:
    import numpy as np

    from meds_rl.cli.tables import shown_name
    from meds_rl.evaluation.diversity.measure import diversity, parts_of
    from meds_rl.labels import NO_ANSWER
    from meds_rl.report.text import one_line

    rng = np.random.default_rng(args.seed)
    found = {
        part.name: diversity(
            completions.select(part.rows),
            of=args.of,
            per_problem=args.per_problem,
            rng=rng,
            noise=args.noise,
            description=part.name,
        )
        for part in parts_of(completions, args.bins)
    }
    for note in completions.notes:
        out.print(one_line(note), soft_wrap=True)
    out.print(diversity_table(f"{shown_name(path)}: {args.of} completions", found))
    missing = {why: None for one in found.values() for why in one.missing.values()}
    for note in (*(f"Left out: {why}" for why in missing), *notes(completions)):
        out.print(note, soft_wrap=True)
    # "No answer" counts as an answer here; None would be left out as a missing label.
    answers = [NO_ANSWER if answer is None else answer for answer in completions.answers]
    labels: dict[str, list[Any]] = {"strategy": list(completions.strategies), "answer": answers}
    return {
        "population": None if completions.population is None else completions.population._asdict(),
        "left_out": {
            what: {"count": len(rows), "first_rows": list(rows[:5])} for what, rows in completions.left_out.items()
        },
        "parts": {name: one.to_dict() for name, one in found.items()},
        "agreement": _agreement(completions, labels, rng, args, out),
    }


def _annotate(
    path: str,
    completions: Completions,
    args: argparse.Namespace,
    annotator: Annotator,
    out: Console,
    result: dict[str, Any],
) -> None:
    import numpy as np

    from meds_rl.evaluation.diversity.measure import parts_of

    annotation = annotator.annotate(path, completions, parts_of(completions, args.bins), args.of, out)
    result["annotator"] = annotation.result
    out.print(annotation.score_table())
    out.print(annotation.table())
    labels: dict[str, list[Any]] = {"annotator": list(annotation.labels)}
    rng = np.random.default_rng(args.seed)
    result["agreement"] |= _agreement(completions, labels, rng, args, out)


def _agreement(
    completions: Completions, labels: dict[str, list[Any]], rng: Any, args: argparse.Namespace, out: Console
) -> dict[str, Any]:
    """Compare the clusters with each kind of label; print the table, return the figures."""
    from meds_rl.evaluation.diversity.measure import agreements, parts_of

    compared = agreements(completions, parts_of(completions, args.bins), labels, rng=rng, noise=args.noise)
    if compared:
        out.print(agreement_table(compared))
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
    from meds_rl.files import write_atomically

    settings = {name: getattr(args, name) for name in ("of", "bins", "per_problem", "noise", "seed")}
    data = {"schema_version": SCHEMA_VERSION, "settings": settings, "results": results}
    # Escaped to ASCII: file names may be bytes that are no UTF-8.
    write_atomically(args.json, (json.dumps(data, indent=2, allow_nan=False) + "\n").encode())


def _check_target(path: Path) -> None:
    """Fail before anything is measured or sent."""
    from meds_rl.files import refuse_special, require_writable

    try:
        refuse_special(path)
    except OSError as error:
        raise OSError(f"--json {error}, or leave --json out: the figures are printed, too.") from None
    require_writable(path.parent, f"--json {path} cannot be written")


def _annotator(args: argparse.Namespace) -> Annotator | None:
    """The annotator of the command line; half of one is refused before anything is read."""
    if not args.annotate:
        if args.endpoint is not None or args.model is not None:
            raise ValueError("--endpoint and --model are of no use without --annotate.")
        return None
    if args.endpoint is None or args.model is None:
        raise ValueError("--annotate needs --endpoint URL and --model NAME: completions are sent nowhere unasked.")
    from meds_rl.cli.annotator import make_annotator

    return make_annotator(args)


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


def diversity_table(title: str, found: Mapping[str, Diversity]) -> Table:
    """One column a part, one row a measure that any part has."""
    from rich.text import Text

    from meds_rl.cli.tables import plain_table
    from meds_rl.report.text import one_line

    table = plain_table(Text(title))
    if len({one.num_completions for one in found.values()}) > 1:
        table.caption = "Most measures depend on how many completions a problem has; --per-problem N makes them equal."
    table.add_column("", no_wrap=True)
    for name in found:
        table.add_column(Text(one_line(name)), justify="right")
    table.add_row("problems", *(f"{one.num_problems:,}" for one in found.values()))
    table.add_row("completions", *(f"{one.num_completions:,}" for one in found.values()), end_section=True)
    for name, (shown, form) in ROWS.items():
        values = [one.figures[name].value if name in one.figures else math.nan for one in found.values()]
        if not all(map(math.isnan, values)):
            table.add_row(shown, *(_cell(value, form) for value in values))
    return table


def notes(completions: Completions) -> Iterator[str]:
    """Notes below the table: what was left out, and which completions the training kept."""
    for what, rows in completions.left_out.items():
        first = ", ".join(str(row) for row in rows[:5])
        yield f"Left out: {len(rows):,} {what} (rows counted from 0: {first}{', …' if len(rows) > 5 else ''})."
    if completions.population is not None:
        groups, wrong, fillers = completions.population
        yield (
            f"Rollouts are what training kept: {groups:,} groups, {wrong / max(1, groups):.0%} of them all wrong; "
            f"{fillers:,} more that only filled up batches are left out above. Dynamic sampling keeps others for each "
            "method: compare methods by the samples of meds eval, not by rollouts."
        )


def agreement_table(compared: Mapping[str, Mapping[str, Compared]]) -> Table:
    """Clusters against labels, within problems, weighted by completions; below each, the agreement by chance."""
    from rich.text import Text

    from meds_rl.cli.tables import plain_table
    from meds_rl.report.text import one_line

    table = plain_table(
        "Agreement of the clusters with labels, within problems",
        "By chance: labels shuffled within problems. Rand: adjusted Rand index; NMI equals the V-measure; "
        "agree %: one-to-one matching (docs/diversity.md).",
    )
    for name in ("label", "part"):
        table.add_column(name, no_wrap=True)
    for name in ("wrong", "Rand", "NMI", "purity", "splits", "agree %"):
        table.add_column(name, justify="right", no_wrap=True)
    for kind, by_part in compared.items():
        for number, (part, one) in enumerate(by_part.items()):
            num = f"{one.found.num_completions:,}"
            table.add_row(kind if number == 0 else "", Text(one_line(part)), num, *_figures(one.found.agreement))
            last = number == len(by_part) - 1
            table.add_row("", "  by chance", "", *_figures(one.chance.agreement), end_section=last, style="dim")
    return table


def _figures(found: Agreement) -> list[str]:
    values = [f"{value:.2f}" for value in (found.adjusted_rand, found.nmi, found.purity)]
    shown = [*values, f"{found.splits:.1f}", f"{found.percentage:.1f}"]
    return ["0.00" if text == "-0.00" else text for text in shown]


def _cell(value: float, form: str) -> str:
    return "–" if math.isnan(value) else format(value, form)
