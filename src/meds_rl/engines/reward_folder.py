"""The run folder of a `RepeatedErrorPenalty`: what is written after each batch, and how a run is continued.

Rollouts and metrics are written after every batch. The memory's file is written whole, so a large one is written only
now and then: beside the old one before the rollouts of its batch, and in its place after them. A batch counts once its
rollouts are written; after a kill, memory and metrics of one without rollouts are dropped. Batches that the memory's
file lacks are remembered again from the rollouts. So a kill loses at most the batch in progress.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakValueDictionary

from meds_rl.files import write_atomically
from meds_rl.memory.memory import ErrorMemory
from meds_rl.rollouts.folder import MEMORY_FILE, RunFolder
from meds_rl.rollouts.table import RunFolderError, read_batch

if TYPE_CHECKING:
    from filelock import BaseFileLock

logger = logging.getLogger("meds_rl")

CHEAP_SECONDS = 0.1
"""A memory that can be written in less time is written after every batch."""
NEXT_MEMORY_FILE = "next.memory.safetensors"
"""The memory with a batch whose rollouts are not yet written."""
TIMES_ITS_COST = 20
"""A larger one is written again after this many times what the last write took: at most 1/20 of the time."""

REMEMBERED_COLUMNS = ("prompt_id", "prompt", "completion", "answer", "reward", "is_correct", "outcome")

RememberAgain: TypeAlias = Callable[[Mapping[str, Sequence[Any]]], None]
"""Remembers a batch again, from the `REMEMBERED_COLUMNS` of its rollouts."""

_OPEN: WeakValueDictionary[Path, RewardFolder] = WeakValueDictionary()
"""Folder -> the object that writes to it in this process."""


class RewardFolder:
    """An open run folder, locked against other processes.

    A run of the same kind in the folder is continued: from the trainer's `step` on, or after its last batch if there is
    no `step`. A trainer that starts again at step 0 gets a new run, ``run-2``.

    Args:
        folder: the folder; made if need be.
        memory: restored from the folder if that has a run.
        about: the names of the fingerprint and the answer finder. A run with other names is not continued.
        step: optimiser steps done; None for a loop without a trainer's state.
        again: remembers a batch that the memory's file lacks. None: batches cannot be remembered again, so the file is
            written after every batch.

    Attributes:
        generation: number of the next batch.

    Raises:
        FileExistsError: another process writes to it, or it has a run of another kind.
        RunFolderError, MemoryFileError: its run cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        memory: ErrorMemory,
        about: Mapping[str, Any],
        step: int | None,
        again: RememberAgain | None,
    ) -> None:
        self._folder, self._memory, self._about, self._again = folder, memory, about, again
        self._process = os.getpid()
        self._lock: BaseFileLock | None = self._take_over()
        self._memory_step = memory.step  # before the first batch
        self._last_step, self._written = 0, False
        self._is_saved, self._saved_at, self._saving_took = True, 0.0, 0.0
        self.generation = 0
        self._run = RunFolder(folder).written_last()
        try:
            if self._run.has_begun():
                self._check_same_kind()
                if step == 0 and self._run.has_rollouts():
                    self._start_new()
                else:
                    self._continue()
        except BaseException:
            self.close()
            raise

    def _take_over(self) -> BaseFileLock:
        from meds_rl.engines.lock import acquire, lock_of

        place = self._folder.resolve()
        if (earlier := _OPEN.get(place)) is not None:  # for example from a notebook cell that is run again
            earlier.close()
        lock = lock_of(self._folder)
        acquire(lock, "folder")
        _OPEN[place] = self
        return lock

    def close(self) -> None:
        """Write the memory if need be, and release the lock. A forked process has neither of its own."""
        if self._lock is not None and self._process == os.getpid():
            if not self._is_saved:
                self._save_memory()
            self._lock.release()
            self._lock = None

    # ---- Continue.

    def _check_same_kind(self) -> None:
        theirs = self._run.environment().get("penalty")
        if theirs != self._about:
            found = f"fingerprints {theirs}" if theirs else "no RepeatedErrorPenalty"
            raise FileExistsError(
                f"{self._run.path} has a run with {found}; this one has {dict(self._about)}. Nothing was changed. Name "
                "another folder."
            )

    def _continue(self) -> None:
        files = list(self._run.rollout_files())
        self.generation = files[-1][0] + 1 if files else 0
        self._memory_step = int(self._run.environment()["memory_step"])
        self._complete_last_write()
        if not files:
            return
        path = self._run.path / MEMORY_FILE
        if not path.is_file():
            raise RunFolderError(f"{self._run.path} has rollouts and no {MEMORY_FILE}: it cannot be continued.")
        self._last_step = _step_of(files[-1][1])
        self._memory.restore(path)
        missing = self.generation - (self._memory.step - self._memory_step)
        for number, file in files:
            if number >= self.generation - missing:
                if self._again is None:
                    raise RunFolderError(
                        f"{path} lacks the last {missing} batches of the rollouts: it cannot be continued."
                    )
                self._again(read_batch(file, REMEMBERED_COLUMNS).to_pydict())
        self._memory.rewind(min(self._memory.step, self._memory_step + self.generation))

    def _complete_last_write(self) -> None:
        """Complete or undo the write that a kill interrupted."""
        following = self._run.path / NEXT_MEMORY_FILE
        if following.is_file():
            if ErrorMemory.load(following).step == self._memory_step + self.generation:
                following.replace(self._run.path / MEMORY_FILE)
            else:
                following.unlink()
        self._run.keep_metrics(self.generation)

    def _start_new(self) -> None:
        first = RunFolder(self._folder)
        self._run = RunFolder(self._folder / f"run-{max(first.numbered_runs(), default=1) + 1}")
        self.generation, self._last_step, self._saving_took = 0, 0, 0.0
        logger.warning(
            "%s has a run, and the trainer starts at step 0: this run goes to %s, with a memory of its own. For "
            "another place name another folder; to continue a run, resume the trainer from its checkpoint.",
            self._folder,
            self._run.path,
        )

    def begin(self, step: int | None) -> int:
        """Prepare for a batch and return its step, which is the number of the batch if `step` is None.

        Raises:
            RuntimeError: another RepeatedErrorPenalty of this process has taken over the folder, or the process was
                forked.
        """
        if self._process != os.getpid():
            raise RuntimeError(
                f"{self._folder} is written by the process that this one was forked from; call RepeatedErrorPenalty "
                "there, or name another folder"
            )
        if self._lock is None:
            raise RuntimeError(
                f"Another RepeatedErrorPenalty of this process writes to {self._folder}; name two folders"
            )
        if step is None:
            return self.generation
        again = self.generation > 0 and (step < self._last_step or (step == self._last_step and not self._written))
        if again and step == 0:
            if not self._is_saved:
                self._save_memory()
            self._memory.rewind(self._memory_step)
            self._start_new()
        elif again:
            self._go_back(step)
        return step

    def _go_back(self, step: int) -> None:
        """Forget the batches from this step on: a resumed trainer samples them again."""
        earlier = (number for number, path in reversed(list(self._run.rollout_files())) if _step_of(path) < step)
        generation = next(earlier, -1) + 1
        logger.warning(
            "The trainer resumes at step %d: the memory and %s forget the %d batches that came after it.",
            step,
            self._run.path,
            self.generation - generation,
        )
        if self._memory.capacity is not None:
            logger.warning("Completions that the memory dropped since then, because of its capacity, do not come back.")
        self._run.drop_rollouts_from(generation)
        self._run.drop_metrics_after(step)
        self._memory.rewind(self._memory_step + generation)
        self.generation, self._saving_took = generation, 0.0

    # ---- Write.

    def write(
        self, step: int, columns: Mapping[str, Any], figures: Mapping[str, float], recipe: Mapping[str, Any]
    ) -> None:
        """Write the memory, the rollouts and the metrics of a batch.

        Args:
            step: what `begin` returned.
            columns: of the rollouts table, without `step` and `generation`.
            figures: of the batch.
            recipe: settings, for ``recipe.yaml``, which is written with the first batch.
        """
        if self.generation == 0:
            self._describe(recipe)
        since = time.monotonic() - self._saved_at
        is_due = self.generation == 0 or self._again is None or self._saving_took < CHEAP_SECONDS
        is_due |= since > TIMES_ITS_COST * self._saving_took
        self._is_saved = False
        if is_due:
            self._save_memory(NEXT_MEMORY_FILE)
        # The trainer's own rows are written after the update, so `step` counts it.
        row = {"step": step + 1, **figures}
        with self._run.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        size = len(columns["prompt_id"])
        numbers = {"step": [step] * size, "generation": [self.generation] * size}
        self._run.write_rollouts(self.generation, {**numbers, **columns})
        if is_due:
            (self._run.path / NEXT_MEMORY_FILE).replace(self._run.path / MEMORY_FILE)
            self._is_saved = True
        self.generation += 1
        self._last_step, self._written = step, True

    def _save_memory(self, name: str = MEMORY_FILE) -> None:
        start = time.monotonic()
        self._memory.save(self._run.path / name)
        self._is_saved, self._saved_at = name == MEMORY_FILE, time.monotonic()
        self._saving_took = self._saved_at - start

    def _describe(self, recipe: Mapping[str, Any]) -> None:
        output_dir = os.path.relpath(self._folder, self._run.path)
        about = {"output_dir": output_dir, "penalty": dict(self._about), "memory_step": self._memory_step}
        self._run.path.mkdir(parents=True, exist_ok=True)
        self._run.write_environment(about)
        # Every JSON file is also YAML.
        text = f"# The settings of RepeatedErrorPenalty.\n{json.dumps(dict(recipe), indent=2)}\n"
        write_atomically(self._run.path / "recipe.yaml", text.encode())


def _step_of(path: Path) -> int:
    """The step of a file of rollouts."""
    steps = read_batch(path, ["step"])["step"]
    return int(steps[0].as_py()) if len(steps) else 0


@atexit.register
def _close_all() -> None:
    for folder in list(_OPEN.values()):
        folder.close()
