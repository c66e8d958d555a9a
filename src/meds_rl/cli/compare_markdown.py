"""The tables of `meds compare` as GitHub Markdown, with what they were made of and by which command."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from meds_rl.cli.compare_rows import TextTable, text_tables
from meds_rl.experiments.comparison import by_task
from meds_rl.experiments.grid import Grid
from meds_rl.experiments.outcomes import Outcome, k_of
from meds_rl.experiments.results import Results
from meds_rl.report.plain import encodable
from meds_rl.runs.folder import write_atomically

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
    parts += [_table(table) for table in text_tables(results, grid.baseline, over_checkpoints=True)]
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


def _table(table: TextTable) -> str:
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
