"""How the kernels of this package are compiled: at import, for one type of each argument.

A kernel releases the interpreter's lock, so that threads run in parallel, and keeps IEEE arithmetic (no fast maths):
its results must be equal to the last bit in whatever order points come. Compiled code is cached on disk, next to the
module or else in the user's cache folder. Numba notices a change of the file that a kernel is in, not of another file
that it calls into. Therefore a kernel calls only functions of its own file, and Python code combines kernels.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
Floats = NDArray[np.float64]
Indices = NDArray[np.int32]

# Arguments are read-only to a kernel: it then takes writeable arrays and read-only ones alike, and changes neither.
POINTS = types.Array(types.float64, 2, "C", readonly=True)
VALUES = types.Array(types.float64, 1, "C", readonly=True)
INDICES = types.Array(types.int32, 1, "C", readonly=True)
FLAG = types.boolean
INT = types.int64
REAL = types.float64


def compiled(*arguments: Any) -> Callable[[Function], Function]:
    """Compile a kernel for arguments of these types; where no folder can hold the result, for this process only."""

    def decorate(function: Function) -> Function:
        try:
            kernel = numba.njit(arguments, nogil=True, cache=True)(function)
        except (RuntimeError, OSError):  # no folder that numba may write to, or one that is full
            kernel = numba.njit(arguments, nogil=True)(function)
        return cast(Function, kernel)

    return decorate


def part(function: Function) -> Function:
    """A part of the kernels in the same file, compiled with each of them."""
    return cast(Function, numba.njit(nogil=True)(function))


# ---- Sorting lengths in linear time.


@compiled(VALUES)
def ascending(lengths: Floats) -> Indices:
    """The order that sorts lengths of 0 and more, equal ones in the order they came in; nan comes last.

    A radix sort by bytes, lowest first: of floats that are not negative the bit patterns sort as the numbers do.
    Five times faster here than comparing; a byte that all lengths have in common is skipped.
    """
    n = lengths.size
    bits = lengths.view(np.uint64)
    counts = np.zeros((8, 256), np.int32)
    for i in range(n):
        key = bits[i]
        for byte in range(8):
            counts[byte, (key >> np.uint64(8 * byte)) & np.uint64(255)] += 1
    order, spare = np.arange(n).astype(np.int32), np.empty(n, np.int32)
    if n < 2:
        return order
    for byte in range(8):
        shift = np.uint64(8 * byte)
        count = counts[byte]
        if count[(bits[0] >> shift) & np.uint64(255)] == n:
            continue
        total = 0
        for digit in range(256):
            total += count[digit]
            count[digit] = total - count[digit]
        for item in order:
            digit = (bits[item] >> shift) & np.uint64(255)
            spare[count[digit]] = item
            count[digit] += 1
        order, spare = spare, order
    return order
