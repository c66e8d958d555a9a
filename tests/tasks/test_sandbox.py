"""Programs that attack the sandbox: each gets a verdict in bounded time, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meds_rl.tasks import bubblewrap, sandbox
from meds_rl.tasks.sandbox import Calls, Limits, check_sandbox, run_calls, run_inputs
from meds_rl.tasks.sandbox_inside import NotPlainError, decode, encode

from .conftest import needs_bwrap

LIMITS = Limits(test_seconds=30.0, seconds=60.0)  # a busy machine is slow
SHORT = Limits(test_seconds=2.0, seconds=6.0)  # for programs that may never end
TWICE = Calls(["assert answer() == 42"] * 2, {"answer": "answer"})


def running(mark: str) -> list[str]:
    """The command lines of the processes that have this mark in them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:  # it has just ended
            continue
        if mark in line:
            found.append(line)
    return found


def children() -> set[str]:
    return {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


@pytest.fixture
def mark(monkeypatch):
    """A mark on the command line of every process in the sandbox; after the test none may be left."""
    name, interpreter = f"meds={uuid.uuid4().hex}", sandbox.interpreter
    monkeypatch.setattr(sandbox, "interpreter", lambda: [interpreter()[0], "-X", name, *interpreter()[1:]])
    before = children()
    yield name
    # A program that has closed its channel may still be in the kernel's hands: killed, but not gone.
    end = time.monotonic() + 10
    while running(name) and time.monotonic() < end:
        time.sleep(0.05)
    assert running(name) == []
    assert children() <= before


@pytest.fixture
def attack(mark):  # noqa: ARG001
    return lambda program, calls=TWICE, limits=LIMITS: run_calls([program], calls, limits)


def function(body: str) -> str:
    return "import os, sys\ndef answer():\n" + "".join(f"    {line}\n" for line in body.splitlines())


# ---- What programs do, and what is said about it.


@needs_bwrap
def test_what_happens_in_each_test_is_told(attack):
    calls = Calls(
        [
            "assert f(1) == 1",
            "assert f(2) == 2",
            "assert f(3) == 3",
            "assert f(4) == 4",
            "assert f(0) == 5",
            "x = f(6)",
        ],
        {"f": "f"},
    )
    program = "def f(x):\n    if x == 2: return 'two'\n    if x == 3: return None\n    return x / x * x"
    # 1.0 == 1 passes; the second wrong value is only "wrong"; the last test asserts nothing
    assert attack(program, calls) == ["ok", "got 'two'", "wrong", "ok", "ZeroDivisionError", "ok"]


@needs_bwrap
def test_a_program_that_was_ended_starts_again_for_the_next_test(attack):
    calls = Calls([f"assert f({x}) == {x}" for x in (1, 2, 3, 4)], {"f": "f"})
    program = "import os\ndef f(x):\n    while x == 1: pass\n    if x == 3: os._exit(0)\n    return x"
    assert attack(program, calls, Limits(2, 30)) == ["timeout", "ok", "exit", "ok"]


@needs_bwrap
def test_the_time_of_all_tests_is_limited(attack):
    # 0.4 s for a test, 1 s for all: two or three tests have begun when the time is over
    outcome = attack(function("while True: pass"), Calls(["answer()"] * 9, {"answer": "answer"}), Limits(0.4, 1.0))
    assert set(outcome[:2]) == {"timeout"}
    assert outcome[4:] == ["not run"] * 5


@needs_bwrap
def test_tests_may_expect_an_exception_and_use_helpers_of_their_own(attack):
    test = "try:\n    f(-1)\nexcept ValueError:\n    pass\nelse:\n    assert False"
    calls = Calls([test, "assert abs(f(2) - half(4)) < tiny"], {"f": "f"}, "tiny = 1e-9\ndef half(x): return x / 2")
    assert attack("def f(x):\n    if x < 0: raise ValueError(x)\n    return x", calls) == ["ok", "ok"]
    assert attack("def f(x): return x + 1", calls) == ["got 0", "wrong"]


@needs_bwrap
@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("import os\ndef f(x): os._exit(0)", "exit"),
        ("def f(x):\n    while True: pass", "timeout"),
        ("def f(x): return bytearray(10**10)", "memory"),
        ("def f(x): return f", "returned function"),
    ],
)
def test_a_test_that_catches_all_does_not_hide_a_program_that_ended(attack, program, outcome):
    calls = Calls(["try:\n    f(-1)\nexcept:\n    pass"], {"f": "f"})
    assert attack(program, calls, SHORT) == [outcome]


@needs_bwrap
def test_a_test_may_expect_the_programs_own_assertion(attack):
    test = "try:\n    f(-1)\nexcept AssertionError:\n    pass\nelse:\n    raise ValueError"
    calls = Calls([test, "assert f(-2) == 2"], {"f": "f"})
    # The program's own assertion is no wrong value.
    assert attack("def f(x):\n    assert x > 0", calls) == ["ok", "AssertionError"]
    assert attack("def f(x): return x", calls) == ["ValueError", "got -2"]


@needs_bwrap
def test_a_program_cannot_end_the_loops_of_its_tests(attack):
    # In Python all(map(...)) is True if the first call raises StopIteration.
    calls = Calls(["assert all(map(lambda x: f(x) == x, [1, 2]))"], {"f": "f"})
    assert attack("def f(x): raise StopIteration", calls) == ["StopIteration"]


@needs_bwrap
def test_arguments_are_changed_in_place_by_functions_without_a_value(attack):
    calls = Calls(
        [
            "x = [3, 1]\nf(x)\nassert x == [1, 3]",
            "x = {'a': 1}\nf(values=x)\nassert x == {}",
            "x = [{2}, [[0]]]\nf(x)\nassert x == [[[0]], {2}]",
        ],
        {"f": "f"},
    )
    program = "def f(values): values.clear() if isinstance(values, dict) else values.sort(key=str)"
    assert attack(program, calls) == ["ok", "ok", "ok"]
    assert attack("def f(x): x.append(f)", Calls(["assert f([]) is None"], {"f": "f"})) == ["ok"]
    # With a value they are not: an emptied list would make [] its sorted form.
    calls = Calls(["x = [3, 1]\nassert f(x) == sorted(x)"], {"f": "f"})
    assert attack("def f(values):\n    values.clear()\n    return []", calls) == ["got []"]


@needs_bwrap
@pytest.mark.usefixtures("mark")
def test_a_method_of_a_class_and_a_program_in_pieces():
    calls = Calls(["assert candidate([3, 1]) == 4"], {"candidate": "Solution.add"})
    program = ["from typing import List", "class Solution:\n    def add(self, x: List[int]) -> int: return sum(x)"]
    assert run_calls(program, calls, LIMITS) == ["ok"]


@needs_bwrap
def test_tests_that_cannot_start_are_not_blamed_on_the_program(attack):
    assert attack("def f(): return 1", Calls(["assert f() == 1"], {"f": "f"}, "import no_such_module")) == [
        "tests: ModuleNotFoundError"
    ]


@needs_bwrap
def test_dataclasses_and_sets_work_and_sets_have_one_order(attack):
    program = "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: 'int'\n" + function(
        "return {str(i) for i in (A(3).x, 1, 2)}"
    )
    assert attack(program)[0] == "got {'1', '2', '3'}"


@pytest.mark.usefixtures("mark")
@needs_bwrap
@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("print(sum(map(int, input().split())))", ["ok", "ok", "got 7"]),
        ("import sys\nprint(*[sum(map(int, line.split())) for line in sys.stdin], sep='\\n')", ["ok", "ok", "got 7"]),
        ("import os\nprint(float(sum(map(int, os.read(0, 99).split()))))", ["ok", "ok", "got 7.0"]),
        ("a, b = input().split()\nprint(int(a) + int(b) + 1)", ["got 4", "wrong", "ok"]),
        ("def main(): print(3)\nif __name__ == '__main__': main(); exit()", ["ok", "got 3", "wrong"]),
        ("import sys\nif len(sys.argv) > 1: sys.stdin = open(sys.argv[1])\nprint(3)", ["ok", "got 3", "wrong"]),
        ("print(3); raise IndexError", ["IndexError"] * 3),
        ("import sys; print(3); sys.exit(1)", ["exit"] * 3),
        ("import sys; sys.stderr.write('ok\\n'); print(3); sys.exit(2)", ["exit"] * 3),
        (
            "import os\nfor fd in range(3, 9):\n    try: os.write(fd, b'ok')\n    except OSError: pass\nos._exit(1)",
            ["exit"] * 3,
        ),
    ],
)
def test_programs_that_read_and_write(program, outcome):
    assert run_inputs([program], [("1 2\n", "3"), ("2 3\n", "5\n"), ("3 4", "8")], LIMITS) == outcome


@needs_bwrap
@pytest.mark.usefixtures("mark")
def test_outputs_are_compared_by_words_and_numbers_by_value():
    given = [("", right) for right in ("1.50 a\nb", " 1.5  a \nb\n\n", "1.5 a b", "1.5 A\nb")]
    assert run_inputs(["print('1.5 a');print('b')"], given, LIMITS) == ["ok", "ok", "got 1.5 a / b", "wrong"]


# ---- Attacks. The right answer is 42. An attack that returns 41 succeeds if a test says "ok".


ATTACKS = {
    "fork bomb": (function("while True: os.fork()"), "PermissionError"),
    "commands": (function("import subprocess\nsubprocess.run(['/bin/sh', '-c', ':'])"), "PermissionError"),
    "a child that outlives": (function("if os.fork() == 0: os.setsid()\nreturn 42"), "PermissionError"),
    "processes": (function("import multiprocessing as m\nm.Process(target=print).start()"), "PermissionError"),
    "password file": (function("return open('/etc/passwd').read()"), "FileNotFoundError"),
    "this file": (function(f"return open({__file__!r}).read()"), "FileNotFoundError"),
    "its parent": (function("return open(f'/proc/{os.getppid()}/mem', 'wb')"), "FileNotFoundError"),
    "own processes": (function("return os.listdir('/proc')"), "FileNotFoundError"),
    "writing to the system": (function("return open('/usr/meds', 'w')"), "OSError"),
    "writing to the root": (function("return open('/meds', 'w')"), "OSError"),
    "writing to the tests' code": (function("return open('/inside.py', 'w')"), "OSError"),
    "network": (function("import socket\nsocket.create_connection(('127.0.0.1', 80))"), "PermissionError"),
    "unix socket": (function("import socket\nsocket.socket(socket.AF_UNIX)"), "PermissionError"),
    "socket of the virtual machine": (function("import socket\nsocket.socket(40, 1)"), "PermissionError"),
    "killing the parent": (function("os.kill(os.getppid(), 9)\nreturn 41"), "got 41"),
    "killing all": (function("os.kill(-1, 9)\nreturn 41"), "ProcessLookupError"),
    "exit": ("import sys\nsys.exit(0)", "exit"),
    "exit in a call": (function("os._exit(0)"), "exit"),
    "SystemExit in a call": (function("raise SystemExit(0)"), "exit"),
    "an exception named ok": ("class ok(Exception): pass\n" + function("raise ok"), "Exception"),
    "no assertions": (function("import builtins\nbuiltins.AssertionError = BaseException\nreturn 41"), "got 41"),
    "other modules": (function("sys.modules.clear()\nreturn 41"), "got 41"),
    "a number that equals all": (
        "class Any(int):\n    __eq__ = lambda self, other: True\n    __hash__ = int.__hash__\n"
        + function("return Any(41)"),
        "got 41",
    ),
    "an object that equals all": (
        "class Any:\n    __eq__ = lambda self, other: True\n" + function("return Any()"),
        "returned Any",
    ),
    "looking for the tests": (
        function(
            "import gc\nneedle = ''.join(['asse', 'rt ans'])\nreturn sum(needle in str(x) for x in gc.get_objects())"
        ),
        "got 0",
    ),
    "looking up the stack": (
        function("f, n = sys._getframe(), 0\nwhile f: n += '== 4' + '2' in str(f.f_locals); f = f.f_back\nreturn n"),
        "got 0",
    ),
    "words at the end": (
        "import atexit\natexit.register(os.write, 3, b'r1ok')" + "\n" + function("return 41"),
        "NameError",
    ),
    "tracing": (function("import ctypes\nreturn ctypes.CDLL(None).ptrace(16, 1, 0, 0)"), "got -1"),
    "new namespaces": (function("import ctypes\nreturn ctypes.CDLL(None).unshare(0x10000000)"), "got -1"),
    "memory of the kernel": (function("return os.memfd_create('x')"), "PermissionError"),
    "threads without end": (
        function(
            "import _thread\nlock = _thread.allocate_lock()\nlock.acquire()\n_thread.stack_size(32768)\n"
            "while True: _thread.start_new_thread(lock.acquire, ())"
        ),
        "threads",
    ),
    "memory": (function("return len(bytearray(10**10))"), "memory"),
    "memory, bit by bit": (function("x = []\nwhile True: x.append(bytearray(10**6))"), None),
    "a big file": (function("f = open('/tmp/x', 'wb')\nwhile True: f.write(bytes(10**6))"), "OSError"),
    "many files": (
        function("for i in range(10**6):\n    with open(f'/tmp/{i}', 'wb') as f: f.write(bytes(10**6))"),
        "OSError",
    ),
    "recursion": (function("return answer()"), "RecursionError"),
    "a value of a gigabyte": (function("return 'x' * (1 << 30)"), "memory"),
    "a value of ten megabytes": (function("return 'x' * 10**7"), "returned a value of more than 1 MiB"),
    "an endless generator": (function("return (i for i in iter(int, 1))"), "returned generator"),
    "a value in itself": (function("x = []\nx.append(x)\nreturn x"), "returned a value that is nested too deeply"),
    "half a character": (function(r"return '\ud800'"), r"got '\ud800'"),
    "a number of a million digits": (function("return 1 << 10**6"), "got int"),
    "endless output": (function("while True: print('x' * 1000)"), "timeout"),
    "sleep": (function("import time\ntime.sleep(99)"), "timeout"),
    "no descriptors": (function("os.closerange(0, 99)\nreturn 42"), "exit"),
    "NUL": ("def answer(): return 42\0", None),
}


@needs_bwrap
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_fails_in_a_call(attack, name):
    program, outcome = ATTACKS[name]
    first, second = attack(program, limits=SHORT)
    if outcome is not None:
        assert first == outcome
    assert "ok" not in (first, second)


@pytest.mark.long
@pytest.mark.usefixtures("mark")
@needs_bwrap
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_fails_in_a_script(name):
    program, _ = ATTACKS[name]
    (outcome,) = run_inputs([f"{program}\nprint(answer())"], [("", "42")], SHORT)
    assert outcome != "ok"


@pytest.mark.usefixtures("mark")
@needs_bwrap
@pytest.mark.long
@pytest.mark.parametrize(
    ("program", "outcomes"),
    [
        ("while True: print('x' * 1000)", {"output"}),
        ("import os\nwhile True: os.write(2, bytes(1000))", {"timeout"}),
        (
            "import os\nfor fd in range(64):\n    try: os.write(fd, b'ok' * 10**6)\n    except OSError: pass",
            {"output", "timeout"},
        ),
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()\nprint(42)", {"timeout"}),
        ("print('\\ud800')", {"UnicodeEncodeError"}),
        ("exec('x = 1\\n' * 10**7)", {"memory", "timeout"}),
        ("import sys\nsys.setrecursionlimit(10**9)\nf = lambda: f()\nf()", {"memory", "timeout", "crash", "exit"}),
        ("import os\nos.abort()", {"crash"}),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\nwhile True: pass", {"timeout"}),
        ("import ctypes\nctypes.string_at(0)", {"crash"}),
    ],
)
def test_scripts_that_do_not_end_well(program, outcomes):
    (outcome,) = run_inputs([program], [("", "42")], SHORT)
    assert outcome in outcomes


LOST_SIGNALS = {
    "undone": "import ctypes\ndef answer():\n    ctypes.CDLL(None).prctl(1, 0)\n    while True: pass",
    # A thread has no parent-death signal of its own; execve makes it the process.
    "exec in a thread": (
        "import os, sys, threading, time\n"
        "def answer():\n"
        "    line = [sys.executable, *sys.orig_argv[1:3], '-S', '-c', 'while True: pass']\n"
        "    threading.Thread(target=os.execv, args=(sys.executable, line)).start()\n"
        "    time.sleep(99)"
    ),
}


@pytest.mark.long
@needs_bwrap
@pytest.mark.parametrize("name", LOST_SIGNALS)
def test_a_program_without_a_parent_death_signal_ends_too(attack, name):
    assert attack(LOST_SIGNALS[name], limits=SHORT)[0] == "timeout"


@needs_bwrap
def test_what_a_program_writes_into_the_channel_is_no_result(attack):
    for content in ("b'r1ok'", "b'\\0\\0\\0\\4r1ok'", "b'\\xff' * 99", "b'\\0\\0\\0\\1v'"):
        flood = f"for fd in range(3, 64):\n    try: os.write(fd, {content})\n    except OSError: pass\nreturn 41"
        assert "ok" not in attack(function(flood)), content


@needs_bwrap
def test_threads_work_and_end_with_the_program(attack):
    program = function(
        "import threading, time\nfor _ in range(20): threading.Thread(target=time.sleep, args=(99,)).start()"
    )
    assert attack(program + "    return 42") == ["ok", "ok"]


@needs_bwrap
def test_nothing_of_the_host_is_seen_and_nothing_is_left_there(attack, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDS_SECRET", "s3cret")
    (tmp_path / "secret").write_text("s3cret")
    name = f"/tmp/meds-{uuid.uuid4().hex}"
    looks = function(
        f"open({name!r}, 'w').write('x')\n"
        f"seen = [os.path.exists(p) for p in ({str(tmp_path)!r}, '/sys', '/proc', '/etc', '/dev/sda', '/run')]\n"
        "names = sorted(set(os.environ) - {'PWD', 'LC_CTYPE'})\n"
        "return (seen, names, os.listdir('/tmp'), os.getuid(), os.uname().nodename)"
    )
    expected = ([False] * 6, ["MALLOC_ARENA_MAX", "PYTHONHASHSEED"], [name[5:]], 65534, "sandbox")
    assert attack(looks, Calls([f"assert answer() == {expected!r}"], {"answer": "answer"})) == ["ok"]
    assert not Path(name).exists()


@needs_bwrap
def test_the_home_folder_holds_at_most_the_interpreter(attack):
    home = str(Path.home())
    look = function(
        f"found = []\nfor path, folders, files in os.walk({home!r}):\n    found += files\n"
        f"    folders[:] = [one for one in folders if os.path.join(path, one) != {sys.base_prefix!r}]\nreturn found"
    )
    assert attack(look, Calls(["assert answer() == []"], {"answer": "answer"})) == ["ok"]


@needs_bwrap
@pytest.mark.parametrize("program", [function("while True: pass"), *LOST_SIGNALS.values()])
def test_nothing_runs_on_when_this_process_is_killed(mark, program):
    script = (
        "from meds_rl.tasks import sandbox\n"
        f"given = sandbox.interpreter()\nsandbox.interpreter = lambda: [given[0], '-X', {mark!r}, *given[1:]]\n"
        "print('on', flush=True)\n"
        "calls = sandbox.Calls(['answer()'], {'answer': 'answer'})\n"
        f"sandbox.run_calls([{program!r}], calls, sandbox.Limits(60, 60))"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    process.stdout.readline()
    while len(running(mark)) < 7:  # in each of two sandboxes bubblewrap (twice) and python; and the script itself
        time.sleep(0.05)
    time.sleep(1)  # for the program
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    while running(mark):
        time.sleep(0.05)


@needs_bwrap
@pytest.mark.usefixtures("mark")
def test_a_fork_that_holds_a_pipe_open_does_not_stop_the_end(monkeypatch):
    monkeypatch.setattr(sandbox, "END_SECONDS", 0.1)
    with sandbox._Process("program") as process:
        process.ready()
        held = os.open(f"/proc/{process._process.pid}/fd/1", os.O_WRONLY)  # as a fork in another thread may
    os.close(held)
    assert process.has_ended


# ---- Plain values.


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_values_arrive_as_they_were_sent(value):
    arrived = decode(encode(value))
    assert arrived == value
    assert repr(arrived) == repr(value)  # types, too, and -0.0


@given(st.binary(max_size=40))
@settings(max_examples=300)
def test_any_bytes_are_a_value_or_refused(content):
    try:
        decode(content)
    except NotPlainError:
        return


# ---- Where it does not work.


@pytest.fixture
def unchecked():
    for one in (check_sandbox, bubblewrap.command):
        one.cache_clear()
    yield
    for one in (check_sandbox, bubblewrap.command):
        one.cache_clear()


@pytest.mark.usefixtures("unchecked")
def test_without_bubblewrap_nothing_runs_and_the_message_has_the_command(monkeypatch):
    monkeypatch.setattr(bubblewrap.shutil, "which", {}.get)
    with pytest.raises(OSError, match="apt-get install bubblewrap"):
        check_sandbox()


@pytest.mark.usefixtures("unchecked")
def test_bubblewraps_own_reason_is_told(monkeypatch, tmp_path):
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(OSError, match=r"No permissions to create a new namespace.*user namespaces"):
        check_sandbox()


@pytest.mark.parametrize("limits", [(0, 1), (2, 1), (1, float("inf")), (float("nan"), 1)])
def test_limits_out_of_range(limits):
    with pytest.raises(ValueError, match="test_seconds must be above 0"):
        Limits(*limits)
