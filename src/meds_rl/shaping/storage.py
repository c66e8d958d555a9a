"""The memory's file: one safetensors file, written atomically and checked in full when read.

All entries lie end to end in a few tensors; `entry_sizes` (E, 2) says how many fingerprints and how many
completions without an answer each of the E entries has. The header carries the version and a digest of
everything.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from itertools import accumulate
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meds_rl.shaping.atomic import raw_bytes, write_safetensors
from meds_rl.shaping.checks import check_prompt_id
from meds_rl.shaping.entry import EntryKey, MemoryEntry

SCHEMA_VERSION = 1
_HEADER = "meds_rl.error_memory"
_DTYPES = {
    "vectors": np.float32,  # (N, D)
    "labels": np.int64,  # (N,)
    "ids": np.int64,  # (N,)
    "steps": np.int64,  # (N,)
    "no_answer_ids": np.int64,  # (K,)
    "no_answer_steps": np.int64,  # (K,)
    "entry_sizes": np.int64,  # (E, 2)
    # JSON of E pairs of prompt id and is_correct. Not in the header, whose size is limited.
    "entry_keys": np.uint8,
}
_Tensors = dict[str, NDArray[Any]]


class MemoryFileError(ValueError):
    """A memory file that cannot be read: truncated, corrupted, of a newer version, or none of ours."""

    def __init__(self, path: str | PathLike[str], reason: str) -> None:
        super().__init__(f"cannot read the memory file {os.fspath(path)}: {reason}")


@dataclass(frozen=True)
class MemoryState:
    """Everything that an `ErrorMemory` knows."""

    entries: dict[EntryKey, MemoryEntry]
    step: int
    next_id: int
    n_features: int | None


def write(path: str | PathLike[str], state: MemoryState) -> None:
    """Write the state to `path`, which at any moment holds the old file or the new one, whole."""
    tensors = _to_tensors(state)
    header: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "step": state.step,
        "next_id": state.next_id,
        "n_features": state.n_features,
    }
    header["digest"] = _digest(header, tensors)
    write_safetensors(Path(path), tensors, {_HEADER: json.dumps(header)})


def read(path: str | PathLike[str]) -> MemoryState:
    """The state that `write` wrote.

    Raises:
        MemoryFileError: The file is not whole and ours.
        FileNotFoundError: There is no such file.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no memory file at {os.fspath(path)}")
    header, tensors = _open(path)
    try:
        return _from_tensors(header, tensors)
    except (ValueError, TypeError, KeyError) as error:
        raise MemoryFileError(path, f"its parts contradict each other ({error})") from error


def _open(path: str | PathLike[str]) -> tuple[dict[str, Any], _Tensors]:
    """Header and tensors of a file whose version, tensor names and digest are as they should be."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            if _HEADER not in metadata:
                raise MemoryFileError(path, "it is a safetensors file, but not one of meds-rl's memory")
            header = json.loads(metadata[_HEADER])
            version = header["schema_version"]
            if version != SCHEMA_VERSION:
                raise MemoryFileError(
                    path,
                    f"it has schema version {version!r} and this meds-rl reads version {SCHEMA_VERSION}; "
                    "a newer meds-rl may read it",
                )
            if set(file.keys()) != set(_DTYPES):
                raise MemoryFileError(path, f"it should hold {sorted(_DTYPES)}, got {sorted(file.keys())}")
            tensors = {name: file.get_tensor(name) for name in _DTYPES}
            digest = header.pop("digest")
    except MemoryFileError:
        raise
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise MemoryFileError(path, f"it is truncated or not a memory file ({error})") from error
    if digest != _digest(header, tensors):
        raise MemoryFileError(path, "it is corrupted: its content does not match its digest")
    return header, tensors


def _digest(header: dict[str, Any], tensors: _Tensors) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(raw_bytes(array))
    return digest.hexdigest()


def _to_tensors(state: MemoryState) -> _Tensors:
    entries = list(state.entries.values())
    no_vectors = np.zeros((0, state.n_features or 0), dtype=np.float32)
    sizes = [(len(entry.vectors), len(entry.no_answer_ids)) for entry in entries]
    keys = json.dumps(list(state.entries)).encode()
    none = np.zeros(0, dtype=np.int64)
    return {
        "vectors": np.concatenate([no_vectors, *(entry.vectors for entry in entries if len(entry.vectors))]),
        "labels": np.concatenate([none, *(entry.labels for entry in entries)]),
        "ids": np.concatenate([none, *(entry.ids for entry in entries)]),
        "steps": np.concatenate([none, *(entry.steps for entry in entries)]),
        "no_answer_ids": np.concatenate([none, *(entry.no_answer_ids for entry in entries)]),
        "no_answer_steps": np.concatenate([none, *(entry.no_answer_steps for entry in entries)]),
        "entry_sizes": np.array(sizes, dtype=np.int64).reshape(-1, 2),
        "entry_keys": np.frombuffer(keys, dtype=np.uint8),
    }


def _from_tensors(header: dict[str, Any], tensors: _Tensors) -> MemoryState:
    _check_tensors(header, tensors)
    sizes = tensors["entry_sizes"].tolist()
    keys = [EntryKey(check_prompt_id(prompt_id), is_correct) for prompt_id, is_correct in _keys(tensors)]
    if len(set(keys)) != len(keys) or len(keys) != len(sizes):
        raise ValueError(f"{len(set(keys))} different entry keys for {len(sizes)} entries")
    ends = list(accumulate(size for size, _ in sizes))
    no_answer_ends = list(accumulate(size for _, size in sizes))
    entries = {}
    for key, (n, k), end, no_answer_end in zip(keys, sizes, ends, no_answer_ends, strict=True):
        rows, no_answers = slice(end - n, end), slice(no_answer_end - k, no_answer_end)
        # Copies: an entry that is replaced later must not keep the whole file's arrays alive.
        entries[key] = MemoryEntry(
            vectors=tensors["vectors"][rows].copy(),
            labels=tensors["labels"][rows].copy(),
            ids=tensors["ids"][rows].copy(),
            steps=tensors["steps"][rows].copy(),
            no_answer_ids=tensors["no_answer_ids"][no_answers].copy(),
            no_answer_steps=tensors["no_answer_steps"][no_answers].copy(),
        )
    return MemoryState(entries, header["step"], header["next_id"], header["n_features"])


def _keys(tensors: _Tensors) -> list[tuple[Any, bool]]:
    keys = json.loads(tensors["entry_keys"].tobytes())
    if not all(isinstance(is_correct, bool) for _, is_correct in keys):
        raise ValueError("an entry key is not a pair of a prompt id and true or false")
    return [(prompt_id, is_correct) for prompt_id, is_correct in keys]


def _check_tensors(header: dict[str, Any], tensors: _Tensors) -> None:
    """The digest shows that the file is as it was written; this shows that what was written makes sense."""
    for name, dtype in _DTYPES.items():
        if tensors[name].dtype != dtype:
            raise ValueError(f"{name} has dtype {tensors[name].dtype}, not {np.dtype(dtype)}")
    sizes = tensors["entry_sizes"]
    if sizes.ndim != 2 or sizes.shape[1] != 2 or (sizes < 0).any():
        raise ValueError("entry_sizes is not (E, 2) counts")
    n, k = sizes.sum(axis=0).tolist()
    shapes = {"vectors": (n, header["n_features"] or 0), "labels": (n,), "ids": (n,), "steps": (n,)}
    shapes |= {"no_answer_ids": (k,), "no_answer_steps": (k,)}
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            raise ValueError(f"{name} has shape {tensors[name].shape}, not {shape}")
    if not np.isfinite(tensors["vectors"]).all():
        raise ValueError("vectors are not finite")
    if tensors["labels"].min(initial=-1) < -1:
        raise ValueError(f"a label is {tensors['labels'].min()}")
    ids = np.concatenate([tensors["ids"], tensors["no_answer_ids"]])
    if len(np.unique(ids)) != len(ids) or not _within(ids, header["next_id"]):
        raise ValueError(f"ids are not different numbers from 0 to {header['next_id']}")
    if not _within(np.concatenate([tensors["steps"], tensors["no_answer_steps"]]), header["step"]):
        raise ValueError(f"a step is not from 0 to {header['step']}")


def _within(numbers: NDArray[np.int64], end: int) -> bool:
    return bool(((numbers >= 0) & (numbers < end)).all())
