"""Watch a run while it trains: its figures and its largest errors, live in the terminal."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from meds_rl.cli.sources import add_read_options, read_options

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from meds_rl.report.live.follow import Follower
    from meds_rl.rollouts.collect import ReadOptions

DESCRIPTION = """\
Show a run's figures and largest errors live in the terminal while it trains. It waits for a run that has not begun, and
ends when training ends or at Ctrl-C; the run itself is never touched. If the output is not a terminal, it prints one
line for each new step. In a folder with several runs (RUN, RUN/run-2, ...) it shows the one that was written last. It
follows a folder of another program's rollouts until Ctrl-C."""

LONGEST = 86_400.0
"""The largest value of --every, in seconds: a day."""

TICK = 0.2
"""Seconds between two checks of the terminal's size."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, and how often to look."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "run", metavar="PATH", help="a run folder, which need not exist yet, or rollouts of another program"
    )
    parser.add_argument("--every", type=float, default=2.0, metavar="SECONDS", help="how often to look (default: 2)")
    parser.add_argument("--once", action="store_true", help="show the current state, and end")
    add_read_options(parser)


def run(args: argparse.Namespace) -> int:
    """Show the run until it has ended.

    Raises:
        ValueError, OSError: bad input; `main` prints the message.
        ImportError: the extra `report` is not installed.
    """
    if not 0 < args.every <= LONGEST:
        raise ValueError(f"--every must be above 0 and at most {LONGEST:,.0f}, a day; got {args.every}.")
    try:
        from meds_rl.cli.tables import console
        from meds_rl.report.live.follow import Follower
        from meds_rl.report.text import one_line
        from meds_rl.rollouts import RunFolder
        from meds_rl.rollouts.dumps import find_sources, is_data, is_run
        from meds_rl.rollouts.reading import refuse_options
    except ModuleNotFoundError as error:
        raise ImportError(f'{error}. meds watch needs: pip install "meds-rl[report]"') from error
    path, out, options = Path(args.run), console(), read_options(args)
    if path.is_file() and not is_data(path):
        raise ValueError(f"{args.run} is a file; give the run folder, or a file of rollouts.")
    if is_run(path):
        refuse_options(path, options)
    elif _is_dump(args.run) or not options.is_empty:
        _watch_dump(args, options, out)
        return 0
    run = RunFolder(path).written_last()
    if run.path != path:
        out.print(one_line(f"{run.path}: written last of the runs in {args.run}."), soft_wrap=True)
    if args.once:
        if not is_run(run.path):
            find_sources([args.run])  # says what is there instead
        run.check()
    _follow(Follower(run.path), out, args)
    return 0


def _watch_dump(args: argparse.Namespace, options: ReadOptions, out: Console) -> None:
    from meds_rl.report.live.dumps import REST, DumpFollower
    from meds_rl.report.text import one_line
    from meds_rl.rollouts.dumps import find_sources

    with tempfile.TemporaryDirectory(prefix="meds-rollouts-") as folder:
        follower = DumpFollower(args.run, options, Path(folder), rest=0.0 if args.once else REST)
        if args.once:
            find_sources([args.run])  # an error if nothing is there
        follower.poll(float("inf"))
        for note in follower.notes:
            out.print(one_line(note), soft_wrap=True)
        _follow(follower, out, args)


def _is_dump(path: str) -> bool:
    """Whether another program's rollouts are there already."""
    from meds_rl.rollouts.dumps import Dump, find_sources
    from meds_rl.rollouts.table import RunFolderError

    try:
        return any(isinstance(source, Dump) for source in find_sources([path]))
    except RunFolderError:
        return False


def _follow(follower: Follower, out: Console, args: argparse.Namespace) -> None:
    if args.once:
        follower.poll(float("inf"))
        show(follower, out)
    elif out.is_terminal:
        watch_live(follower, out, args.every)
    else:
        watch_lines(follower, out, args.every)


def show(follower: Follower, out: Console) -> None:
    """Print everything once, however long it is."""
    from meds_rl.report.live.terminal import screen

    out.print(screen(follower, out.width, None))


def watch_live(follower: Follower, out: Console, every: float, sleep: Callable[[float], None] = time.sleep) -> None:
    """Redraw the whole terminal at each look and whenever its size changes; leave the last figures behind."""
    from rich.live import Live

    try:
        with Live(console=out, screen=True, auto_refresh=False) as live:
            while True:
                is_new = follower.poll(seconds=every)
                live.update(_drawn(follower, out), refresh=True)
                if follower.has_ended and not follower.unread:
                    break
                if not (is_new and follower.unread):  # otherwise there is more to read now
                    _wait(live.update, follower, out, every, sleep)
    except KeyboardInterrupt:
        pass
    show(follower, out)


def watch_lines(follower: Follower, out: Console, every: float, sleep: Callable[[float], None] = time.sleep) -> None:
    """Print a line whenever a step was logged, and at the end the largest errors."""
    from meds_rl.report.live.terminal import largest_error_line, status_line
    from meds_rl.report.text import one_line

    printed, printed_waiting = None, False
    try:
        while True:
            is_new = follower.poll(seconds=every)
            more = is_new and follower.unread > 0  # to read now
            newest = (follower.step, follower.has_ended)
            if follower.step == 0:
                if not printed_waiting:
                    out.print(one_line(waiting(follower)), soft_wrap=True)
                    printed_waiting = True
            elif newest != printed and not more:
                # From the second look on every step is printed, however long the time between looks.
                since = follower.step if printed is None else min(printed[0] + 1, follower.step)
                for step in range(since, follower.step + 1):
                    out.print(status_line(follower, step), soft_wrap=True)
                printed = newest
            if follower.has_ended and not follower.unread:
                break
            if not more:
                sleep(every)
    except KeyboardInterrupt:
        pass
    for error in follower.largest_errors(3):
        out.print(largest_error_line(follower, error), soft_wrap=True)


def waiting(follower: Follower) -> str:
    """A line that says what is missing."""
    path = follower.path
    return f"Waiting for {path}: {'its first step' if path.is_dir() else 'there is no such folder yet'} …"


def _drawn(follower: Follower, out: Console) -> RenderableType:
    from rich.text import Text

    from meds_rl.report.live.terminal import screen
    from meds_rl.report.text import one_line

    if follower.step == 0 and not follower.num_completions:
        return Text(one_line(waiting(follower), out.width))
    return screen(follower, out.width, out.height, note="Ctrl-C ends watching, not the run.")


def _wait(
    update: Callable[..., None], follower: Follower, out: Console, every: float, sleep: Callable[[float], None]
) -> None:
    """Wait for the next look; redraw when the terminal's size changes."""
    size, waited = out.size, 0.0
    while waited < every:
        sleep(min(TICK, every - waited))
        waited += TICK
        if out.size != size:
            size = out.size
            update(_drawn(follower, out), refresh=True)
