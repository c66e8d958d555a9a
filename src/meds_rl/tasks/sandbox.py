"""Runs programs that a model wrote, in bubblewrap: no network, no files, no other processes, limits for all else.

A program runs in a sandbox of its own, and the tests that call it in a second one. Only plain values (numbers, texts,
lists, ...) travel between the two, through this process, which does not read them. So a program can neither see nor
change its tests, and an early exit is a failed test.

In a sandbox there is one process: a filter of system calls (seccomp) refuses new ones, and also sockets, tracing and
shared memory. So the limit of memory holds for the whole program, and nothing can outlive it.
"""

from __future__ import annotations

import builtins
import os
import platform
import select
import shutil
import struct
import subprocess
import sys
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
from meds_rl.tasks.sandbox_inside import MAX_BYTES, SHOWN_CHARACTERS

INSTALL = "apt-get install bubblewrap"

START_SECONDS = 60.0
"""For a sandbox and its interpreter on a busy machine; no program runs yet."""

GRACE_SECONDS = 1.0
"""For a test to report the time-out of a call."""

TMP_BYTES = 16 << 20
OUTPUT_BYTES = 1 << 20


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


def run_calls(program: Sequence[str], calls: Calls, limits: Limits = LIMITS) -> list[str]:
    """What happened in each test: "ok", or in short what went wrong.

    That is the kind of an exception, "got ..." for the first wrong value and "wrong" for later ones, "timeout",
    "memory", "exit", "crash", "output" (a value of more than 1 MiB), "returned ..." for a value that is not plain, or
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
    end = float("inf")
    for given, right in tests:
        if time.monotonic() >= end:
            break
        with _Process("script") as process:
            process.ready()
            end = min(end, time.monotonic() + limits.seconds)
            until = min(time.monotonic() + limits.test_seconds, end)
            outcomes.append(_one_script(process, program, given, right, until))
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
        is_kind = isinstance(vars(builtins).get(kind), type)  # the program can write there, too
        return {"MemoryError": "memory"}.get(kind, kind) if is_kind else "crash" if status > 128 else "exit"
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
    """A process that does not answer: "timeout", "output" (too much of it), "exit" or "crash"."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class _Process:
    """An interpreter in a sandbox that runs a part of `sandbox_inside`; gone, with all it had, after `end`."""

    def __init__(self, kind: str) -> None:
        with _filter_pipe() as seccomp:
            self._process = subprocess.Popen(
                [*_command(), "--seccomp", str(seccomp), *_interpreter(), kind],
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
        try:
            status = self._process.wait(max(until - time.monotonic(), 0.01))
        except subprocess.TimeoutExpired:
            raise _EndedError("timeout") from None
        return status, self._said()

    def end(self) -> None:
        """End it. Its output is closed only when every process in the sandbox is gone."""
        if self.has_ended:
            return
        self.has_ended = True
        self._process.kill()  # the rest dies with it, by --die-with-parent and the namespace of processes
        self._in.close()
        os.set_blocking(self._out.fileno(), True)
        while os.read(self._out.fileno(), 1 << 16):
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
            for descriptor, _ in poll.poll(left * 1000):
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
                raise _ClosedError("crash" if self._status_soon() > 128 else "exit")
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

    def _status_soon(self) -> int:
        try:
            return self._process.wait(0.2)
        except subprocess.TimeoutExpired:  # it has only closed its output
            return 0

    def _said(self) -> str:
        """What bubblewrap, or the interpreter before the program ran, wrote to standard error."""
        with suppress(BlockingIOError, ValueError):
            return os.read(self._errors.fileno(), 4096).decode("utf-8", "replace").strip()[-500:]
        return ""


class _ClosedError(_EndedError):
    """The process has closed its output."""


# ---- bubblewrap.


@cache
def check_sandbox() -> None:
    """Raise an OSError unless programs can be run here; it says what to install, or bubblewrap's own reason."""
    if sys.platform != "linux" or platform.machine() not in _SYSTEM_CALLS:
        raise OSError(
            "programs of a model run in bubblewrap only, on Linux on x86_64 or aarch64; this is "
            f"{sys.platform} on {platform.machine()}"
        )
    if shutil.which("bwrap") is None:
        raise OSError(f"programs of a model run in bubblewrap only, and there is no bwrap here: {INSTALL}")
    try:
        outcomes = run_inputs(["print(1)"], [("", "1")], Limits(30, 30))
    except ChildProcessError as error:
        raise OSError(
            f"programs of a model run in bubblewrap only, and it does not work here. {error}. In a container it needs "
            "user namespaces: allow them, as by docker run --security-opt seccomp=unconfined --security-opt "
            "apparmor=unconfined"
        ) from None
    if outcomes != ["ok"]:
        raise OSError(f"the sandbox for programs does not work here: print(1) ended with {outcomes[0]!r}")


@cache
def _command() -> tuple[str, ...]:
    """bubblewrap with the interpreter, the system's libraries and an empty /tmp; all else is read-only or absent."""
    bound = ["/usr", *_outside_usr(Path(sys.base_prefix)), *_outside_usr(_python())]
    links = [Path(name) for name in ("/lib", "/lib64", "/bin") if Path(name).exists()]
    options = ["--unshare-all", "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv", "--cap-drop", "ALL"]
    options += ["--uid", "65534", "--gid", "65534", "--hostname", "sandbox"]
    for path in dict.fromkeys(bound):
        options += ["--ro-bind", path, path]
    for link in links:
        is_link = link.is_symlink()
        options += ["--symlink" if is_link else "--ro-bind", str(link.readlink() if is_link else link), str(link)]
    options += ["--ro-bind", sandbox_inside.__file__, "/inside.py", "--dev-bind", os.devnull, os.devnull]
    options += ["--size", str(TMP_BYTES), "--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/tmp"]
    # One order of sets in every run, and no 64 MiB of address space for each thread's heap.
    options += ["--setenv", "PYTHONHASHSEED", "0", "--setenv", "MALLOC_ARENA_MAX", "1"]
    return (shutil.which("bwrap") or "bwrap", *options)


def _interpreter() -> list[str]:
    return [str(_python()), "-s", "-S", "-B", "-X", "utf8", "/inside.py"]


def _python() -> Path:
    """The interpreter itself: a virtual environment's python is a link to it."""
    return Path(sys._base_executable).resolve()


def _outside_usr(path: Path) -> list[str]:
    return [] if path.is_relative_to("/usr") else [str(path)]


# ---- The filter of system calls, as the kernel's BPF program.

_SYSTEM_CALLS: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {"clone": 56, "clone3": 435, "fork": 57, "vfork": 58, "socket": 41, "ptrace": 101, "process_vm_readv": 310}
        | {"process_vm_writev": 311, "shmget": 29, "msgget": 68, "semget": 64, "unshare": 272, "setns": 308}
        | {"mount": 165, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425}
        | {"keyctl": 250, "add_key": 248, "request_key": 249, "memfd_create": 319},
    ),
    "aarch64": (
        0xC00000B7,
        {"clone": 220, "clone3": 435, "socket": 198, "ptrace": 117, "process_vm_readv": 270}
        | {"process_vm_writev": 271, "shmget": 194, "msgget": 186, "semget": 190, "unshare": 97, "setns": 268}
        | {"mount": 40, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "io_uring_setup": 425}
        | {"keyctl": 219, "add_key": 217, "request_key": 218, "memfd_create": 279},
    ),
}
"""Machine -> the kernel's number of its architecture, and those of the system calls that are refused."""

_CLONE_THREAD = 0x10000
_X32 = 0x40000000
_EPERM, _ENOSYS = 1, 38
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000


@cache
def _filter() -> bytes:
    """Refuses the system calls above; of clone only what makes a process, and no thread."""
    architecture, calls = _SYSTEM_CALLS[platform.machine()]
    steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    steps += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _REFUSE | _ENOSYS)]  # x86's second set of numbers
    for name, number in calls.items():
        if name != "clone":  # glibc makes a thread by clone where there is no clone3
            refuse = _REFUSE | (_ENOSYS if name == "clone3" else _EPERM)
            steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, refuse)]
    steps += [(_EQUAL, 0, 3, calls["clone"]), (_LOAD, 0, 0, 16), (_ANY_BIT, 1, 0, _CLONE_THREAD)]
    steps += [(_RETURN, 0, 0, _REFUSE | _EPERM), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


class _filter_pipe:  # noqa: N801
    """The read end of a pipe with the filter, which bubblewrap reads to its end."""

    def __enter__(self) -> int:
        self._reads, writes = os.pipe()
        os.write(writes, _filter())
        os.close(writes)
        return self._reads

    def __exit__(self, *_: object) -> None:
        os.close(self._reads)
