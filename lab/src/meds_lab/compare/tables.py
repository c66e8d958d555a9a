"""What the tables of `meds compare` say, as text: the terminal's and the Markdown's cells are the same."""

from __future__ import annotations

import argparse
import math
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from meds_lab.compare.comparison import Comparison, Level, by_task
from meds_lab.compare.grid import Grid
from meds_lab.compare.measures import MEASURES, title_of
from meds_lab.compare.outcomes import Outcome, k_of
from meds_lab.compare.results import MethodCost, Results
from meds_rl.evaluation.paired import PairedDifference
from meds_rl.report.plain import encodable
from meds_rl.rollouts.folder import write_atomically

_PERCENT = ("repeated", "no_answer")
_DIFFERENCE = ("diff", "95 % interval", "> 0", "p", "Holm")
_SECOND = "95 % interval (checkpoints)"
_NONE = "–"


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are text.

    Attributes:
        title: of the table.
        columns: their names, without that of the rows' names.
        sections: heading (a measure; empty for none) and rows, each a name and one cell a column.
    """

    title: str
    columns: tuple[str, ...]
    sections: Sequence[tuple[str, Sequence[tuple[str, ...]]]]


def text_tables(results: Results, baseline: str, over_checkpoints: bool = False) -> Iterator[TextTable]:
    """For each task and group the measures and the other pairs, and for each task the cost.

    Args:
        results: of the grid.
        baseline: its.
        over_checkpoints: with the second interval, in tables that have one.
    """
    for task in dict.fromkeys(cost.task for cost in results.costs):
        for group in dict.fromkeys(level.group for level in results.levels if level.task == task):
            here = (task, group)
            levels = [level for level in results.levels if (level.task, level.group) == here]
            compared = [one for one in results.comparisons if (one.task, one.group) == here]
            second = over_checkpoints and any(one.over_checkpoints for one in compared)
            against = [one for one in compared if one.against == baseline]
            others = [one for one in compared if one.against != baseline]
            yield _measures(f"{task}: {group}, less {baseline}", levels, against, second)
            if others:
                yield _other_pairs(f"{task}: {group}, other pairs", others, second)
        yield _cost(
            f"{task}: cost of training, relative to {baseline}",
            [cost for cost in results.costs if cost.task == task],
        )


def _measures(title: str, levels: Sequence[Level], compared: Sequence[Comparison], second: bool) -> TextTable:
    found = {(one.measure, one.method): one for one in compared}
    sections = []
    for name in MEASURES:
        rows = [level for level in levels if level.measure == name]
        if rows:
            cells = [
                (
                    level.method,
                    _number(name, level.value),
                    str(level.num_units),
                    *_cells(found.get((name, level.method)), second),
                )
                for level in rows
            ]
            sections.append((title_of(name, rows[0].k), cells))
    return TextTable(title, ("mean", "n", *_columns(second)), sections)


def _other_pairs(title: str, compared: Sequence[Comparison], second: bool) -> TextTable:
    sections = []
    for name in MEASURES:
        of_measure = [one for one in compared if one.measure == name]
        if of_measure:
            rows = [(f"{one.method} less {one.against}", *_cells(one, second)) for one in of_measure]
            sections.append((title_of(name, of_measure[0].k), rows))
    return TextTable(title, _columns(second), sections)


def _columns(second: bool) -> tuple[str, ...]:
    return (*_DIFFERENCE[:2], *([_SECOND] if second else []), *_DIFFERENCE[2:])


def _cells(found: Comparison | None, second: bool) -> list[str]:
    number = len(_columns(second))
    if found is None:
        return [""] * number
    difference = found.difference
    if math.isnan(difference.difference):
        return [_NONE] * number
    name = found.measure
    return [
        _signed(name, difference.difference),
        _interval(name, difference),
        *([_interval(name, found.over_checkpoints)] if second else []),
        f"{difference.num_positive}/{len(found.units)}",
        _p(found.p),
        _p(found.p_holm),
    ]


def _interval(name: str, difference: PairedDifference | None) -> str:
    if difference is None:
        return _NONE
    return f"[{_signed(name, difference.low)}, {_signed(name, difference.high)}]"


def _cost(title: str, costs: Sequence[MethodCost]) -> TextTable:
    rows = [
        (
            cost.method,
            str(cost.num_units),
            _known(cost.seconds_per_step, ".2f"),
            _known(cost.relative, ".2f"),
            _NONE if math.isnan(cost.relative) else f"{cost.lowest:.2f}-{cost.highest:.2f}",
            _known(cost.updates, ",.0f"),
            _known(cost.samples_generated, ",.0f"),
            ", ".join(str(jobs) for jobs in cost.jobs) or _NONE,
        )
        for cost in costs
    ]
    columns = ("cells", "s/step", "relative", "range", "updates", "samples", "jobs")
    return TextTable(title, columns, [("", rows)])


def _known(value: float, form: str) -> str:
    return _NONE if math.isnan(value) else format(value, form)


def _number(name: str, value: float) -> str:
    if math.isnan(value):
        return _NONE
    if name in _PERCENT:
        return f"{value:.1%}"
    return f"{value:.2f}" if name == "distinct" else f"{value:.3f}"


def _signed(name: str, value: float) -> str:
    if math.isnan(value):
        return _NONE
    if name in _PERCENT:
        return f"{value:+.1%}"
    return f"{value:+.2f}" if name == "distinct" else f"{value:+.3f}"


def _p(value: float) -> str:
    if math.isnan(value):
        return _NONE
    return f"{value:.3f}" if value >= 0.001 else "<.001"


# ---- The tables of `meds compare` in the terminal.


def tables(results: Results, baseline: str) -> Iterator[Table]:
    """For each task and group the measures and the other pairs, and for each task the cost."""
    return (_table(table) for table in text_tables(results, baseline))


def _table(given: TextTable) -> Table:
    """The first column holds names; the others hold numbers and keep their width."""
    table = Table(
        title=given.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    table.add_column("", overflow="fold")
    for name in given.columns:
        table.add_column(name, no_wrap=True, justify="right")
    for heading, rows in given.sections:
        if heading:
            table.add_row(heading)
        indent = "  " if heading else ""
        for place, (name, *cells) in enumerate(rows):
            table.add_row(f"{indent}{name}", *cells, end_section=bool(heading) and place == len(rows) - 1)
    return table


# ---- The tables of `meds compare` as GitHub Markdown, with what they were made of and by which command.

MARK = "<!-- meds compare -->"
"""By this first line a file is known to be ours, and may be replaced."""

SHOWN_VERSIONS = ("meds-rl", "torch", "trl")

LEGEND = (
    "`n` is the number of units behind the mean; `diff` is the mean over units of paired differences, with a bootstrap "
    "over units and problems; `> 0` counts units above 0, of those behind the difference; `p` is a sign-flip test over "
    "units, `Holm` that corrected for the number of comparisons."
)


def refuse_foreign(path: Path) -> None:
    """Raise a FileExistsError unless ``path`` is free or a Markdown file of ours."""
    if not path.exists():
        return
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(MARK)) == MARK.encode():
                return
    raise FileExistsError(
        f"{path} exists and was not written by meds compare; nothing was changed. Name another file."
    )


def write_markdown(
    path: Path, grid: Grid, outcomes: Sequence[Outcome], results: Results, command: str
) -> None:
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
    parts += [
        _table_compare_markdown(table) for table in text_tables(results, grid.baseline, over_checkpoints=True)
    ]
    parts += [LEGEND, "\n".join(f"- {_safe(note)}" for note in results.notes())]
    return "\n\n".join(part for part in parts if part) + "\n"


def header(grid: Grid, outcomes: Sequence[Outcome], results: Results) -> str:
    """Cells finished and asked for; of each task units, checkpoints, seeds and k; versions that the cells ran with."""
    seeds = _listed(grid.seeds)
    said = [f"{results.num_finished} of {results.num_cells} cells finished"]
    for task, of_task in by_task(grid, outcomes).items():
        asked = [(task, name, seed) for name in grid.checkpoints[task] for seed in grid.seeds]
        done = [(one.cell.unit, one.cell.method) for one in of_task]
        whole = sum(all((unit, method) in done for method in grid.methods) for unit in asked)
        said.append(
            f"{task}: {whole} of {len(asked)} units with all methods "
            f"(checkpoints {', '.join(grid.checkpoints[task])}; seeds {seeds}), k = {k_of(of_task, grid.k)}"
        )
    return _safe(". ".join((*said, ", ".join(_versions(outcomes)))) + ".")


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


# ---- What `meds compare` writes where it is asked to: the tables as Markdown, and figures.

if TYPE_CHECKING:
    from meds_lab.compare.grid import Grid
    from meds_lab.compare.outcomes import Outcome
    from meds_lab.compare.results import Results


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
    from meds_lab.compare.drawing import figure_names
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
