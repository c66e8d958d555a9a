"""The clustering is compiled at its first use on a machine: before the first step, not in it."""

import time

import numpy as np

from meds_rl.memory.memory import ErrorMemory

NOTICED_SECONDS = 2.0
"""What takes longer is told."""


def compile_kernels() -> float:
    """Have a throw-away memory compile what memories run on, so that no step's time has it in it; returns seconds.

    Ten seconds or more the first time on a machine; afterwards the result lies on disk.
    """
    start = time.perf_counter()
    memory = ErrorMemory()
    points = np.eye(4, dtype=np.float32)
    for _ in range(2):
        memory.assign("", points)
        memory.remember("", points)
    return time.perf_counter() - start
