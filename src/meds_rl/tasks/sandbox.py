"""Runs programs that a model wrote, in bubblewrap: no network, no files, no other processes, limits for all else.

A program runs in a sandbox of its own, and the tests that call it in a second one. Only plain values (numbers, texts,
lists, ...) travel between the two, through this process, which does not read them. So a program can neither see nor
change its tests, and an early exit is a failed test.

In a sandbox the program is one process: a filter of system calls (seccomp) refuses new ones, and also sockets, tracing
and shared memory. So the limit of memory holds for the whole program. Process 1 there is bubblewrap's. It dies with
ours, and the program with it: a program can undo only its own parent-death signal.
"""

from __future__ import annotations

import builtins
import os
import select
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from meds_rl.tasks import sandbox_inside
from meds_rl.tasks.bubblewrap import command, filter_file, interpreter, missing
from meds_rl.tasks.sandbox_inside import MAX_BYTES, SHOWN_CHARACTERS

START_SECONDS = 60.0
"""For a sandbox and its interpreter on a busy machine; no program runs yet."""

GRACE_SECONDS = 1.0
"""For a test to report the time-out of a call."""

END_SECONDS = 10.0
"""For the processes of a sandbox to be gone."""

OUTPUT_BYTES = 1 << 20
MAX_THREADS = 100
LOOK_SECONDS = 0.05
"""How often threads are counted. The kernel's own limit does not hold for root."""


@dataclass(frozen=True)
class Limits:
    """Seconds of one test, and of all tests of one program."""

    test_seconds: float = 3.0
    seconds: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.test_seconds <= self.seconds < float("inf"):
            raise ValueError(
                f"test_seconds must be above 0 and at most seconds; got {self.test_seconds:g} and {self.seconds:g}"
            )


LIMITS = Limits()


@dataclass(frozen=True)
class Calls:
    """Tests that call a program's functions.

    Attributes:
        tests: Python statements, with an `assert` in most of them; they run in one namespace, in order.
        functions: name in the tests -> the program's function; "Solution.f" is the method f of a new Solution.
        prelude: Python that runs before the tests.
    """

    tests: Sequence[str]
    functions: Mapping[str, str]
    prelude: str = ""


@cache
def check_sandbox() -> None:
    """Raise an OSError unless programs can be run here; it says what to install, or bubblewrap's own reason."""
    refused = "programs of a model run in bubblewrap only"
    if why := missing():
        raise OSError(f"{refused}; {why}")
    try:
        outcomes = run_inputs(["print(1)"], [("", "1")], Limits(30, 30))
    except ChildProcessError as error:
        raise OSError(
            f"{refused}, and it does not work here. {error}. In a container it needs user namespaces: allow them, as "
            "by docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
        ) from None
    if outcomes != ["ok"]:
        raise OSError(f"the sandbox for programs does not work here: print(1) ended with {outcomes[0]!r}")


def run_calls(program: Sequence[str], calls: Calls, limits: Limits = LIMITS) -> list[str]:
    """What happened in each test: "ok", or in short what went wrong.

    That is the kind of an exception, "got ..." for the first wrong value and "wrong" for later ones, "timeout",
    "memory", "threads", "exit", "crash", "output" (more than 1 MiB), "returned ..." for a value that is not plain, or
    "not run".

    Args:
        program: pieces of Python, which run in one namespace, in order.
        calls: the tests.
        limits: of time.

    Example:
        >>> tests = Calls(["assert double(2) == 4", "assert double('a') == 'aa'"], {"double": "double"})
        >>> run_calls(["def double(x): return x * 2"], tests)
        ['ok', 'ok']
        >>> run_calls(["def double(x): return x + 2"], tests)
        ['ok', 'TypeError']
    """
    outcomes: list[str] = []
    with _Process("program") as one, _Process("tests") as other:
        runner = _Program(one, program)
        other.ready()
        end = time.monotonic() + limits.seconds
        other.post(sandbox_inside.encode((calls.prelude, dict(calls.functions), list(calls.tests))))
        try:
            while len(outcomes) < len(calls.tests) and time.monotonic() < end:
                until = min(time.monotonic() + limits.test_seconds, end)
                outcomes.append(_one_test(other, runner, until))
        except _EndedError as error:
            outcomes.append("timeout" if error.why == "timeout" else f"tests: {error.why}")
        finally:
            runner.process.end()
    return _shortened(outcomes, len(calls.tests))


def run_inputs(program: Sequence[str], tests: Sequence[tuple[str, str]], limits: Limits = LIMITS) -> list[str]:
    """What happened for each pair of an input and the right output, as in `run_calls`.

    The program starts afresh for each. The outputs are compared line by line and word by word; numbers by their value.

    Example:
        >>> run_inputs(["print(int(input()) * 2)"], [("4", "8"), ("x", "")])
        ['ok', 'ValueError']
    """
    outcomes: list[str] = []
    left = limits.seconds
    for given, right in tests:
        if left <= 0:
            break
        with _Process("script") as process:
            process.ready()
            start = time.monotonic()
            until = start + min(limits.test_seconds, left)
            outcomes.append(_one_script(process, program, given, right, until))
            left -= time.monotonic() - start
    return _shortened(outcomes, len(tests))


def _shortened(outcomes: list[str], number: int) -> list[str]:
    """One outcome for each test; of the wrong values only the first is shown."""
    wrong = [place for place, outcome in enumerate(outcomes) if outcome.startswith("got ")]
    for place in wrong[1:]:
        outcomes[place] = "wrong"
    return outcomes + ["not run"] * (number - len(outcomes))


def _one_test(tests: _Process, program: _Program, until: float) -> str:
    """Answer the calls of one test until its result comes."""
    while True:
        frame = tests.receive(until + GRACE_SECONDS)
        if frame[:1] == b"r":
            return frame[2:].decode() if frame[1:2] == b"0" else "ok"
        tests.post(program.call(frame[1:], until))


class _Program:
    """A program whose functions are called. After a call that ended it, the next one starts it again."""

    def __init__(self, process: _Process, source: Sequence[str]) -> None:
        self.process, self._source, self._is_new = process, sandbox_inside.encode(list(source)), True
        self._broken: bytes | None = None
        process.ready()

    def call(self, call: bytes, until: float) -> bytes:
        """The answer, for the tests."""
        if self._broken is not None:
            return self._broken
        if self.process.has_ended:
            self.process, self._is_new = _Process("program"), True
            self.process.ready()
        try:
            if self._is_new:
                self._load(until)
            return self._broken or b"p" + self._ask(call, until)
        except _EndedError as error:
            self.process.end()
            return b"h" + error.why.encode()

    def _load(self, until: float) -> None:
        self._is_new = False
        try:
            loaded = self._ask(self._source, until)
        except _EndedError as error:
            self._broken = b"h" + error.why.encode()  # it would only happen again
            raise
        if loaded[:1] != b"v":
            self._broken = b"p" + loaded

    def _ask(self, content: bytes, until: float) -> bytes:
        self.process.post(content)
        return self.process.receive(until)


def _one_script(process: _Process, program: Sequence[str], given: str, right: str, until: float) -> str:
    process.post(sandbox_inside.encode(list(program)))
    try:
        output = process.rest(given.encode("utf-8", "surrogatepass"), until)
        status, kind = process.status(until)
    except _EndedError as error:
        return error.why
    if status:
        found = vars(builtins).get(kind)
        if isinstance(found, type) and issubclass(found, BaseException):  # the program can write there, too
            return {"MemoryError": "memory"}.get(kind, kind)
        return "crash" if status > 128 else "exit"
    shown = output.decode("utf-8", "backslashreplace").strip()
    return "ok" if _same_output(shown, right.strip()) else f"got {_one_line(shown)}"


def _one_line(output: str) -> str:
    """The beginning of an output."""
    text = output[: 4 * SHOWN_CHARACTERS].replace("\n", " / ")
    text = "".join(one if one.isprintable() else "?" for one in text) or "nothing"
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def _same_output(output: str, right: str) -> bool:
    lines, right_lines = output.splitlines(), right.splitlines()
    return len(lines) == len(right_lines) and all(map(_same_line, lines, right_lines))


def _same_line(line: str, right: str) -> bool:
    words, right_words = line.split(), right.split()
    return words == right_words or (len(words) == len(right_words) and all(map(_same_word, words, right_words)))


def _same_word(word: str, right: str) -> bool:
    try:
        return word == right or Decimal(word) == Decimal(right)
    except InvalidOperation:
        return False


# ---- A process in a sandbox.


class _EndedError(Exception):
    """A process that does not answer: "timeout", "output" (too much of it), "threads", "exit" or "crash"."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class _Process:
    """An interpreter in a sandbox that runs a part of `sandbox_inside`; `end` removes it and its files."""

    def __init__(self, kind: str) -> None:
        with filter_file() as seccomp:
            self._process = subprocess.Popen(
                [*command(), "--seccomp", str(seccomp), *interpreter(), kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=(seccomp,),
            )
        self._in, self._out, self._errors = (
            cast("IO[bytes]", pipe) for pipe in (self._process.stdin, self._process.stdout, self._process.stderr)
        )
        self._received = bytearray()
        self._unsent = bytearray()
        self._next_count = 0.0
        self.has_ended = False
        for pipe in (self._in, self._out, self._errors):
            os.set_blocking(pipe.fileno(), False)

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    def ready(self) -> None:
        """Wait for the interpreter; ChildProcessError if the sandbox cannot start."""
        try:
            self.receive(time.monotonic() + START_SECONDS)
        except _EndedError as error:
            said = self._said() or error.why
            raise ChildProcessError(f"the sandbox for programs does not start: {said}") from None

    def post(self, content: bytes) -> None:
        """Put a frame into the queue; it is sent while something is awaited."""
        self._unsent += len(content).to_bytes(4, "big") + content

    def receive(self, until: float) -> bytes:
        """The next frame."""
        self._exchange(lambda: self._frame_end() is not None, until)
        end = self._frame_end() or 0
        frame = bytes(self._received[4:end])
        del self._received[:end]
        return frame

    def rest(self, given: bytes, until: float) -> bytes:
        """All that comes until the process closes its output, after `given` went in and its input was closed."""
        self._unsent += given
        with suppress(_ClosedError):
            self._exchange(self._never, until, closes=True)
        return bytes(self._received)

    def status(self, until: float) -> tuple[int, str]:
        """The exit status, and the kind of exception."""
        while (status := self._status_within(LOOK_SECONDS)) is None:
            self._count_threads()
            if time.monotonic() > until:
                raise _EndedError("timeout")
        return status, self._said()

    def end(self) -> None:
        """End it, and wait until its output is closed: then every process in the sandbox is gone."""
        if self.has_ended:
            return
        self.has_ended = True
        self._process.kill()  # process 1 inside dies with it (--die-with-parent), and with that the rest
        self._in.close()
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        # A process that another thread has forked meanwhile may hold the pipe open for as long as it runs.
        while poll.poll(END_SECONDS * 1000) and os.read(self._out.fileno(), 1 << 16):
            pass
        self._process.wait()
        self._out.close()
        self._errors.close()

    def _frame_end(self) -> int | None:
        """Where the first frame ends in what was received; None if it is not whole."""
        if len(self._received) < 4:
            return None
        size = int.from_bytes(self._received[:4], "big")
        if size > MAX_BYTES + SHOWN_CHARACTERS:
            raise _EndedError("output")
        return 4 + size if len(self._received) >= 4 + size else None

    def _never(self) -> bool:
        if len(self._received) > OUTPUT_BYTES:
            raise _EndedError("output")
        return False

    def _exchange(self, is_done: Callable[[], bool], until: float, *, closes: bool = False) -> None:
        """Send what is unsent and collect what comes, until it is enough."""
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        if self._unsent or closes:
            poll.register(self._in, select.POLLOUT)
        while not is_done():
            left = until - time.monotonic()
            if left <= 0:
                raise _EndedError("timeout")
            self._count_threads()
            for descriptor, _ in poll.poll(min(left, LOOK_SECONDS) * 1000):
                if descriptor == self._out.fileno():
                    self._collect()
                elif not self._send():
                    poll.unregister(self._in)
                    if closes:
                        self._in.close()

    def _collect(self) -> None:
        with suppress(BlockingIOError):
            content = os.read(self._out.fileno(), 1 << 16)
            if not content:
                status = self._status_within(0.2)  # None where it has only closed its output
                raise _ClosedError("crash" if status is not None and status > 128 else "exit")
            self._received += content

    def _send(self) -> bool:
        """Send some of what is unsent; whether there is more to send."""
        try:
            sent = os.write(self._in.fileno(), self._unsent[: 1 << 16]) if self._unsent else 0
        except BlockingIOError:
            return True
        except BrokenPipeError:  # it reads no more; its output tells the rest
            sent = len(self._unsent)
        del self._unsent[:sent]
        return bool(self._unsent)

    def _status_within(self, seconds: float) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def _count_threads(self) -> None:
        now, pid = time.monotonic(), self._process.pid
        if now < self._next_count:
            return
        self._next_count = now + LOOK_SECONDS
        with suppress(OSError, IndexError):  # it has just ended
            interpreter = _child(_child(pid))  # between them is process 1
            if Path(f"/proc/{interpreter}/task").stat().st_nlink - 2 > MAX_THREADS:
                raise _EndedError("threads")

    def _said(self) -> str:
        """What bubblewrap, or the interpreter before the program ran, wrote to standard error."""
        with suppress(BlockingIOError, ValueError):
            return os.read(self._errors.fileno(), 4096).decode("utf-8", "replace").strip()[-500:]
        return ""


def _child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


class _ClosedError(_EndedError):
    """The process has closed its output."""
