"""Watch a run while it trains: its figures and its largest errors, live in the terminal."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from meds_rl.report.live.follow import Follower

DESCRIPTION = """\
Show a run's figures and largest errors live in the terminal while it trains. Waits for a run that has not begun, and
ends when training has ended or with Ctrl-C; the run itself is never touched. Where the output is no terminal, one line
is printed for each new step. Of a folder with several runs (RUN, RUN/run-2, ...) it shows the one written last."""

LONGEST = 86_400.0
"""Most seconds between two looks: a day."""

TICK = 0.2
"""Seconds between two looks at the terminal's size."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, and how often to look."""
    parser.description = DESCRIPTION
    parser.add_argument("run", metavar="RUN", help="a run folder; it need not exist yet")
    parser.add_argument("--every", type=float, default=2.0, metavar="SECONDS", help="how often to look (default: 2)")
    parser.add_argument("--once", action="store_true", help="show what is there now, and end")


def run(args: argparse.Namespace) -> int:
    """Show the run until it has ended.

    Raises:
        ValueError, OSError: bad input; `main` prints the message.
        ImportError: the extra `report` is not installed.
    """
    if not 0 < args.every <= LONGEST:
        raise ValueError(f"--every must be above 0 and at most {LONGEST:,.0f}, a day; got {args.every}.")
    if Path(args.run).is_file():
        raise ValueError(f"{args.run} is a file; give the run folder.")
    try:
        from meds_rl.cli.tables import console
        from meds_rl.report.live.follow import Follower
        from meds_rl.report.text import one_line
        from meds_rl.rollouts import RunFolder
    except ModuleNotFoundError as error:
        raise ImportError(f'{error}. meds watch needs: pip install "meds-rl[report]"') from error
    out = console()
    run = RunFolder(args.run).written_last()
    if run.path != Path(args.run):
        out.print(one_line(f"{run.path}: written last of the runs in {args.run}."), soft_wrap=True)
    follower = Follower(run.path)
    if args.once:
        run.check()
        follower.poll(float("inf"))
        show(follower, out)
    elif out.is_terminal:
        watch_live(follower, out, args.every)
    else:
        watch_lines(follower, out, args.every)
    return 0


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
    path = follower.folder.path
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
