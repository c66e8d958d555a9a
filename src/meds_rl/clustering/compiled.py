"""How the kernels of this package are compiled: ahead of the first call, for one type of each argument.

A kernel gives up the interpreter's lock, so that threads run side by side, and keeps IEEE arithmetic (no fast maths):
its results must be the same to the last bit in whatever order points come. Compiled code is kept on disk, next to the
module or else in the user's cache folder. Numba notices a change of the file that a kernel is in, but not of another
file that it calls into. Therefore a kernel calls only what stands in its own file, and Python puts kernels together.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba import types

Function = TypeVar("Function", bound=Callable[..., Any])

# Arguments are read-only to a kernel: it then takes writeable arrays and read-only ones alike, and changes neither.
POINTS = types.Array(types.float64, 2, "C", readonly=True)
VALUES = types.Array(types.float64, 1, "C", readonly=True)
INDICES = types.Array(types.int32, 1, "C", readonly=True)
FLAG = types.boolean
INTEGER = types.int64
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
