"""The memory's file: one safetensors file, written atomically, entry by entry, and checked in full when read.

The arrays of all E entries are concatenated into one column each. `entry_sizes` (E, 5) says how to cut them: the
entry's numbers of fingerprints, runs, runs without an answer and numbers in the tree; and its next cluster. Of the K
prompts with right completions `kept_sizes` (K, 1 + MOST_KEPT) has the recalls and the length of each one, 0 for none.
The last column is the SHA-256 of everything before it.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from io import BufferedReader
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meds_rl.checks import PromptId, check_prompt_id
from meds_rl.files import atomic_file
from meds_rl.memory.clustering import NO_TREE, check_tree
from meds_rl.memory.entry import NO_RUNS, EntryKey, MemoryEntry, MemoryState, Runs, length
from meds_rl.memory.recall import MOST_KEPT, Kept, right_completion

SCHEMA_VERSION = 4

_HEADER = "meds_rl.error_memory"
_DIGEST = "sha256"
_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
    "I32": np.dtype(np.int32),
    "I64": np.dtype(np.int64),
    "U8": np.dtype(np.uint8),
}
_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_LONGEST_HEADER = 10_000_000  # a memory's has under 10,000 bytes; as JSON it takes thirty times its size
_LONGEST_REASON = 400
_MOST_NO_ANSWER = 2**24
"""Most completions without an answer of one prompt: they are stored as counts, and a small file could name billions."""
_LARGEST = 2**62
"""Steps and ids below it can be added up in int64."""
# What parsing a damaged file can raise.
_UNREADABLE = (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)


class MemoryFileError(ValueError):
    """A memory file that cannot be read: truncated, corrupted, of another version, or another kind of file."""

    def __init__(self, path: str | PathLike[str], reason: str) -> None:
        if len(reason) > _LONGEST_REASON:  # it may quote the file
            reason = f"{reason[:_LONGEST_REASON]}…"
        super().__init__(f"cannot read the memory file {os.fspath(path)}: {reason}")


# ---- Write.


def write(path: str | PathLike[str], state: MemoryState) -> None:
    """Write the state to `path`, which at any moment holds the old file or the new one, whole."""
    header = {
        "schema_version": SCHEMA_VERSION,
        "step": state.step,
        "next_id": state.next_id,
        "n_features": state.n_features,
    }
    write_columns(Path(path), _columns(state), {_HEADER: json.dumps(header)})


class Column(NamedTuple):
    """One array, given in parts that follow each other along its first axis."""

    name: str
    dtype: Any
    shape: tuple[int, ...]
    parts: Iterable[NDArray[Any]]


def _columns(state: MemoryState) -> list[Column]:
    entries = list(state.entries.values())
    rows = [
        (len(one.vectors), len(one.runs), len(one.no_answer_runs), len(one.tree), one.next_cluster) for one in entries
    ]
    sizes = np.array(rows, dtype=np.int64).reshape(-1, 5)
    n, r, k, t = (int(total) for total in sizes[:, :4].sum(axis=0))
    # JSON of E pairs of prompt id and is_correct. Not in the header, whose size is limited.
    keys = np.frombuffer(json.dumps(list(state.entries)).encode(), dtype=np.uint8)
    vectors = (entry.vectors for entry in entries if len(entry.vectors))
    return [
        Column("vectors", np.float32, (n, state.n_features or 0), vectors),
        Column("clusters", np.int32, (n,), (entry.clusters for entry in entries)),
        Column("tree", np.int32, (t,), (entry.tree for entry in entries)),
        Column("runs", np.int64, (r, 3), (entry.runs for entry in entries)),
        Column("no_answer_runs", np.int64, (k, 3), (entry.no_answer_runs for entry in entries)),
        Column("entry_sizes", np.int64, sizes.shape, [sizes]),
        Column("entry_keys", np.uint8, keys.shape, [keys]),
        *_kept_columns(state),
    ]


def _kept_columns(state: MemoryState) -> list[Column]:
    all_kept = list(state.kept.values())
    sizes = np.zeros((len(all_kept), 1 + MOST_KEPT), dtype=np.int64)
    rewards = np.zeros((len(all_kept), MOST_KEPT), dtype=np.float64)
    for place, kept in enumerate(all_kept):
        n = len(kept.completions)
        sizes[place, : 1 + n] = [kept.recalls, *(len(one.token_ids) for one in kept.completions)]
        rewards[place, :n] = [one.reward for one in kept.completions]
    tokens = (one.token_ids for kept in all_kept for one in kept.completions)
    keys = np.frombuffer(json.dumps(list(state.kept)).encode(), dtype=np.uint8)
    return [
        Column("kept_sizes", np.int64, sizes.shape, [sizes]),
        Column("kept_rewards", np.float64, rewards.shape, [rewards]),
        Column("kept_tokens", np.int32, (int(sizes[:, 1:].sum()),), tokens),
        Column("kept_keys", np.uint8, keys.shape, [keys]),
    ]


def write_columns(path: Path, columns: Sequence[Column], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file of these columns, and their digest as the last one; as before after an OSError."""
    # Wide types first, so that each array starts at a multiple of its item's size.
    ordered = sorted(columns, key=lambda column: (-np.dtype(column.dtype).itemsize, column.name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, dtype, shape, _ in [*ordered, Column(_DIGEST, np.uint8, (32,), ())]:
        start, end = end, end + math.prod(shape) * np.dtype(dtype).itemsize
        kind = _DTYPE_NAMES[np.dtype(dtype)]
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with atomic_file(path) as file:

        def put(part: bytes | memoryview) -> None:
            digest.update(part)
            file.write(part)

        put(len(text).to_bytes(8, "little") + text)
        for name, dtype, shape, parts in ordered:
            count = 0
            for part in parts:
                if part.dtype != dtype or part.shape[1:] != shape[1:]:
                    raise ValueError(f"a part of {name} is {part.dtype} of shape {part.shape}")
                count += len(part)
                put(_raw_bytes(part))
            if count != shape[0]:
                raise ValueError(f"the parts of {name} have {count} rows and should have {shape[0]}")
        file.write(digest.digest())


def _raw_bytes(array: NDArray[Any]) -> memoryview:
    """The array's numbers as little-endian bytes, without a copy if they are stored so already."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data if little.size else memoryview(b"")


# ---- Read.


def read(path: str | PathLike[str]) -> MemoryState:
    """The state that `write` wrote; FileNotFoundError or, for a file that is not one of these, MemoryFileError."""
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no memory file at {os.fspath(path)}")
    if Path(path).is_dir():
        raise MemoryFileError(path, "it is a folder")
    if not Path(path).is_file():  # opening a FIFO would wait for a writer
        raise MemoryFileError(path, "it is no regular file")
    try:
        with Path(path).open("rb") as stream:
            file = _ColumnReader(stream)
            if _HEADER not in file.metadata:
                raise MemoryFileError(path, "it is a safetensors file, but not one of meds-rl's memory")
            header = json.loads(file.metadata[_HEADER])
            if header["schema_version"] != SCHEMA_VERSION:
                raise MemoryFileError(
                    path,
                    f"it has schema version {header['schema_version']!r} and this meds-rl reads version "
                    f"{SCHEMA_VERSION}; another version of meds-rl may read it",
                )
            parts = _read_parts(file)
    except MemoryFileError:
        raise
    except _UNREADABLE as error:
        raise MemoryFileError(path, f"it is truncated or not a memory file ({error})") from error
    try:
        return _state(header, parts)
    except _UNREADABLE as error:
        raise MemoryFileError(path, f"its parts contradict each other ({error})") from error


class _ColumnReader:
    """Reads a file of `write_columns` from its start to its end, and digests what it reads."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        size = os.fstat(file.fileno()).st_size
        header_size = int.from_bytes(self._array(_DTYPES["U8"], (8,)).tobytes(), "little")
        if header_size > min(size - 8, _LONGEST_HEADER):
            raise ValueError(f"it has {size} bytes, and its header should have {header_size}")
        self._header: dict[str, Any] = json.loads(self._array(_DTYPES["U8"], (header_size,)).tobytes())
        self._data_size = size - 8 - header_size
        self.metadata: dict[str, str] = dict(self._header.pop("__metadata__", {}))

    def locate(self) -> None:
        """Find the columns: end to end, and nothing after them."""
        end = 0
        self._columns: list[tuple[str, np.dtype[Any], tuple[int, ...]]] = []
        by_place = sorted(self._header.items(), key=lambda item: (item[1]["data_offsets"], item[0] == _DIGEST))
        for name, about in by_place:
            dtype, shape = _DTYPES[about["dtype"]], tuple(int(axis) for axis in about["shape"])
            start, next_end = about["data_offsets"]
            size = math.prod(shape) * dtype.itemsize
            if start != end or min(shape, default=0) < 0 or next_end - start != size:
                raise ValueError(f"its part {name!r} is not where it should be")
            end = next_end
            self._columns.append((name, dtype, shape))
        if self._data_size != end:
            raise ValueError(f"it has {self._data_size} bytes of data and should have {end}")

    def read(self, name: str, sizes: Sequence[int] | None = None) -> list[NDArray[Any]]:
        """The next column, which must have this name, in parts of these sizes along its first axis (default: one)."""
        if not self._columns or self._columns[0][0] != name:
            raise ValueError(f"it should have a part {name!r} next, got {self._columns[:1]}")
        _, dtype, shape = self._columns.pop(0)
        if sizes is not None and sum(sizes) != shape[0]:
            raise ValueError(f"its part {name!r} has {shape[0]} rows and should have {sum(sizes)}")
        return [self._array(dtype, (size, *shape[1:])) for size in (shape[:1] if sizes is None else sizes)]

    def check_digest(self) -> None:
        """The digest comes next, is the last column, and is that of what was read."""
        expected = self._digest.digest()
        if [name for name, _, _ in self._columns] != [_DIGEST]:
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


def _read_parts(file: _ColumnReader) -> dict[str, list[NDArray[Any]]]:
    """The columns cut into entries, in their order in the file."""
    file.locate()
    (sizes,) = file.read("entry_sizes")
    if sizes.dtype != np.int64 or sizes.ndim != 2 or sizes.shape[1] != 5 or (sizes < 0).any():
        raise ValueError("entry_sizes is not (E, 5) counts")
    if not (sizes[:, 0] | sizes[:, 2]).all():
        raise ValueError("entry_sizes has an entry without completions")
    n, r, k, t = sizes[:, :4].T.tolist()
    parts = {"entry_sizes": [sizes]}
    for name in ("kept_rewards", "kept_sizes"):
        parts[name] = file.read(name)
    (kept_sizes,) = parts["kept_sizes"]
    if kept_sizes.dtype != np.int64 or kept_sizes.shape[1:] != (1 + MOST_KEPT,) or (kept_sizes < 0).any():
        raise ValueError(f"kept_sizes is not (K, {1 + MOST_KEPT}) counts")
    lengths_of_kept = kept_sizes[:, 1:].ravel().tolist()
    for name, lengths in (
        ("no_answer_runs", k), ("runs", r), ("clusters", n), ("kept_tokens", lengths_of_kept), ("tree", t),
        ("vectors", n), ("entry_keys", None), ("kept_keys", None),
    ):  # fmt: skip
        parts[name] = file.read(name, lengths)
    file.check_digest()
    return parts


# The digest shows that the file is as it was written; the checks below show that what was written makes sense.


def _state(header: dict[str, Any], parts: dict[str, list[NDArray[Any]]]) -> MemoryState:
    step, next_id = (_number(header, name, 0, _LARGEST) for name in ("step", "next_id"))
    n_features = None if header["n_features"] is None else _number(header, "n_features", 1, 2**31)
    state = MemoryState({}, step, next_id, n_features, _kept(parts))
    pairs = json.loads(parts["entry_keys"][0].tobytes())
    if not all(isinstance(is_correct, bool) for _, is_correct in pairs):
        raise ValueError("an entry key is not a pair of a prompt id and true or false")
    keys = [EntryKey(check_prompt_id(prompt_id), is_correct) for prompt_id, is_correct in pairs]
    sizes = parts["entry_sizes"][0]
    if len(set(keys)) != len(keys) or len(keys) != len(sizes):
        raise ValueError(f"{len(set(keys))} different entry keys for {len(sizes)} entries")
    for place, key in enumerate(keys):
        entry = MemoryEntry(
            vectors=parts["vectors"][place],
            clusters=parts["clusters"][place],
            # An empty array takes as much memory as any other Python object, and there may be a million prompts.
            tree=parts["tree"][place] if sizes[place, 3] else NO_TREE,
            runs=parts["runs"][place],
            no_answer_runs=parts["no_answer_runs"][place] if sizes[place, 2] else NO_RUNS,
            next_cluster=int(sizes[place, 4]),
        )
        _check_entry(entry, state)
        state.entries[key] = entry
    _check_ids([runs for one in state.entries.values() for runs in (one.runs, one.no_answer_runs)], state)
    return state


def _number(header: dict[str, Any], name: str, least: int, end: int) -> int:
    value = header[name]
    if type(value) is not int or not least <= value < end:
        raise ValueError(f"{name} is not a whole number from {least} to {end - 1}, but {value!r}")
    return value


def _kept(parts: dict[str, list[NDArray[Any]]]) -> dict[PromptId, Kept]:
    keys = [check_prompt_id(prompt_id) for prompt_id in json.loads(parts["kept_keys"][0].tobytes())]
    (sizes,), (rewards,) = parts["kept_sizes"], parts["kept_rewards"]
    if len(set(keys)) != len(keys) or len(keys) != len(sizes):
        raise ValueError(f"{len(set(keys))} different prompts for {len(sizes)} with right completions")
    if rewards.dtype != np.float64 or rewards.shape != (len(keys), MOST_KEPT) or not sizes[:, 1].all():
        raise ValueError("kept_rewards is not one number for each right completion, or a prompt has none")
    tokens = iter(parts["kept_tokens"])
    kept = {}
    for key, (recalls, *_), row in zip(keys, sizes.tolist(), rewards.tolist(), strict=True):
        pairs = [(next(tokens), reward) for reward in row]
        kept[key] = Kept(tuple(right_completion(ids, reward) for ids, reward in pairs if len(ids)), recalls)
    return kept


def _check_entry(entry: MemoryEntry, state: MemoryState) -> None:
    """An entry's arrays have their types, shapes and ranges."""
    n = len(entry.vectors)
    for name, array, dtype, shape in (
        ("vectors", entry.vectors, np.float32, (n, state.n_features or 0)),
        ("clusters", entry.clusters, np.int32, (n,)),
        ("runs", entry.runs, np.int64, (len(entry.runs), 3)),
        ("no_answer_runs", entry.no_answer_runs, np.int64, (len(entry.no_answer_runs), 3)),
    ):
        if array.dtype != dtype or array.shape != shape:
            raise ValueError(f"{name} has dtype {array.dtype} and shape {array.shape}, not {np.dtype(dtype)}, {shape}")
    if n and state.n_features is None:
        raise ValueError(f"an entry has {n} vectors, and n_features is None")
    if not np.isfinite(entry.vectors).all():
        raise ValueError("vectors are not finite")
    if n and not (entry.clusters.min() >= -1 and entry.clusters.max() < entry.next_cluster):
        raise ValueError(f"a cluster is not from -1 to {entry.next_cluster - 1}")
    if entry.next_cluster > 2**30:  # clusters are int32, and more are to come
        raise ValueError(f"the next cluster is {entry.next_cluster}, and should be at most 2^30")
    check_tree(entry.tree, n)
    _, steps, counts = np.concatenate([entry.runs, entry.no_answer_runs]).T
    if (counts < 1).any() or (counts > max(n, _MOST_NO_ANSWER)).any() or length(entry.runs) != n:
        raise ValueError(f"the runs are not of {n} fingerprints")
    if length(entry.no_answer_runs) > _MOST_NO_ANSWER:
        raise ValueError(f"a prompt has more than {_MOST_NO_ANSWER} completions without an answer")
    if not (steps.min() >= 0 and steps.max() < state.step):
        raise ValueError(f"a step is not from 0 to {state.step - 1}")
    if not all((np.diff(runs[:, 1]) > 0).all() for runs in (entry.runs, entry.no_answer_runs)):
        raise ValueError("the steps of an entry do not ascend")


def _check_ids(all_runs: list[Runs], state: MemoryState) -> None:
    """Each id is used once, is below the next id, and ids ascend in each entry."""
    runs = np.concatenate([np.zeros((0, 3), dtype=np.int64), *all_runs])
    ascending = all((np.diff(part[:, 0]) > 0).all() for part in all_runs)
    runs = runs[np.argsort(runs[:, 0])]
    if len(runs) and not runs[-1, 0] <= state.next_id:  # before ends are added up, which may not fit
        raise ValueError(f"ids are not different numbers from 0 to {state.next_id}")
    ends = runs[:, 0] + runs[:, 2]
    within = not len(runs) or (runs[0, 0] >= 0 and ends[-1] <= state.next_id)
    if not (ascending and within and (runs[1:, 0] >= ends[:-1]).all()):
        raise ValueError(f"ids are not different numbers from 0 to {state.next_id}")
