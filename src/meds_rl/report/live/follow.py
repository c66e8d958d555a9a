"""Follows a run while it trains: each look reads only what was written since the last one."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meds_rl.report.course import BATCH_COLUMNS, PREFERRED, BatchFigures, Course, logged_figures
from meds_rl.report.recipe import Recipe, read_recipe
from meds_rl.report.source import is_wrong
from meds_rl.report.text import Template, finite, prompt_words, template_of
from meds_rl.rollouts.folder import RunFolder
from meds_rl.rollouts.table import RunFolderError, metrics_row, read_batch

if TYPE_CHECKING:
    import pandas as pd

Stamp = tuple[int, int, int]
"""Inode, time and size of a file: they differ if the file was replaced."""


@dataclass
class GivenError:
    """One wrong answer to one prompt.

    Attributes:
        prompt_id, answer: the prompt, and the answer (None for no answer).
        count: how often so far.
        first, last: first and last step.
        penalty: sum of the penalties.
        file: the file with the prompt's text.
    """

    prompt_id: str
    answer: str | None
    count: int
    first: int
    last: int
    penalty: float
    file: Path


class Follower:
    """What was read of a run so far.

    Args:
        path: The run folder; it need not exist yet.

    Attributes:
        path: Where the run is, for the reader.
        recipe: The recipe; empty until it is written.
        sampled, logged: The course of training so far, of the rollouts and of the metrics.
        errors: Each wrong answer to each prompt.
        num_completions, num_wrong: Of all batches read.
        num_answers: Completions with an answer.
        last_row: The newest row of the metrics.
        unread: Files of rollouts that exist and are not read yet.
        damaged: Files that cannot be read and were skipped.
        done_at: What the reader calls the step once the batch of step 0 was used.
    """

    done_at = 1
    _template: tuple[int, Template] = (0, Template())

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.folder = RunFolder(path)
        self.path = self.folder.path
        self.unread = 0
        self._forget_rollouts()
        self._forget_metrics()
        self._metrics = MetricsTail(self.folder.metrics_path)
        self.recipe = Recipe({}, [])
        self._recipe_stamp: Stamp | None = None

    @property
    def course(self) -> Course:
        """Panel and line -> step -> value, as in the report."""
        lines = {**self.logged, **self.sampled}
        return lines | {line: points for line, points in self.logged.items() if line[0] in PREFERRED}

    @property
    def has_memory(self) -> bool:
        """Whether a memory shapes the rewards."""
        return ("memory", "size") in self.logged or any(self.sampled.get(("memory", "size"), {}).values())

    @property
    def lacks_answers(self) -> bool:
        """Whether no completion has an answer, so that answers show nothing."""
        return self.num_completions > 0 and not self.num_answers

    @property
    def group_size(self) -> int | None:
        """G, of the recipe or else the commonest number of completions of a prompt in a batch; None while unknown."""
        return self.recipe.group_size or max(self._group_sizes, key=lambda size: self._group_sizes[size], default=None)

    @property
    def step(self) -> int:
        """Optimiser steps done, as far as they are logged; else as the rollouts show."""
        return int(self.last_row.get("step", self._num_steps))

    @property
    def has_ended(self) -> bool:
        """Whether training is over: the trainer's last row says how long it took."""
        return "train_runtime" in self.last_row

    def quiet_seconds(self, clock: Callable[[], float] = time.time) -> float:
        """Seconds since the run wrote anything that is followed; 0 where it has written nothing."""
        stamps = [*self._read.values(), *([] if self._metrics.stamp is None else [self._metrics.stamp])]
        newest = max((changed for _, changed, _ in stamps), default=None)
        return 0.0 if newest is None else max(0.0, clock() - newest / 1e9)

    def poll(self, seconds: float = 2.0, clock: Callable[[], float] = time.monotonic) -> bool:
        """Read what is new, for at most so many seconds; whether anything changed.

        If a batch was replaced or deleted (the run was resumed or started again), everything is read again.
        """
        changed = self._read_recipe()
        changed |= self._read_metrics()
        return self._read_rollouts(clock() + seconds, clock) or changed

    def largest_errors(self, count: int) -> list[GivenError]:
        """The most frequent errors, the largest first."""
        return sorted(self.errors.values(), key=lambda error: (-error.count, error.first))[:count]

    def prompt_words(self, error: GivenError) -> str:
        """The question of an error's prompt, without what the prompts read so far have in common."""
        text = self.prompt_text(error)
        if len(self._prompts) != self._template[0]:
            self._template = len(self._prompts), template_of(filter(None, self._prompts.values()))
        return self._template[1].question(prompt_words(text))

    def prompt_text(self, error: GivenError) -> str:
        """The text of an error's prompt; its id if the file no longer exists."""
        if error.prompt_id not in self._prompts:
            try:
                table = read_batch(error.file, ["prompt_id", "prompt"]).to_pydict()
            except RunFolderError:
                return error.prompt_id
            self._prompts.update(zip(table["prompt_id"], table["prompt"], strict=True))
        return self._prompts.get(error.prompt_id) or error.prompt_id

    def _forget_rollouts(self) -> None:
        self.sampled: Course = {}
        self.errors: dict[tuple[str, str | None], GivenError] = {}
        self.num_completions = self.num_wrong = self.num_answers = self.damaged = self._num_steps = 0
        self._figures = BatchFigures()
        self._read: dict[int, Stamp] = {}
        self._prompts: dict[str, str] = {}
        self._group_sizes: Counter[int] = Counter()

    def _forget_metrics(self) -> None:
        self.logged: Course = {}
        self.last_row: dict[str, Any] = {}
        self.step_times: list[float] = []

    def _read_recipe(self) -> bool:
        path = self.folder.path / "recipe.yaml"
        stamp = stamp_of(path)
        if stamp is None or stamp == self._recipe_stamp:
            return False
        self.recipe, self._recipe_stamp = read_recipe(self.folder.path), stamp
        return True

    def _read_metrics(self) -> bool:
        rows = self._metrics.read()
        if self._metrics.restarted:
            self._forget_metrics()
        for row in rows:
            self._take_row(row)
        return bool(rows) or self._metrics.restarted

    def _take_row(self, row: dict[str, Any]) -> None:
        self.last_row = row
        seconds = finite(row.get("step_time"))
        if seconds is not None:
            self.step_times = [*self.step_times[-19:], seconds]
        for line, value in logged_figures(row).items():
            self.logged.setdefault(line, {})[max(0, self.step - 1)] = value

    def _read_rollouts(self, deadline: float, clock: Callable[[], float]) -> bool:
        there = {number: (path, stamp) for number, path, stamp in _files(self.folder)}
        if any(number not in there or there[number][1] != stamp for number, stamp in self._read.items()):
            self._forget_rollouts()
        new = sorted(set(there) - set(self._read))
        if new and self._read and new[0] < max(self._read):
            self._forget_rollouts()  # an earlier batch came late, and figures need the order of training
            new = sorted(there)
        done = 0
        for number in new:
            path, stamp = there[number]
            if done and clock() >= deadline:
                break
            batch = _read_batch(path)
            if batch is None and number == new[-1] and not self.has_ended:
                break  # it may still be being written; the next look tries again
            self._read[number] = stamp
            done += 1
            if batch is None:
                self.damaged += 1
            else:
                for _, generation in batch.groupby("generation", sort=True):
                    self._take_batch(generation, path)
        self.unread = len(new) - done
        return done > 0

    def _take_batch(self, batch: pd.DataFrame, path: Path) -> None:
        step = int(batch["step"].iloc[0])
        self._num_steps = max(self._num_steps, step + 1)
        for line, value in self._figures.add(batch).items():
            self.sampled.setdefault(line, {})[step] = value
        self._group_sizes.update(Counter(batch["prompt_id"].tolist()).values())
        wrong = batch[is_wrong(batch)]
        self.num_completions += len(batch)
        self.num_wrong += len(wrong)
        self.num_answers += int(batch["answer"].notna().sum())
        columns = (wrong[name].tolist() for name in ("prompt_id", "answer", "penalty"))
        for prompt_id, answer, penalty in zip(*columns, strict=True):
            key = (prompt_id, answer)
            if key not in self.errors:
                self.errors[key] = GivenError(prompt_id, answer, 0, step, step, 0.0, path)
            error = self.errors[key]
            error.count += 1
            error.last = step
            error.penalty += finite(penalty) or 0.0


def _read_batch(path: Path) -> pd.DataFrame | None:
    """A batch without its texts; None if the file cannot be read (yet)."""
    try:
        frame: pd.DataFrame = read_batch(path, BATCH_COLUMNS).to_pandas()
    except RunFolderError:
        return None
    answers = frame["answer"].astype(object)
    frame["answer"] = answers.where(answers.notna(), None)
    return frame


def _files(folder: RunFolder) -> Iterator[tuple[int, Path, Stamp]]:
    for number, path in folder.rollout_files():
        stamp = stamp_of(path)
        if stamp is not None:
            yield number, path, stamp


class MetricsTail:
    """Reads ``metrics.jsonl`` while it is written: whole lines only, and each once.

    Args:
        path: The file; it need not exist yet.

    Attributes:
        stamp: Of the file at the last look; None before the file existed.
        restarted: Whether the last look found another file than before; what was read earlier is then void.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stamp: Stamp | None = None
        self.restarted = False
        self._offset = 0

    def read(self) -> list[dict[str, Any]]:
        """The new rows. A line that is not a row (cut off by a kill and continued by a later run) is skipped."""
        stamp, before = stamp_of(self.path), self.stamp
        self.restarted = False
        if stamp is None or stamp == before or not self.path.is_file():  # a FIFO would wait for ever
            return []
        # A resumed run replaces the file by one without its later rows.
        if before is not None and (stamp[0] != before[0] or stamp[2] < self._offset):
            self.restarted, self._offset = True, 0
        self.stamp = stamp
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")  # the last line may still be being written
        except OSError:
            return []  # it was just deleted; the next look finds its successor
        self._offset += len(whole) + len(newline)
        return [row for line in whole.split(b"\n") if (row := metrics_row(line)) is not None]


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of a file; None without a file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
