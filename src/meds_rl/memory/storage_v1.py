"""Version 1 of the memory's file, written until 0.1: read only.

Labels were not lasting, there was no tree, and ids and steps were one number a completion.
"""

import hashlib
import json
import os
from itertools import accumulate
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meds_rl.checks import check_prompt_id
from meds_rl.memory.entry import EntryKey, MemoryEntry, MemoryState, runs_of

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


def read(path: str | PathLike[str]) -> MemoryState:
    """The state of a file of version 1. Its labels become the clusters' lasting numbers; the tree is built when needed.

    Raises:
        ValueError, TypeError, KeyError: the file is corrupted, or its parts contradict each other.
    """
    header, tensors = _open(path)
    return _from_tensors(header, tensors)


def _open(path: str | PathLike[str]) -> tuple[dict[str, Any], _Tensors]:
    """Header and tensors of a file whose tensor names and digest are as they should be."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            header = json.loads(file.metadata()[_HEADER])
            if set(file.keys()) != set(_DTYPES):
                raise ValueError(f"it should hold {sorted(_DTYPES)}, got {sorted(file.keys())}")
            tensors = {name: file.get_tensor(name) for name in _DTYPES}
    except SafetensorError as error:
        raise ValueError(f"it is truncated or corrupted: {error}") from error
    digest = header.pop("digest")
    if digest != _digest(header, tensors):
        raise ValueError("it is corrupted: its content does not match its digest")
    return header, tensors


def _digest(header: dict[str, Any], tensors: _Tensors) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


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
        labels = tensors["labels"][rows].astype(np.int32)
        runs = runs_of(tensors["ids"][rows], tensors["steps"][rows])
        no_answer = runs_of(tensors["no_answer_ids"][no_answers], tensors["no_answer_steps"][no_answers])
        entries[key] = MemoryEntry(
            # A copy: an entry that is replaced later must not keep the whole file's arrays alive.
            vectors=tensors["vectors"][rows].copy(),
            clusters=labels,
            tree=np.zeros(0, dtype=np.int32),
            runs=runs,
            no_answer_runs=no_answer,
            next_cluster=int(labels.max(initial=-1)) + 1,
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
