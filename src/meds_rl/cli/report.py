"""Show what runs kept getting wrong: one HTML page, pictures for papers, or the data alone."""

from __future__ import annotations

import argparse
import glob
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Write one HTML page of one or several runs: which errors recur, how each grew, what it looks like, and what the memory
did about it. The page needs no network and nothing but itself. Several runs are compared: those that differ by seed
only are repetitions of one variant, and variants are paired by seed."""

EXTRA = 'meds report needs: pip install "meds-rl[report]"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The runs, where to write, and how much to show."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="run folders (each with its later trainings, RUN/run-2, ...), folders that hold run folders, or patterns "
        "(runs/demo/*)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE.html",
        help="the page; default RUN/report.html, or report.html in the folder that holds all runs. An older report "
        "is replaced, another file never",
    )
    parser.add_argument(
        "--baseline",
        metavar="NAME",
        help="what is compared against: a variant as the report names it, such as dapo; "
        "default: the first method without a memory",
    )
    parser.add_argument(
        "--map-prompts", type=int, default=12, metavar="N", help="maps; several runs share them (default: 12)"
    )
    parser.add_argument(
        "--map-points", type=int, default=1000, metavar="N", help="points of a map at most (default: 1000)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of what is drawn at random: points, t-SNE, bootstrap (default: 0)"
    )
    parser.add_argument("--figures", type=Path, metavar="DIR", help="also write each figure as a picture into DIR")
    parser.add_argument("--format", choices=("svg", "png"), default="svg", help="of the pictures (default: svg)")
    parser.add_argument("--data", type=Path, metavar="FILE.json", help="also write the data of the report")


def run(args: argparse.Namespace) -> int:
    """Read the runs, write the page and what else is asked for, print where it is and what it says.

    Raises:
        ValueError, OSError: bad input; `main` prints the message.
        ImportError: the extra `report` is not installed.
    """
    folders = find_runs(args.runs)
    output = args.output or default_output(folders)
    _check_outputs(output, args.figures, args.data)
    try:
        from meds_rl.cli.tables import console
        from meds_rl.report.data import report_data
        from meds_rl.report.drawing.html import refuse_foreign, write_page
        from meds_rl.report.drawing.pictures import write_pictures
        from meds_rl.report.text import one_line
    except ModuleNotFoundError as error:
        raise ImportError(f"{error}. {EXTRA}") from error
    refuse_foreign(output)  # before anything is computed
    data = report_data(
        folders,
        baseline=args.baseline,
        map_prompts=args.map_prompts,
        map_points=args.map_points,
        seed=args.seed,
        show_progress=True,
    )
    write_page(data, output)
    if args.data is not None:
        _write_data(data, args.data)
    pictures = write_pictures(data, args.figures, args.format) if args.figures is not None else []
    lines = summary(data)
    if pictures:
        lines.append(one_line(f"{len(pictures)} pictures: {args.figures}"))
    if args.data is not None:
        lines.append(one_line(f"Data: {args.data}"))
    out = console()
    for line in (*lines, one_line(f"Report: {output}")):
        out.print(line, soft_wrap=True)
    return 0


def find_runs(given: Sequence[str]) -> list[Path]:
    """The run folders of paths and patterns: a path itself if it is a run, else the runs in it; each once.

    A run is followed by the numbered runs in it (``run-2``, ...), later trainings with the same ``output_dir``.

    Raises:
        RunFolderError: a path or pattern leads to no run.
    """
    from meds_rl.rollouts import RunFolderError

    found: dict[Path, Path] = {}
    for text in given:
        matches = sorted(glob.glob(text))  # noqa: PTH207 - Path.glob takes no absolute pattern
        paths = [Path(text)] if Path(text).exists() else [Path(match) for match in matches]
        runs = [run for path in paths for run in _runs_at(path)]
        if not runs:
            what = "holds no run folder" if paths else "does not exist, and as a pattern it matches nothing"
            raise RunFolderError(f"{text} {what}.")
        for path in runs:
            found.setdefault(path.resolve(), path)
    return list(found.values())


def default_output(folders: Sequence[Path]) -> Path:
    """RUN/report.html, or report.html in the folder that holds all runs."""
    if len(folders) == 1:
        return folders[0] / "report.html"
    return Path(os.path.commonpath([folder.absolute() for folder in folders])) / "report.html"


def summary(data: Mapping[str, Any]) -> list[str]:
    """The headlines, outlook and notes of each run, and the comparison, as lines without control characters."""
    from meds_rl.report.text import one_line

    lines = []
    for run in data["runs"]:
        lines.append(one_line(run["name"]) + ":")
        sentences = [headline["text"] for headline in data["headlines"] if headline["run"] == run["id"]]
        outlooks = [each["sentence"] for each in data["outlooks"] if each["run"] == run["id"]]
        sentences += [f"Would a memory help? {sentence}" for sentence in outlooks]
        lines += [f"  {one_line(text)}" for text in (*sentences, *(f"Note: {note}" for note in run["notes"]))]
    lines += [one_line(verdict) for verdict in data["verdicts"]]
    differences = data["differences"]
    notes = [*data["notes"], *([] if differences is None else differences["notes"])]
    return [*lines, *(f"Note: {one_line(note)}" for note in notes)]


def _runs_at(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    runs = [path] if is_run(path) else [child for child in sorted(path.iterdir()) if child.is_dir() and is_run(child)]
    return [one for run in runs for one in (run, *_later_runs(run))]


def _later_runs(run: Path) -> list[Path]:
    from meds_rl.rollouts import RunFolder

    return [later.path for later in RunFolder(run).numbered_runs().values() if is_run(later.path)]


def is_run(path: Path) -> bool:
    """Whether training wrote this folder; the folder of an evaluation is not a run."""
    return any((path / name).exists() for name in ("metrics.jsonl", "rollouts", "memory.safetensors"))


def _check_outputs(output: Path, figures: Path | None, data: Path | None) -> None:
    given = {"--output": output, "--figures": figures, "--data": data}
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
