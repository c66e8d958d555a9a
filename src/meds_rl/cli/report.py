"""Show what runs kept getting wrong: one HTML page, pictures for papers, or the data alone."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meds_rl.cli.sources import PATHS, add_read_options, read_options

if TYPE_CHECKING:
    from meds_rl.rollouts.dumps import Dump

DESCRIPTION = """\
Write one HTML page of one or several runs: which errors recur, how each grew, what it looks like, and its penalty. The
page needs no network and no other file. Several runs are compared: runs that differ only in their seed are repetitions
of one variant, and variants are paired by seed. A note says what was recognised in rollouts of other programs."""

EXTRA = 'meds report needs: pip install "meds-rl[report]"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The runs, where to write, and how much to show."""
    parser.description = DESCRIPTION
    parser.add_argument("runs", nargs="+", metavar="PATH", help=PATHS)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE.html",
        help="the page; default: report.html in the run's folder, or in the folder that holds all runs; beside "
        "mine.csv mine.csv-report.html. Only an older report is replaced",
    )
    parser.add_argument(
        "--baseline",
        metavar="NAME",
        help="the variant that others are compared with, as the report names it, such as dapo (default: the first "
        "method without a memory, else with alpha 0)",
    )
    parser.add_argument(
        "--map-prompts", type=int, default=12, metavar="N", help="number of maps, in all runs together (default: 12)"
    )
    parser.add_argument(
        "--map-points", type=int, default=1000, metavar="N", help="most points of a map (default: 1000)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the points of a map, t-SNE and the bootstrap (default: 0)"
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="also group errors by the states of this model (a hub name or a folder), preferably the model that made "
        "the completions; needs the extra trl",
    )
    parser.add_argument("--figures", type=Path, metavar="DIR", help="also write each figure as a picture into DIR")
    parser.add_argument("--format", choices=("svg", "png"), default="svg", help="format of the pictures (default: svg)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the data behind the page")
    add_read_options(parser)


def run(args: argparse.Namespace) -> int:
    """Read the runs, write the page and what else is asked for, print where it is and what it says.

    Raises:
        ValueError, OSError: bad input; `main` prints the message.
        ImportError: the extra `report` is not installed.
    """
    options = read_options(args)
    try:
        from meds_rl.cli.tables import console
        from meds_rl.report.data import report_data
        from meds_rl.report.drawing.html import refuse_foreign, write_page
        from meds_rl.report.drawing.pictures import write_pictures
        from meds_rl.report.text import one_line
        from meds_rl.rollouts.dumps import find_sources
        from meds_rl.rollouts.evaluations import with_evaluations
        from meds_rl.rollouts.reading import opened
    except ModuleNotFoundError as error:
        raise ImportError(f"{error}. {EXTRA}") from error
    given = without_reports(args.runs)
    sources = find_sources(given)
    output, output_note = (args.output, "") if args.output else writable(default_output(sources, given), sources)
    _check_outputs(output, args.figures, args.json)
    refuse_foreign(output)  # before anything is computed
    if args.output is None and not all(isinstance(source, Path) for source in sources):
        print(one_line(f"The report will be {output}; --output names another place."), file=sys.stderr)
    model = None
    if args.model is not None:
        from meds_rl.tasks.models import load_language_model

        model = load_language_model(args.model)
    with opened(sources, options, show_progress=True) as runs:
        data = report_data(
            with_evaluations(runs),
            baseline=args.baseline,
            map_prompts=args.map_prompts,
            map_points=args.map_points,
            seed=args.seed,
            model=model,
            show_progress=True,
        )
    write_page(data, output)
    if args.json is not None:
        _write_data(data, args.json)
    pictures = write_pictures(data, args.figures, args.format) if args.figures is not None else []
    lines = summary(data)
    if output_note:
        lines.append(one_line(output_note))
    if pictures:
        lines.append(one_line(f"{len(pictures)} pictures: {args.figures}"))
    if args.json is not None:
        lines.append(one_line(f"Data: {args.json}"))
    out = console()
    for line in (*lines, one_line(f"Report: {output}")):
        out.print(line, soft_wrap=True)
    return 0


def without_reports(given: Sequence[str]) -> Sequence[str]:
    """The paths without earlier reports and their data, which a pattern such as runs/* includes; all if only these."""
    from meds_rl.report.drawing.html import is_page

    return [text for text in given if not (is_page(Path(text)) or _is_data(Path(text)))] or given


def default_output(sources: Sequence[Path | Dump], given: Sequence[str] = ()) -> Path:
    """report.html in the given folder, or in the folder that holds all; FILE-report.html beside a file.

    The path is relative if those of the sources are and it is below the current folder.
    """
    places = [source if isinstance(source, Path) else source.path for source in sources]
    if len(given) == 1 and Path(given[0]).is_dir():
        return Path(given[0]) / "report.html"
    if len(places) > 1:
        folders = [place.absolute() if place.is_dir() else place.absolute().parent for place in places]
        folder = Path(os.path.commonpath(folders))
        is_below = folder.is_relative_to(Path.cwd()) and not any(place.is_absolute() for place in places)
        return (folder.relative_to(Path.cwd()) if is_below else folder) / "report.html"
    if places[0].is_file():
        return places[0].with_name(f"{places[0].name}-report.html")
    return places[0] / "report.html"


def writable(output: Path, sources: Sequence[Path | Dump]) -> tuple[Path, str]:
    """The page, and a note if it is in the current folder because that of a dump cannot be written."""
    if all(isinstance(source, Path) for source in sources) or os.access(output.parent, os.W_OK):
        return output, ""
    return Path(output.name), f"{output.parent} cannot be written: the report is in the current folder."


def summary(data: Mapping[str, Any]) -> list[str]:
    """The headlines, outlook and notes of each run, and the comparison, as lines without control characters."""
    from meds_rl.report.side_by_side import in_lines
    from meds_rl.report.text import one_line

    lines = []
    for run in data["runs"]:
        lines.append(one_line(run["name"]) + ":")
        sentences = [headline["text"] for headline in data["headlines"] if headline["run"] == run["id"]]
        outlooks = [each["sentence"] for each in data["outlooks"] if each["run"] == run["id"]]
        sentences += [f"Would a memory help? {sentence}" for sentence in outlooks]
        lines += [f"  {one_line(text)}" for text in (*sentences, *(f"Note: {note}" for note in run["notes"]))]
    lines += [one_line(verdict) for verdict in data["verdicts"]]
    first, *rest = in_lines(data["side_by_side"], data["prompts"]) or [""]
    lines += [one_line(first), *(f"  {one_line(line)}" for line in rest)] if first else []
    differences = data["differences"]
    notes = [*data["notes"], *([] if differences is None else differences["notes"])]
    return [*lines, *(f"Note: {one_line(note)}" for note in notes)]


def _check_outputs(output: Path, figures: Path | None, data: Path | None) -> None:
    given = {"--output": output, "--figures": figures, "--json": data}
    _check_apart({option: path for option, path in given.items() if path is not None})
    if output.is_dir():
        raise ValueError(f"--output must be a file; {output} is a folder.")
    if figures is not None and figures.exists() and not figures.is_dir():
        raise ValueError(f"--figures must be a folder; {figures} is a file.")
    if data is not None and data.exists() and not _is_data(data):
        raise FileExistsError(f"{data} exists and is no report's data; nothing was changed. Name another file.")


def _check_apart(paths: Mapping[str, Path]) -> None:
    """Refuse outputs that are the same file, or that are in a file; --figures may contain the others."""
    found = {option: path.resolve() for option, path in paths.items()}
    for (first, one), (second, other) in itertools.permutations(found.items(), 2):
        if one == other:
            raise ValueError(f"{first} and {second} must be different; both are {paths[first]}.")
        if one in other.parents and first != "--figures":
            raise ValueError(f"{first} is a file, and {second} cannot lie in it; got {paths[second]}.")
    for option, path in found.items():
        for parent in path.parents:
            if parent.exists() and not parent.is_dir():
                raise ValueError(f"{option} cannot be {paths[option]}: {parent} is a file.")


def _is_data(path: Path) -> bool:
    """Whether a file begins like those of `_write_data`."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(DATA_BEGINNING)) == DATA_BEGINNING


DATA_BEGINNING = b'{"meds_report": '


def _write_data(data: Mapping[str, Any], path: Path) -> None:
    from meds_rl.files import write_atomically

    marked = {"meds_report": data["schema"], **data}
    text = json.dumps(marked, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text.encode("utf-8", "surrogatepass"))
