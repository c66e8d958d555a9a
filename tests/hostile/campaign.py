"""Hostile trials: many inputs for one function, each in bounded time and memory."""

import multiprocessing
import os
import resource
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# Forked, so that a trial can be any function of a test's module.
FORK = multiprocessing.get_context("fork")
Trial = Callable[[int], Any]


def _limit_memory(gigabytes: float) -> None:
    """Let this process map so much more address space than it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + int(gigabytes * 1e9)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _work(trial: Trial, seeds: range, pipe: Connection, gigabytes: float) -> None:
    _limit_memory(gigabytes)
    for seed in seeds:
        pipe.send(_mishandled(trial, seed))
    os._exit(0)  # skips what pytest registered to run at the end


def _mishandled(trial: Trial, seed: int) -> str | None:
    try:
        trial(seed)
    except BaseException:
        return traceback.format_exc(limit=-4)
    return None


def run_trials(trial: Trial, count: int, *, seconds: float, gigabytes: float) -> list[str]:
    """Call ``trial(seed)`` for `count` seeds in a child process; what it mishandled, a text each that names the seed.

    A trial mishandles its input if it raises, runs longer than `seconds`, needs `gigabytes` more memory or ends the
    process. After the last two the next trial begins in a fresh process.
    """
    mishandled, seed = [], 0
    while seed < count:
        ours, theirs = FORK.Pipe(duplex=False)
        child = FORK.Process(target=_work, args=(trial, range(seed, count), theirs, gigabytes), daemon=True)
        child.start()
        theirs.close()
        try:
            while seed < count:
                why = ours.recv() if ours.poll(seconds) else f"ran longer than {seconds} s"
                if why is not None:
                    mishandled.append(f"seed {seed}: {why}")
                seed += 1
                if why is not None and why.startswith("ran longer"):
                    break
        except EOFError:
            child.join()
            mishandled.append(f"seed {seed}: ended the process (exit code {child.exitcode})")
            seed += 1
        child.kill()
        child.join()
    return mishandled
