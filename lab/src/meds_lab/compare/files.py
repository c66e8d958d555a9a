"""Writes what `meds-lab compare` is asked for: the tables as GitHub Markdown, and figures."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from meds_lab.compare.comparison import by_task
from meds_lab.compare.grid import Grid
from meds_lab.compare.outcomes import Outcome, k_of
from meds_lab.compare.results import Results
from meds_lab.compare.tables import TextTable, text_tables
from meds_rl.files import encodable, write_atomically

MARK = "<!-- meds-lab compare -->"
"""First line of our files: a file with it may be replaced."""

SHOWN_VERSIONS = ("meds-rl", "torch", "trl")

LEGEND = (
    "`n` is the number of units behind the mean; `diff` is the mean over units of paired differences, with a bootstrap "
    "over units and problems; `> 0` counts units above 0, of those behind the difference; `p` is a sign-flip test over "
    "units, `Holm` that corrected for the number of comparisons."
)


def refuse_foreign(path: Path) -> None:
    """Raise a FileExistsError unless ``path`` does not exist or is a Markdown file of ours."""
    if not path.exists():
        return
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(MARK)) == MARK.encode():
                return
    raise FileExistsError(
        f"{path} exists and was not written by meds-lab compare; nothing was changed. Name another file."
    )


def write_markdown(path: Path, grid: Grid, outcomes: Sequence[Outcome], results: Results, command: str) -> None:
    """Write the tables; the same cells give the same file, whenever it is written."""
    text = markdown(grid, outcomes, results, command)
    write_atomically(path, encodable(text).encode("utf-8"))


def markdown(grid: Grid, outcomes: Sequence[Outcome], results: Results, command: str) -> str:
    """The whole file.

    Args:
        grid: what was asked for.
        outcomes: the finished cells, at least one.
        results: of these.
        command: that makes the file.
    """
    parts = [MARK, f"# {_safe(grid.path.stem)}", f"```sh\n{command}\n```", header(grid, outcomes, results)]
    parts += [_table_compare_markdown(table) for table in text_tables(results, grid.baseline, over_checkpoints=True)]
    parts += [LEGEND, "\n".join(f"- {_safe(note)}" for note in results.notes())]
    return "\n\n".join(part for part in parts if part) + "\n"


def header(grid: Grid, outcomes: Sequence[Outcome], results: Results) -> str:
    """Cells finished and asked for; of each task units, checkpoints, seeds and k; versions that the cells ran with."""
    seeds = _listed(grid.seeds)
    listed = [f"{results.num_finished} of {results.num_cells} cells finished"]
    for task, of_task in by_task(grid, outcomes).items():
        asked = [(task, name, seed) for name in grid.checkpoints[task] for seed in grid.seeds]
        done = [(one.cell.unit, one.cell.method) for one in of_task]
        whole = sum(all((unit, method) in done for method in grid.methods) for unit in asked)
        listed.append(
            f"{task}: {whole} of {len(asked)} units with all methods "
            f"(checkpoints {', '.join(grid.checkpoints[task])}; seeds {seeds}), k = {k_of(of_task, grid.k)}"
        )
    return _safe(". ".join((*listed, ", ".join(_versions(outcomes)))) + ".")


def _versions(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Of the packages that the cells were trained with."""
    for name in SHOWN_VERSIONS:
        found = dict.fromkeys(one.packages.get(name) or "unknown" for one in outcomes)
        yield f"{name} {' and '.join(found)}"


def _listed(seeds: Sequence[int]) -> str:
    """The seeds, as "0-9" where they are in one row.

    Example:
        >>> _listed([0, 1, 2, 3]), _listed([1, 4])
        ('0-3', '1, 4')
    """
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]}-{seeds[-1]}"
    return ", ".join(str(seed) for seed in seeds)


def _table_compare_markdown(table: TextTable) -> str:
    with_heading = any(heading for heading, _ in table.sections)
    names = ["measure", ""] if with_heading else [""]
    lines = [_row([*names, *table.columns]), _row([":--"] * len(names) + ["--:"] * len(table.columns))]
    for heading, rows in table.sections:
        for place, cells in enumerate(rows):
            first = [heading if place == 0 else ""] if with_heading else []
            lines.append(_row([*first, cells[0]], cells[1:]))
    return f"## {_safe(table.title)}\n\n" + "\n".join(lines)


def _row(names: Sequence[str], numbers: Sequence[str] = ()) -> str:
    """Names may hold anything. Of what we write ourselves, "<.001" alone could be markup: intervals stay readable."""
    cells = [*(_safe(name) for name in names), *(number.replace("<", "\\<") for number in numbers)]
    return f"| {' | '.join(cells)} |"


def _safe(text: str) -> str:
    r"""On one line, and nothing in it is markup.

    Example:
        >>> print(_safe("a_b_ [x](y) ~~c~~ &lt; $d$"))
        a\_b\_ \[x\](y) \~\~c\~\~ \&lt; \$d\$
    """
    line = " ".join(text.split())
    return re.sub(r"([\\|<*`_\[\]~&$])", r"\\\1", line)


# ---- What the command line asks for.

SVG = "svg"
"""Format of the figures where none is given."""


def check_files(args: argparse.Namespace) -> None:
    """Refuse what cannot be written, before anything runs.

    Raises:
        ValueError: nothing would be written, or the path is of the wrong kind.
        FileExistsError: the file exists and is not ours.
        ImportError: what draws is not installed.
    """
    if args.dry_run and (args.markdown or args.figures):
        raise ValueError("--dry-run writes nothing: leave out --markdown and --figures.")
    if args.format is not None and args.figures is None:
        raise ValueError("--format is that of the figures: give --figures DIR too, or leave it out.")
    if args.markdown is not None:
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
        grid: its methods and pairs decide which figures there will be.
        with_courses: whether there are evaluations in training.

    Raises:
        FileExistsError: which file is in the way.
    """
    if args.figures is None:
        return
    from meds_lab.compare.drawing import figure_names
    from meds_rl.report.drawing.pictures import foreign_file

    names = [f"{name}.{args.format or SVG}" for name in figure_names(grid, with_courses)]
    found = foreign_file(args.figures, names)
    if found is not None:
        raise FileExistsError(
            f"{found} exists and is no figure of meds-lab compare; nothing was changed. Name another folder."
        )


def write_asked(args: argparse.Namespace, grid: Grid, outcomes: Sequence[Outcome], results: Results) -> list[str]:
    """Write what is asked for; returns lines that say what and where."""
    lines = []
    if args.markdown is not None:
        write_markdown(args.markdown, grid, outcomes, results, command(args))
        lines.append(f"Tables as Markdown: {args.markdown}")
    if args.figures is not None:
        from meds_lab.compare.drawing import grid_figures
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
        "meds-lab compare a.yaml --jobs 1 --markdown 'my tables.md'"
    """
    parts = ["meds-lab", "compare", args.grid]
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
