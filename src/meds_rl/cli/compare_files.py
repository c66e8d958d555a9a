"""What `meds compare` writes where it is asked to: the tables as Markdown, and figures."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meds_rl.experiments.grid import Grid
    from meds_rl.experiments.outcomes import Outcome
    from meds_rl.experiments.results import Results


SVG = "svg"
"""Format of the figures where none is given."""


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to write."""
    parser.add_argument(
        "--markdown",
        metavar="FILE.md",
        type=Path,
        help="also write the tables as Markdown; an older one is replaced, another file never",
    )
    parser.add_argument(
        "--figures", metavar="DIR", type=Path, help="also draw differences, course of training and cost"
    )
    parser.add_argument(
        "--format", choices=("svg", "png"), help="of the figures, with --figures (default: svg)"
    )


def check_files(args: argparse.Namespace) -> None:
    """Refuse what cannot be written, before anything runs.

    Raises:
        ValueError: nothing would be written, or the path is of the wrong kind.
        FileExistsError: a file that is none of ours stands there.
        ImportError: what draws is not installed.
    """
    if args.dry_run and (args.markdown or args.figures):
        raise ValueError("--dry-run writes nothing: leave out --markdown and --figures.")
    if args.format is not None and args.figures is None:
        raise ValueError("--format is that of the figures: give --figures DIR too, or leave it out.")
    if args.markdown is not None:
        from meds_rl.cli.compare_markdown import refuse_foreign

        check_folder(args.markdown.parent, "--markdown")
        refuse_foreign(args.markdown)
    if args.figures is not None:
        check_folder(args.figures, "--figures")
        try:
            import vl_convert  # noqa: F401 - a grid may run for hours before its figures are drawn
        except ImportError as error:
            raise ImportError('--figures needs vl-convert: pip install "meds-rl[report]"') from error


def check_folder(folder: Path, option: str) -> None:
    """Raise a ValueError, naming the option, unless the folder can be written to or made."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise ValueError(f"{option} needs a folder {folder}; {nearest} is a file. Name another.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"{option} needs a folder {folder}; {nearest} cannot be written to. Name another.")


def check_pictures(args: argparse.Namespace, grid: Grid, with_courses: bool) -> None:
    """Refuse, before anything runs, to draw over files that are no figures of ours.

    Args:
        args: of the line.
        grid: says which figures there will be.
        with_courses: whether there are evaluations in training.

    Raises:
        FileExistsError: which file stands there.
    """
    if args.figures is None:
        return
    from meds_rl.experiments.drawing.figures import figure_names
    from meds_rl.report.drawing.pictures import foreign_file

    names = [f"{name}.{args.format or SVG}" for name in figure_names(grid, with_courses)]
    found = foreign_file(args.figures, names)
    if found is not None:
        raise FileExistsError(
            f"{found} exists and is no figure of meds compare; nothing was changed. Name another folder."
        )


def write_asked(
    args: argparse.Namespace, grid: Grid, outcomes: Sequence[Outcome], results: Results
) -> list[str]:
    """Write what is asked for; returns lines that say what and where."""
    lines = []
    if args.markdown is not None:
        from meds_rl.cli.compare_markdown import write_markdown

        write_markdown(args.markdown, grid, outcomes, results, command(args))
        lines.append(f"Tables as Markdown: {args.markdown}")
    if args.figures is not None:
        from meds_rl.experiments.drawing.figures import grid_figures
        from meds_rl.report.drawing.pictures import draw_pictures

        figures, notes = grid_figures(grid, outcomes, results)
        lines += [f"Note: {note}" for note in notes]
        pictures = draw_pictures(figures, args.figures, args.format or SVG)
        lines.append(f"{len(pictures)} figures: {args.figures}")
    return lines


def command(args: argparse.Namespace) -> str:
    """The command that makes the same files from nothing: that given, without what only leaves cells out.

    Example:
        >>> nothing = dict(output=None, figures=None, merge=None)
        >>> command(argparse.Namespace(grid="a.yaml", jobs=1, markdown=Path("my tables.md"), **nothing))
        "meds compare a.yaml --jobs 1 --markdown 'my tables.md'"
    """
    parts = ["meds", "compare", args.grid]
    given = {
        "--output": args.output,
        "--jobs": args.jobs,
        "--markdown": args.markdown,
        "--figures": args.figures,
    }
    for option, value in given.items():
        parts += [] if value is None else [option, str(value)]
    parts += ["--merge", *map(str, args.merge)] if args.merge else []
    if args.figures is not None and args.format not in (None, SVG):
        parts += ["--format", args.format]
    return shlex.join(parts)
