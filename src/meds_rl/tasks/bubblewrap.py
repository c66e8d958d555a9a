"""The command that starts an interpreter in bubblewrap, and the filter of system calls that it loads."""

from __future__ import annotations

import os
import platform
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from meds_rl.tasks import sandbox_inside

INSTALL = "apt-get install bubblewrap"

TMP_BYTES = 16 << 20


def missing() -> str | None:
    """Why bubblewrap cannot be used here; None if it may work."""
    if sys.platform != "linux" or platform.machine() not in _SYSTEM_CALLS:
        return f"it needs Linux on x86_64 or aarch64, and this is {sys.platform} on {platform.machine()}"
    if Path(os.environ.get("HOME") or "/").is_relative_to(sys.base_prefix):
        return f"the interpreter's folder {sys.base_prefix} is above the home folder, so programs could read it"
    return None if shutil.which("bwrap") else f"bubblewrap is not installed: {INSTALL}"


@cache
def command() -> tuple[str, ...]:
    """bubblewrap with the interpreter, the system's libraries and an empty /tmp; all else is read-only or absent."""
    bound = ["/usr", *_outside_usr(Path(sys.base_prefix)), *_outside_usr(_python())]
    links = [Path(name) for name in ("/lib", "/lib64", "/bin") if Path(name).exists()]
    options = ["--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    options += ["--uid", "65534", "--gid", "65534", "--hostname", "sandbox"]
    options += ["--size", str(TMP_BYTES), "--tmpfs", "/tmp"] if _limits_size() else ["--dir", "/tmp"]
    for path in dict.fromkeys(bound):
        options += ["--ro-bind", path, path]
    for link in links:
        is_link = link.is_symlink()
        options += ["--symlink" if is_link else "--ro-bind", str(link.readlink() if is_link else link), str(link)]
    options += ["--ro-bind", sandbox_inside.__file__, "/inside.py", "--dev-bind", os.devnull, os.devnull]
    options += ["--remount-ro", "/", "--chdir", "/tmp"]
    # One order of sets in every run, and no 64 MiB of address space for each thread's heap.
    options += ["--setenv", "PYTHONHASHSEED", "0", "--setenv", "MALLOC_ARENA_MAX", "1"]
    return (shutil.which("bwrap") or "bwrap", *options)


def _limits_size() -> bool:
    """Whether /tmp can have a limit; not before bubblewrap 0.7 (Ubuntu 22.04's is 0.6.1), where it is read-only."""
    return b" --size " in subprocess.run(["bwrap", "--help"], capture_output=True, check=False).stdout


def interpreter() -> list[str]:
    """The command inside, without the part of `sandbox_inside` to run."""
    return [str(_python()), "-s", "-S", "-B", "-X", "utf8", "/inside.py"]


def _python() -> Path:
    """The interpreter itself: a virtual environment's python is a link to it."""
    return Path(sys._base_executable).resolve()  # type: ignore[attr-defined]  # not in typeshed


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


@contextmanager
def filter_file() -> Iterator[int]:
    """A file with the filter, in memory. Of a pipe bubblewrap would wait for the end, which a fork may hold open."""
    descriptor = os.memfd_create("seccomp")
    try:
        os.write(descriptor, _filter())
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
