"""Grades completions with a time limit, so that no completion can stop an evaluation."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Grade: TypeAlias = Callable[[str, Mapping[str, Any]], bool]
Job: TypeAlias = tuple[str, Mapping[str, Any]]

# For one completion. math-verify's own time-outs (5 s for each of three steps) come first; this limit is for code that
# an alarm cannot interrupt.
LIMIT_SECONDS = 30.0
# Address space of the grading process, if the system can limit it: a tower of powers needs any amount.
MEMORY_BYTES = 8 << 30


class Grader:
    """Runs a task's grader, directly or in a separate process that is killed if a completion hangs.

    Use it as a context manager. The process starts at the first call, and again after it was killed; the grader must be
    picklable. `limit` is in seconds for one completion. The `num_ended` that hung or crashed the process are wrong.
    """

    def __init__(self, grade: Grade, *, in_process: bool, limit: float = LIMIT_SECONDS) -> None:
        self._grade, self._in_process, self._limit = grade, in_process, limit
        self._process: Any = None
        self._pipe: Connection | None = None
        self.num_ended = 0

    def __enter__(self) -> Grader:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def __call__(self, jobs: Sequence[Job]) -> list[bool]:
        """Right or wrong for each pair of a completion and its problem's row; the grader's errors are raised."""
        if not self._in_process:
            return [bool(self._grade(completion, row)) for completion, row in jobs]
        return [self._ask(job) for job in jobs]

    def _ask(self, job: Job) -> bool:
        pipe = self._pipe or self._start()
        try:
            pipe.send(job)
            if pipe.poll(self._limit):
                answer = pipe.recv()
                if isinstance(answer, Exception):
                    raise answer
                return bool(answer)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            pass  # the process died: out of memory, or a crash in compiled code
        self.num_ended += 1
        self._end()
        return False

    def _start(self) -> Connection:
        # Spawned, not forked: torch's threads and a GPU do not survive a fork.
        context = multiprocessing.get_context("spawn")
        pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._grade), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe = pipe
        pipe.recv()  # it is ready: the time for starting and importing does not count against a completion
        return pipe

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None


def _serve(pipe: Connection, grade: Grade) -> None:
    """The process: grades jobs until the pipe is closed, in its main thread, so that alarms work."""
    _bound_memory()
    try:
        pipe.send(True)
        while True:
            completion, row = pipe.recv()
            pipe.send(_graded(grade, completion, row))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return


def _graded(grade: Grade, completion: str, row: Mapping[str, Any]) -> bool | Exception:
    try:
        return bool(grade(completion, row))
    except (MemoryError, RecursionError, OverflowError):
        return False  # an answer that cannot be evaluated
    except Exception as error:
        return error


def _bound_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
