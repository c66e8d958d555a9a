"""The process that trains one cell."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from meds_rl.experiments.cells import Cell
from meds_rl.experiments.state import State, state_of

Command: TypeAlias = Callable[[Cell, Sequence[str]], Sequence[str]]
"""From a cell, and what goes on the line beside its recipe, to what is run."""

GRACE = 10.0
"""Seconds that a training has to end when it is told to."""


def train_command(cell: Cell, overrides: Sequence[str]) -> list[str]:
    """An ordinary ``meds train`` in this interpreter."""
    return [sys.executable, "-m", "meds_rl", "train", str(cell.recipe_path), *overrides]


@dataclass(frozen=True, eq=False)
class Training:
    """A cell's process.

    Attributes:
        begun: time.monotonic() at its start.
        resumed: whether it goes on from a checkpoint.
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
        if state is State.TO_BEGIN_ANEW:
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
        """Tell it, and what it began, to end. Whatever it had written whole stays; the next run of the grid goes on."""
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
