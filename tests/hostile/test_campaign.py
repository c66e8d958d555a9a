"""A campaign can fail: each way to mishandle an input is found, and the trials after it still run."""

import os
import signal
import time

from .campaign import run_trials


def handled_by_seed(seed: int) -> None:
    if seed == 1:
        raise ValueError("a traceback")
    if seed == 2:
        time.sleep(60)
    if seed == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == 4:
        bytearray(10**9)


def test_each_way_to_mishandle_an_input_is_found():
    raised, slow, crashed, large = run_trials(handled_by_seed, 6, seconds=2, gigabytes=0.5)
    assert raised.startswith("seed 1: ")
    assert raised.strip().endswith("ValueError: a traceback")
    assert slow == "seed 2: ran longer than 2 s"
    assert crashed == "seed 3: ended the process (exit code -9)"
    assert large.startswith("seed 4: ")
    assert large.strip().endswith("MemoryError")
