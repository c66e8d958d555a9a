"""Ends forked processes by SIGKILL: at the n-th operation on files of a folder, or after some time."""

import builtins
import faulthandler
import io
import multiprocessing
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Forked, so that the imports are paid once.
FORK = multiprocessing.get_context("fork")
Act = Callable[[Path], None]

LONGEST = 120.0
"""Seconds after which an attempt counts as hung."""

# Audit events that name a path which they are about to change. `open` counts if it is for writing.
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.link")


@dataclass(frozen=True)
class Point:
    """When an attempt is killed: before (of a write: in the middle of) the n-th operation, or after some seconds."""

    operation: int | None = None
    seconds: float | None = None


@dataclass
class Counter:
    """Counts the operations of this process on files below a folder, and kills it before the n-th."""

    folder: str
    last: int | None
    count: int = 0
    names: list[str] = field(default_factory=list)

    def reached(self, name: str) -> bool:
        self.count += 1
        self.names.append(name)
        return self.count == self.last

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in EVENTS or not self.concerns(args[0]):
            return
        writes = event != "open" or (args[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if writes and self.reached(event):
            die()

    def concerns(self, path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        return str(Path(os.fsdecode(path)).absolute()).startswith(self.folder)

    def install(self) -> None:
        """For the rest of this process: operations that Python sees, and halves of writes."""
        sys.addaudithook(self.audit)
        opened, synced = io.open, os.fsync

        def open_(file, mode="r", *rest, **options):
            found = opened(file, mode, *rest, **options)
            return HalfWritten(found, self) if set(mode) & set("wax+") and self.concerns(file) else found

        def fsync(descriptor):
            if self.reached("fsync"):
                die()
            synced(descriptor)

        io.open = builtins.open = open_
        os.fsync = fsync


class HalfWritten:
    """A file whose process may die in the middle of a write."""

    def __init__(self, file: Any, counter: Counter) -> None:
        self._file, self._counter = file, counter

    def write(self, data: Any) -> int:
        if self._counter.reached("write"):
            half = data if isinstance(data, str) else memoryview(data).cast("B")
            self._file.write(half[: len(half) // 2])
            self._file.flush()
            die()
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "HalfWritten":
        self._file.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._file.__exit__(*error)

    def __iter__(self):
        return iter(self._file)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Attempt:
    """How a process ended: 0, minus the signal, or 1 with the error; None if it hung."""

    code: int | None
    seconds: float
    operations: list[str]
    error: str


def attempt(act: Act, folder: Path, point: Point | None = None) -> Attempt:
    """Run `act(folder)` in a forked process, which the point may kill."""
    point = point or Point()
    log = folder.with_name(f"{folder.name}.log")
    pipe, theirs = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_work, args=(act, folder, point.operation, log, theirs))
    start = time.monotonic()
    child.start()
    theirs.close()
    operations, hung = [], False
    try:
        if pipe.poll(LONGEST if point.seconds is None else point.seconds):
            operations = pipe.recv()
        else:
            hung = point.seconds is None
            child.kill()
    except EOFError:  # it was killed, or raised an error
        pass
    child.join()
    error = log.read_text(errors="replace")[-3000:]
    return Attempt(None if hung else child.exitcode, time.monotonic() - start, operations, error)


def _work(act: Act, folder: Path, last: int | None, log: Path, pipe: Any) -> None:
    sys.stdout = sys.stderr = log.open("w", buffering=1)  # pytest has replaced them
    faulthandler.dump_traceback_later(LONGEST - 10, file=sys.stderr)
    counter = Counter(str(folder.absolute()), last)
    counter.install()
    try:
        act(folder)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    pipe.send(counter.names)
    os._exit(0)


def kill_often(
    act: Act, whole: Attempt, place: Path, kills: int, rng: random.Random, differs: Callable[[Path], str | None]
) -> list[str]:
    """Kill `act` at random points, let it go on, and so on; what ended otherwise than the `whole` attempt.

    A folder is killed in up to three times, then its run goes on to its end.

    Args:
        act: begins a run in a folder, or goes on with one.
        whole: an attempt that was not killed.
        place: where the folders are made.
        kills: how many processes are killed in all.
        rng: draws the points; three of four are operations, the others times.
        differs: what is wrong at the end of a run; None if nothing is.
    """
    mishandled, killed, number = [], 0, 0
    while killed < kills:
        number += 1
        folder, points = place / f"{number:03d}", []
        for _ in range(rng.randint(1, min(3, kills - killed))):
            point = _draw(whole, rng)
            done = attempt(act, folder, point)
            age(folder)
            if done.code == -signal.SIGKILL:
                points.append(point)
                continue
            if done.code == 0:  # this attempt was shorter than the whole one
                break
            mishandled.append(f"{folder.name}, killed at {points}, then {point}: {done.code} {done.error}")
        killed += len(points)
        done = attempt(act, folder)
        wrong = f"exit code {done.code} {done.error}" if done.code else differs(folder)
        if wrong:
            mishandled.append(f"{folder.name}, killed at {points}: {wrong}")
    return mishandled


def _draw(whole: Attempt, rng: random.Random) -> Point:
    if rng.random() < 0.25:
        return Point(seconds=rng.uniform(0, whole.seconds))
    # A kind first, so that a file written line by line does not take most points.
    kind = rng.choice(sorted(set(whole.operations)))
    return Point(operation=rng.choice([n for n, name in enumerate(whole.operations, 1) if name == kind]))


def age(folder: Path) -> None:
    """Make temporary files old enough to count as left behind."""
    for file in folder.rglob("*.tmp"):
        os.utime(file, (time.time() - 3600,) * 2)
