"""Writes files so that their path holds, at any moment, the old file or the new one, whole.

The format of safetensors is simple: the header's length in 8 bytes, the header in JSON, the arrays end to end. It is
written here because safetensors' own writer makes files that only their owner can read and hides the system's errors.
"""

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_DTYPE_NAMES = {"<f4": "F32", "<i8": "I64", "|u1": "U8"}


def write_safetensors(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write float32, int64 and uint8 arrays and a string-to-string header to `path`.

    Raises:
        OSError: As the system says: no such folder, no space, no permission. `path` is then as before.
    """
    with atomic_file(path) as file:
        _write(file, arrays, metadata)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to: a temporary one beside `path`, at the end synced to disk and renamed over it.

    Raises:
        OSError: As the system says. After that, or any error within the context, `path` is as before.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _write(file: BinaryIO, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    # Wide types first, so that each array starts at a multiple of its item's size.
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0]))
    for name, array in ordered:
        start, end = end, end + array.nbytes
        dtype = _DTYPE_NAMES[array.dtype.newbyteorder("<").str]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for _, array in ordered:
        file.write(raw_bytes(array))


def raw_bytes(array: NDArray[Any]) -> memoryview:
    """The array's numbers as little-endian bytes, without a copy where they lie so already."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return little.data.cast("B") if little.size else memoryview(b"")


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    if os.name == "nt":
        return  # a folder cannot be opened there
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
