"""Train a grid of methods x tasks x checkpoints x seeds from one YAML file, and compare the methods in pairs."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from rich.console import Console
    from tqdm import tqdm

    from meds_lab.compare.cells import Cell
    from meds_lab.compare.checks import Checked
    from meds_lab.compare.grid import Grid
    from meds_lab.compare.outcomes import Outcome
    from meds_lab.compare.runner import Failure, Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The grid, where its runs are, how many at once."""
    parser.add_argument("grid", metavar="GRID.yaml", help="the grid; see lab/evidence/comparing.md")
    parser.add_argument("--output", metavar="DIR", type=Path, help="folder of all runs; default runs/NAME of the grid")
    parser.add_argument("--jobs", type=int, metavar="N", help="trainings at once; default the number of cores")
    parser.add_argument(
        "--only", nargs="+", action="extend", metavar="METHOD", help="run only the cells of these methods"
    )
    parser.add_argument(
        "--merge",
        nargs="+",
        action="extend",
        metavar="CELLS.parquet",
        type=Path,
        help="take finished cells of this grid from other files: cells.parquet of a folder, or lab/evidence/*.parquet",
    )
    parser.add_argument(
        "--markdown",
        metavar="FILE.md",
        type=Path,
        help="also write the tables as Markdown; an older one is replaced, another file never",
    )
    parser.add_argument(
        "--figures", metavar="DIR", type=Path, help="also draw differences, course of training and cost"
    )
    parser.add_argument("--format", choices=("svg", "png"), help="of the figures, with --figures (default: svg)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="check everything, show the cells, run nothing")
    what.add_argument("--table", action="store_true", help="only make the tables, of what is finished")


def run(args: argparse.Namespace) -> int:
    """Check, run what is not finished, write the results, print the tables.

    Returns:
        0; 1 if a cell failed.
    """
    from meds_rl.cli.tables import quieten

    quieten()
    from meds_lab.compare.cells import make_cells
    from meds_lab.compare.checks import check_grid
    from meds_lab.compare.files import check_files, check_folder, check_pictures
    from meds_lab.compare.grid import check_names
    from meds_lab.compare.merge import read_merged
    from meds_lab.compare.significance import planned_units, power_note
    from meds_lab.compare.state import State, refuse_changed, refuse_changed_meaning, state_of
    from meds_rl.cli.tables import console
    from meds_rl.train.recipe import find_recipe

    path = find_recipe(args.grid)
    grid = load_grid(path)
    folder = args.output or Path("runs") / path.stem
    check_names(args.only or [], list(grid.methods), "--only")
    if args.jobs is not None and args.jobs < 1:
        raise ValueError(f"--jobs must be at least 1; got {args.jobs}.")
    check_folder(folder, "--output")
    check_files(args)
    cells = make_cells(grid, folder)
    checked = check_grid(grid, cells)
    check_pictures(args, grid, any(recipe.run.eval_every for recipe in checked.recipes.values()))
    refuse_changed(cells)
    refuse_changed_meaning(checked.recipes)
    merged = read_merged(args.merge or [], checked.recipes)
    out = console()
    note = power_note(planned_units(grid, checked.groups))
    if note is not None and not args.table:  # the tables say it of what is finished
        out.print(f"Note: {note}", soft_wrap=True)
    if args.dry_run:
        _show(out, cells, args.only, merged)
        out.print(_on_budgets(checked), soft_wrap=True)
        return 0
    failures: list[Failure] = []
    if not args.table:
        chosen = [cell for cell in cells if not args.only or cell.method in args.only]
        open_cells = [cell for cell in chosen if cell not in merged and state_of(cell) is not State.FINISHED]
        if open_cells:
            failures = _train(folder, grid, cells, open_cells, args.jobs or _cores())
    _results(out, args, grid, cells, folder, merged)
    _print_failures(out, failures)
    return 1 if failures else 0


def load_grid(path: Path) -> Grid:
    """Read a grid and the recipe that it names: a path, a file beside the grid, or a shipped recipe's name.

    Raises:
        ValueError: what is wrong with either.
    """
    from meds_lab.compare.grid import read_fields, read_grid, recipe_of
    from meds_rl.train.recipe import field_names, find_recipe

    named = recipe_of(path)
    beside = path.parent / named
    is_beside = os.path.isfile(beside) and not os.path.isfile(named)  # noqa: PTH113 - no error for what is no path
    recipe = beside if is_beside else find_recipe(named)
    return read_grid(path, read_fields(recipe), field_names())


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def _show(out: Console, cells: Sequence[Cell], only: Sequence[str] | None, merged: Collection[Cell]) -> None:
    from meds_lab.compare.state import State, state_of

    finished = 0
    for cell in cells:
        state = state_of(cell)
        shown = state.value if not only or cell.method in only else "left out by --only"
        if cell in merged and state is not State.FINISHED:
            shown = "finished, merged"
        finished += state is State.FINISHED or cell in merged
        out.print(f"{cell.name}: {shown}", soft_wrap=True)
    out.print(f"{len(cells)} cells, {finished} finished. Nothing was run.")


def _on_budgets(checked: Checked) -> str:
    differing = sorted(checked.differing)
    return f"Budgets are equal{' but for ' + ', '.join(differing) if differing else ''}."


def _train(folder: Path, grid: Grid, cells: Sequence[Cell], open_cells: Sequence[Cell], jobs: int) -> list[Failure]:
    """Train what is not finished."""
    from meds_lab.compare.runner import folder_lock, run_cells
    from meds_lab.compare.state import full_seconds

    jobs = min(jobs, len(open_cells))
    earlier = {cell: seconds for cell in cells if (seconds := full_seconds(cell)) is not None}
    with folder_lock(folder) as inherited, bar(len(open_cells)) as shown:
        try:
            return run_cells(
                open_cells,
                jobs,
                inherited=inherited,
                shares_before=not grid.budget_may_differ,
                on_look=watcher(shown, earlier, jobs),
            )
        except KeyboardInterrupt:
            shown.write("All trainings were ended. The same command continues them.")
            raise


def _results(
    out: Console,
    args: argparse.Namespace,
    grid: Grid,
    cells: Sequence[Cell],
    folder: Path,
    merged: Mapping[Cell, Outcome],
) -> None:
    from meds_lab.compare.files import write_asked
    from meds_lab.compare.outcomes import read_outcome
    from meds_lab.compare.results import make_results, write_files
    from meds_lab.compare.state import State, state_of
    from meds_lab.compare.tables import tables

    own = {cell: read_outcome(cell) for cell in cells if state_of(cell) is State.FINISHED}
    found = {**merged, **own}
    outcomes = [found[cell] for cell in cells if cell in found]
    if not outcomes:
        out.print(f"No cell in {folder} is finished: there is nothing to compare.", soft_wrap=True)
        return
    results = make_results(grid, outcomes, len(cells))
    write_files(folder, grid, outcomes, results)
    for table in tables(results, grid.baseline):
        out.print(table)
    for note in results.notes():
        out.print(f"Note: {note}", soft_wrap=True)
    out.print(
        f"All numbers: {folder / 'results.json'}; every problem's counts: {folder / 'cells.parquet'}",
        soft_wrap=True,
    )
    for line in write_asked(args, grid, outcomes, results):
        out.print(line, soft_wrap=True)
    for task in dict.fromkeys(cell.task for cell in own):
        page = shlex.quote(str(folder / f"report-{task}.html"))
        runs = shlex.quote(str(folder / task))
        out.print(f"Which errors recur: meds report {runs}/*/* --output {page}", soft_wrap=True)


def _print_failures(out: Console, failures: Sequence[Failure]) -> None:
    for failure in failures:
        out.print(
            f"\n{failure.cell.name} failed with status {failure.status}. The end of {failure.cell.log_path}:",
            soft_wrap=True,
        )
        for line in failure.last_lines:
            out.print(f"  {line}", soft_wrap=True)
    if failures:
        out.print(f"\n{len(failures)} cell(s) failed; the same command runs them again, and only them.")


# ---- Progress: a line for each cell that ends, and how long the rest takes.


def bar(num_cells: int) -> tqdm[NoReturn]:
    """A bar of the cells that are to run; none where the output is no terminal."""
    from tqdm import tqdm

    return tqdm(total=num_cells, disable=None, bar_format="{n_fmt} of {total_fmt} cells |{bar}| {elapsed}{postfix}")


def watcher(bar: tqdm[NoReturn], earlier: Mapping[Cell, float], jobs: int) -> Callable[[Progress], None]:
    """What `run_cells` calls a few times a second: it prints a line for each cell that ended.

    Args:
        bar: moves with it.
        earlier: seconds of cells that were done before this run.
        jobs: cells at once.
    """
    from meds_lab.compare.runner import in_words, seconds_left

    shown: set[Cell] = set()

    def look(progress: Progress) -> None:
        ended = {cell: f"done in {in_words(seconds)}" for cell, seconds in progress.done.items()}
        ended |= {one.cell: f"failed with status {one.status}, see {one.cell.log_path}" for one in progress.failed}
        left = seconds_left(progress.waiting, progress.running, {**earlier, **progress.done}, jobs)
        rest = "" if left is None else f", about {in_words(left)} left"
        for cell, how in ended.items():
            if cell not in shown:
                shown.add(cell)
                bar.write(f"[{len(shown)} of {bar.total}] {cell.name}: {how}{rest}")
        bar.n = len(shown)
        bar.set_postfix_str(rest.removeprefix(", "))

    return look
