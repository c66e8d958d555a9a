"""safetensors files that are written and read piece by piece, with a digest over everything.

The format is simple: the header's length in 8 bytes, the header in JSON, the arrays end to end. It is written and read
here because safetensors' own functions want every array whole, which would be a second copy of the memory. Its reader
opens these files (a test shows it). The last array, `sha256`, is the digest of all bytes before it.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meds_rl.shaping.atomic import atomic_file

_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype(np.float32),
    "I32": np.dtype(np.int32),
    "I64": np.dtype(np.int64),
    "U8": np.dtype(np.uint8),
}
_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_DIGEST = "sha256"
_LONGEST_HEADER = 100_000_000  # as safetensors has it


class Column(NamedTuple):
    """One array, given in parts that follow each other along its first axis."""

    name: str
    dtype: Any
    shape: tuple[int, ...]
    parts: Iterable[NDArray[Any]]


def write_columns(path: Path, columns: Sequence[Column], metadata: Mapping[str, str]) -> None:
    """Write the columns to `path`, which at any moment holds the old file or the new one, whole.

    Raises:
        OSError: As the system says: no such folder, no space, no permission. `path` is then as before.
    """
    # Wide types first, so that each array starts at a multiple of its item's size.
    ordered = sorted(columns, key=lambda column: (-np.dtype(column.dtype).itemsize, column.name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, dtype, shape, _ in [*ordered, Column(_DIGEST, np.uint8, (32,), ())]:
        start, end = end, end + math.prod(shape) * np.dtype(dtype).itemsize
        header[name] = {
            "dtype": _DTYPE_NAMES[np.dtype(dtype)],
            "shape": list(shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with atomic_file(path) as file:

        def write(part: bytes | memoryview) -> None:
            digest.update(part)
            file.write(part)

        write(len(text).to_bytes(8, "little"))
        write(text)
        for column in ordered:
            count = 0
            for part in column.parts:
                if part.dtype != column.dtype or part.shape[1:] != column.shape[1:]:
                    raise ValueError(f"a part of {column.name} is {part.dtype} of shape {part.shape}")
                count += len(part)
                write(_raw_bytes(part))
            if count != column.shape[0]:
                raise ValueError(
                    f"the parts of {column.name} have {count} rows and should have {column.shape[0]}"
                )
        file.write(digest.digest())


class ForeignFileError(ValueError):
    """A safetensors file whose metadata is not ours."""


class TensorFile:
    """A file that `write_columns` wrote, being read from its start to its end.

    Args:
        file: opened for reading, at its start.
        key: what the metadata must have.

    Attributes:
        metadata: the header's strings.
        shapes: the columns' dtypes and shapes, by name, once `locate` has been called.

    Raises:
        ForeignFileError: the metadata has no such key.
        ValueError: it is truncated, or no safetensors file.
    """

    def __init__(self, file: BufferedReader, key: str) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(self._read(8), "little")
        if length > min(size - 8, _LONGEST_HEADER):
            raise ValueError(f"it has {size} bytes, and a header of {length} by its own account")
        header = json.loads(self._read(length))
        self.metadata: dict[str, str] = dict(header.pop("__metadata__", {}))
        if key not in self.metadata:
            raise ForeignFileError(f"its metadata has no {key!r}")
        self._header, self._data_size = header, size - 8 - length
        self._columns: list[str] = []
        self.shapes: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}

    def locate(self) -> None:
        """Find the columns: end to end, and nothing after them.

        Raises:
            ValueError, KeyError: it is truncated, too long, or has columns of a kind that `write_columns` never writes.
        """
        end = 0
        for name, about in sorted(
            self._header.items(), key=lambda item: (item[1]["data_offsets"], item[0] == _DIGEST)
        ):
            dtype, shape = _DTYPES[about["dtype"]], tuple(int(axis) for axis in about["shape"])
            start, next_end = about["data_offsets"]
            if (
                start != end
                or min(shape, default=0) < 0
                or next_end - start != math.prod(shape) * dtype.itemsize
            ):
                raise ValueError(f"its part {name!r} is not where it should be")
            end = next_end
            self._columns.append(name)
            self.shapes[name] = (dtype, shape)
        if self._data_size != end:
            raise ValueError(f"it has {self._data_size} bytes of data and should have {end}")

    def read(self, name: str, sizes: Sequence[int] | None = None) -> list[NDArray[Any]]:
        """The next column, in parts of these sizes along its first axis (default: in one).

        Raises:
            ValueError: it is not the next one, or the sizes do not add up to its first axis.
        """
        if not self._columns or self._columns[0] != name:
            raise ValueError(f"it should have a part {name!r} next, got {self._columns[:1]}")
        del self._columns[0]
        dtype, shape = self.shapes[name]
        if sizes is not None and sum(sizes) != shape[0]:
            raise ValueError(f"its part {name!r} has {shape[0]} rows and should have {sum(sizes)}")
        return [self._array(dtype, (size, *shape[1:])) for size in (shape[:1] if sizes is None else sizes)]

    def finish(self) -> None:
        """Check the digest.

        Raises:
            ValueError: there is none, or the content is not the one that was written.
        """
        expected = self._digest.digest()
        if self._columns != [_DIGEST]:
            raise ValueError(f"it has parts that no memory has: {self._columns}")
        if self.read(_DIGEST)[0].tobytes() != expected:
            raise ValueError("it is corrupted: its content does not match its digest")

    def _array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        array = np.empty(shape, dtype=dtype)
        if array.size:
            buffer = array.reshape(-1).view(np.uint8).data
            done = 0
            while done < len(buffer):
                count = self._file.readinto(buffer[done:])
                if not count:
                    raise ValueError("it ends too early")
                done += count
            self._digest.update(buffer)
        return array if np.little_endian else array.byteswap()

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) != size:
            raise ValueError("it ends too early")
        self._digest.update(data)
        return data


def _raw_bytes(array: NDArray[Any]) -> memoryview:
    """The array's numbers as little-endian bytes, without a copy where they lie so already."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data if little.size else memoryview(b"")
