"""Grades completions with a time limit, so that no completion can stop a training or an evaluation."""

from __future__ import annotations

import faulthandler
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, BinaryIO, TypeAlias, cast

from meds_rl.tasks.base import Grade, GradeIn, Task, Verdict

Job: TypeAlias = tuple[str, Mapping[str, Any]]
Worker: TypeAlias = "subprocess.Popen[bytes]"

# For one completion. math-verify's own time-outs (5 s for each of three steps) usually come first; this limit is for
# code that an alarm cannot interrupt.
LIMIT_SECONDS = 10.0
START_SECONDS = 120.0
# Address space of the grading process, if the system can limit it: a tower of powers can fill all memory.
MEMORY_BYTES = 8 << 30
# Of a pickled verdict, as a program's output can be of any length. Of a longer one the beginning of its text remains.
OUTCOME_BYTES = 1 << 20

# Neither forked (torch's threads and a GPU do not survive that) nor spawned by multiprocessing, which would run the
# user's script a second time.
_WORKER = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from meds_rl.tasks.grader import serve; serve(sys.stdin.buffer)"
)
# Graded before the clock runs, so that the grader has imported what it needs. It has an answer for every marker.
_WARM_UP = r"\boxed{1} <answer>1</answer> #### 1"

_logger = logging.getLogger("meds_rl")


class Grader:
    """Runs a task's grader, directly or in a process of its own that ends if a completion hangs.

    The process starts at the first call, and again after it ended; it ends with this object, with the context manager
    and with the parent process. Works from any thread, and in a copy (pickled or forked), which starts its own process.

    Args:
        grade: the grader; importable by name, or a picklable callable, for a process of its own.
        grade_in: "process": in a process of its own; "threads": the jobs of a call side by side, in as many threads as
            this process has cores; None: one after the other in this thread.
        limit: seconds for one completion.
        name: the task, for messages.

    Attributes:
        num_ended: how many completions took longer or crashed the process; they count as wrong. Each delays its call
            by the limit and the start of a process, one after the other. The 1st, 10th, 100th, ... is logged.
    """

    def __init__(
        self,
        grade: Grade,
        *,
        grade_in: GradeIn,
        limit: float = LIMIT_SECONDS,
        name: str = "the task",
    ) -> None:
        self._grade, self._grade_in, self._limit, self._name = grade, grade_in, limit, name
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._pid = 0
        self.num_ended = 0

    @classmethod
    def of(cls, task: Task, limit: float = LIMIT_SECONDS) -> Grader:
        """The grader of a task."""
        return cls(task.grade, grade_in=task.grade_in, limit=limit, name=task.name)

    def __reduce__(self) -> tuple[Any, ...]:
        make = partial(Grader, grade_in=self._grade_in, limit=self._limit, name=self._name)
        return make, (self._grade,)

    def __enter__(self) -> Grader:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def __call__(self, jobs: Sequence[Job]) -> list[bool | Verdict]:
        """Right or wrong for each pair of a completion and its problem's row: the grader's `Verdict`, else a bool.

        The grader's errors are raised; ChildProcessError if the process cannot start; TypeError for an outcome that
        cannot be pickled. A process shortens an outcome of more than `OUTCOME_BYTES` to the beginning of its text.
        """
        if self._grade_in == "threads":
            with ThreadPoolExecutor(_num_cores(), thread_name_prefix="meds-grading") as pool:
                return list(pool.map(lambda job: _verdict(self._grade(*job)), jobs))
        if self._grade_in is None:
            return [_verdict(self._grade(completion, row)) for completion, row in jobs]
        with self._lock:
            try:
                return self._grade_all(jobs)
            except BaseException:  # Ctrl-C, too: the replies still in the pipe belong to these jobs
                self._end()
                raise

    def _grade_all(self, jobs: Sequence[Job]) -> list[bool | Verdict]:
        right: list[bool | Verdict] = []
        while len(right) < len(jobs):
            right += self._grade_some(jobs[len(right) :])
        return right

    def _grade_some(self, jobs: Sequence[Job]) -> list[bool | Verdict]:
        """Grade all jobs, or those up to one that ended the process, which counts as wrong."""
        right: list[bool | Verdict] = []
        try:
            worker = self._running_worker(jobs[0][1])
            _send(worker, jobs)
            while len(right) < len(jobs):
                right.append(_receive(worker))
        except (EOFError, BrokenPipeError):
            self._count_ended(jobs[len(right)][0])
            self._end()
            right.append(False)
        return right

    def _running_worker(self, row: Mapping[str, Any]) -> Worker:
        if self._worker is not None and self._pid == os.getpid() and self._worker.poll() is None:
            return self._worker
        self._end()
        worker = subprocess.Popen([sys.executable, "-c", _WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._worker, self._pid = worker, os.getpid()
        self._finalizer = weakref.finalize(self, _end, worker)
        try:
            _send(worker, sys.path)
            _send(worker, (self._grade, self._limit, row))
            _receive(worker)
        except (EOFError, BrokenPipeError):
            raise ChildProcessError(
                f"the process that grades {self._name} ended before its first reply, within {START_SECONDS:g} s; "
                "see standard error. The grader must be importable: not defined in a script or a notebook"
            ) from None
        return worker

    def _count_ended(self, completion: str) -> None:
        self.num_ended += 1
        if self.num_ended == 1:
            _logger.warning(
                "%s: grading an answer took longer than %g s (or crashed); it counts as wrong: ...%r. "
                "Later ones are only counted.",
                *(self._name, self._limit, completion[-80:]),
            )
        elif self.num_ended in (10, 100, 1_000, 10_000):
            _logger.warning(
                "%s: %d answers so far took longer than %g s (or crashed). Each delays its batch by this time and by "
                "the start of a process, one after the other.",
                *(self._name, self.num_ended, self._limit),
            )

    def _end(self) -> None:
        if self._worker is not None:
            self._finalizer()
            self._worker = None


def _end(worker: Worker) -> None:
    worker.kill()
    worker.wait()
    for pipe in (worker.stdin, worker.stdout):
        with suppress(OSError):
            cast(BinaryIO, pipe).close()


def _send(worker: Worker, content: Any) -> None:
    pipe = cast(BinaryIO, worker.stdin)
    pipe.write(pickle.dumps(content))
    pipe.flush()


def _receive(worker: Worker) -> bool | Verdict:
    reply = pickle.load(cast(BinaryIO, worker.stdout))
    if isinstance(reply, Exception):
        raise reply
    return cast("bool | Verdict", reply)


def _verdict(graded: Any) -> bool | Verdict:
    return graded if isinstance(graded, Verdict) else bool(graded)


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


# ---- The process.


def serve(requests: BinaryIO) -> None:
    """Grade jobs until the pipe is closed, in the main thread, so that math-verify's alarms work."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a grader prints is no reply
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    _bound_memory()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    # Unlike a thread or the parent's clock, this watchdog needs neither the interpreter's lock nor the parent.
    faulthandler.dump_traceback_later(START_SECONDS, exit=True, file=nowhere)
    grade, limit, row = pickle.load(requests)
    _graded(grade, _WARM_UP, row)
    faulthandler.cancel_dump_traceback_later()
    _reply(replies, True)
    with suppress(EOFError, BrokenPipeError):
        while True:
            for completion, row in pickle.load(requests):
                faulthandler.dump_traceback_later(limit, exit=True, file=nowhere)
                right = _graded(grade, completion, row)
                faulthandler.cancel_dump_traceback_later()
                _reply(replies, right)


def _reply(pipe: BinaryIO, reply: bool | Verdict | Exception) -> None:
    pipe.write(pickle.dumps(reply))
    pipe.flush()


def _graded(grade: Grade, completion: str, row: Mapping[str, Any]) -> bool | Verdict | Exception:
    try:
        return _sendable(_verdict(grade(completion, row)))
    except (MemoryError, RecursionError, OverflowError):
        return False  # an answer that cannot be evaluated
    except Exception as error:
        return error


def _sendable(verdict: bool | Verdict) -> bool | Verdict:
    if not isinstance(verdict, Verdict):
        return verdict
    try:
        size = len(pickle.dumps(verdict))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"the grader's outcome cannot be sent between processes ({error}): "
            "make it of text, numbers and tuples of them"
        ) from None
    if size <= OUTCOME_BYTES:
        return verdict
    return Verdict(verdict.is_correct, str(verdict.outcome)[:1000])


def _bound_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
