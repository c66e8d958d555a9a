"""Runs the cells of a grid, some at once, and continues when one fails."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TypeAlias

import numpy as np

from meds_lab.compare.cells import Cell
from meds_lab.compare.grid import GridError
from meds_lab.compare.state import Attempt, State, add_attempt, is_finished, state_of

# ---- The process that trains one cell.

Command: TypeAlias = Callable[[Cell, Sequence[str]], Sequence[str]]
"""From a cell and the overrides of its recipe to the command line."""

GRACE = 10.0
"""Seconds that a training has to end after SIGTERM."""


def train_command(cell: Cell, overrides: Sequence[str]) -> list[str]:
    """``meds-lab train`` in this interpreter."""
    return [sys.executable, "-m", "meds_lab", "train", str(cell.recipe_path), *overrides]


@dataclass(frozen=True, eq=False)
class Training:
    """A cell's process.

    Attributes:
        begun: time.monotonic() at its start.
        resumed: whether it resumes from a checkpoint.
    """

    cell: Cell
    process: subprocess.Popen[bytes]
    begun: float
    resumed: bool

    @classmethod
    def begin(
        cls, cell: Cell, command: Command, inherited: Sequence[int] = (), before_from: Path | None = None
    ) -> Training:
        """Start training a cell that is not finished; what was left before its first checkpoint is removed.

        Args:
            cell: the cell.
            command: what trains it.
            inherited: file descriptors that it keeps open.
            before_from: a run folder whose evaluation before training is the same.
        """
        state = state_of(cell)
        if state is State.TO_RESTART:
            shutil.rmtree(cell.folder)
        resume = state is State.TO_RESUME
        cell.write_recipe()
        overrides = ["--resume_from_checkpoint", "true"] if resume else []
        if before_from is not None and not resume:
            overrides = ["--eval_before_from", str(before_from)]
        line = list(command(cell, overrides))
        with cell.log_path.open("ab") as log:
            log.write(f"$ {' '.join(line)}\n".encode())
            log.flush()
            process = subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # One core a training, unless the user says otherwise.
                env={"OMP_NUM_THREADS": "1", **os.environ},
                # Ctrl-C reaches this process alone, which ends its trainings in good order.
                start_new_session=True,
                pass_fds=tuple(inherited),
            )
        return cls(cell, process, time.monotonic(), resume)

    @property
    def seconds(self) -> float:
        """Since its start."""
        return time.monotonic() - self.begun

    def stop(self) -> None:
        """End it and its children. What it has written completely stays; the next run of the grid resumes it."""
        self._signal(signal.SIGTERM)

    def wait(self, seconds: float) -> None:
        """Wait for its end; end it by force after some seconds."""
        try:
            self.process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait()

    def _signal(self, number: int) -> None:
        if self.process.poll() is not None:
            return
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return  # it ended in between


_LAST_LINES = 12
_LOOK_EVERY = 0.2
"""Seconds between looks at the processes."""


@dataclass(frozen=True)
class Failure:
    """A cell whose training failed: its exit status and the last lines that it printed."""

    cell: Cell
    status: int
    last_lines: Sequence[str]


@dataclass
class Progress:
    """Progress of a run of a grid.

    Attributes:
        waiting: cells not begun, in order.
        running: cells that are running, each with its seconds so far.
        done: cells finished in this run, with their seconds; those that went on from a checkpoint too.
        failed: cells that failed in this run.
    """

    waiting: Sequence[Cell]
    running: Mapping[Cell, float] = field(default_factory=dict)
    done: dict[Cell, float] = field(default_factory=dict)
    failed: list[Failure] = field(default_factory=list)


def run_cells(
    cells: Sequence[Cell],
    jobs: int,
    *,
    inherited: Sequence[int] = (),
    shares_before: bool = False,
    command: Command | None = None,
    on_look: Callable[[Progress], None] | None = None,
) -> list[Failure]:
    """Train cells, at most ``jobs`` at once, in their order.

    Args:
        cells: not finished ones.
        jobs: at least 1.
        inherited: file descriptors that the trainings keep open (`meds_lab.compare.runner`).
        shares_before: whether the cells of a unit have the same evaluation before training; a cell then takes it over
            from one that has done it by the time it begins.
        command: what trains a cell; by default `train_command`.
        on_look: called a few times a second.

    Returns:
        What failed. A failure does not stop the others.

    Raises:
        ValueError: jobs below 1.
        KeyboardInterrupt: on Ctrl-C, SIGTERM or SIGHUP, once all trainings have ended.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1; got {jobs}.")
    waiting = deque(cells)
    running: list[Training] = []
    progress = Progress(list(cells))
    with _noted_signals() as noted:
        try:
            while (waiting or running) and not noted:
                while waiting and len(running) < jobs:
                    cell = waiting.popleft()
                    # What a waiting cell left behind may be removed when its turn comes.
                    begun = [other for other in cells if other is not cell and other not in waiting]
                    before = evaluated_before(cell, begun) if shares_before else None
                    running.append(Training.begin(cell, command or train_command, inherited, before))
                running = [one for one in running if not _ended(one, jobs, progress)]
                progress.waiting = list(waiting)
                progress.running = {one.cell: one.seconds for one in running}
                if on_look is not None:
                    on_look(progress)
                if running:
                    time.sleep(_LOOK_EVERY)
        finally:
            _stop(running)
    if noted:
        raise KeyboardInterrupt
    return progress.failed


def evaluated_before(cell: Cell, others: Iterable[Cell]) -> Path | None:
    """The run folder of another cell of the same unit whose evaluation before training is done; None without one."""
    for other in others:
        files = [other.folder / "evaluation" / f"before.{kind}" for kind in ("parquet", "json")]
        if other.unit == cell.unit and all(path.is_file() for path in files):
            return other.folder
    return None


def _ended(training: Training, jobs: int, progress: Progress) -> bool:
    """Whether it has; then it is written down."""
    status = training.process.poll()
    if status is None:
        return False
    cell = training.cell
    add_attempt(cell, Attempt(round(training.seconds, 2), status, jobs, training.resumed))
    if status == 0 and is_finished(cell.folder):
        progress.done[cell] = training.seconds
    else:
        progress.failed.append(Failure(cell, status, last_lines(cell)))
    return True


def last_lines(cell: Cell) -> list[str]:
    """The end of a cell's log. A progress bar writes over its line; of such a line the last state is kept."""
    text = cell.log_path.read_text(encoding="utf-8", errors="replace")
    lines = [line.rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return [line for line in lines if line][-_LAST_LINES:]


def _stop(running: Sequence[Training]) -> None:
    """All get SIGTERM at once and the same time to end."""
    for training in running:
        training.stop()
    until = time.monotonic() + GRACE
    for training in running:
        training.wait(until - time.monotonic())


@contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """The signals that came in the meantime. Ctrl-C, SIGTERM and a terminal that is closed are only noted: an exception
    between a training's start and its place in the list would leave it running alone. Ignored signals stay ignored
    (nohup)."""
    noted: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        noted.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    wanted = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in wanted}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ---- One `meds-lab compare` at a time in a folder, also after one was killed and its trainings still run.


@contextmanager
def folder_lock(folder: Path) -> Iterator[tuple[int, ...]]:
    """Hold a folder; gives the file descriptors that trainings must inherit.

    The lock belongs to the open file, which parent and children share: it is let go when the last of them has ended,
    however it ended. Windows has no such lock; there nothing is held.

    Raises:
        GridError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield ()
        return
    import fcntl

    with (folder / ".compare.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise GridError(
                f"Another meds-lab compare, or a training of one, still runs in {folder}. Wait for it, or end it."
            ) from None
        yield (file.fileno(),)


# ---- How long a grid still takes, from the cells that are done.


def seconds_left(
    waiting: Sequence[Cell], running: Mapping[Cell, float], done: Mapping[Cell, float], jobs: int
) -> float | None:
    """Estimate of the time until every cell is done; None before the first one is.

    A cell takes what done cells of the same task and method took on average; where there is none, those of its method,
    then those of its task, then all. Work is shared evenly by ``jobs`` processes; no cell is faster than it is alone.

    Args:
        waiting: cells not begun.
        running: cells that are running, with the seconds since each was begun.
        done: cells trained in one go, with their seconds.
        jobs: cells at once.
    """
    if not done:
        return None
    left = [max(0.0, expected_seconds(cell, done) - spent) for cell, spent in running.items()]
    left += [expected_seconds(cell, done) for cell in waiting]
    return max(sum(left) / jobs, max(left, default=0.0))


def expected_seconds(cell: Cell, done: Mapping[Cell, float]) -> float:
    """What a cell takes, from the nearest ones that are done."""
    same_method = [other for other in done if other.method == cell.method]
    same_task = [other for other in done if other.task == cell.task]
    both = [other for other in same_method if other.task == cell.task]
    chosen = both or same_method or same_task or list(done)
    return float(np.mean([done[other] for other in chosen]))


def in_words(seconds: float) -> str:
    """A duration, as short as it is good for.

    Example:
        >>> [in_words(seconds) for seconds in (42.0, 400.0, 9000.0)]
        ['42 s', '7 min', '2 h 30 min']
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
