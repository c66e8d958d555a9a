"""The store's file, beside the memory's: written whole or not at all, piece by piece, and checked in full when read.

All entries lie end to end in a few columns; `entry_sizes` (E, 2) says how many prompt texts and completions each has.
"""

import json
from pathlib import Path

import numpy as np

from meds_rl.checks import check_prompt_id
from meds_rl.engines.trl.completions import CompletionStore, StoredEntry, runs_of_tokens
from meds_rl.memory.entry import EntryKey
from meds_rl.memory.file import Column, TensorFile, write_columns
from meds_rl.memory.memory import ErrorMemory

COMPLETIONS_FILE = "completions.safetensors"
SCHEMA_VERSION = 1
_HEADER = "meds_rl.completions"


class CompletionsFileError(ValueError):
    """A file of completions that cannot be read, or not with this memory."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"cannot read the remembered completions in {path}: {reason}")


def save(path: Path, store: CompletionStore) -> None:
    """Write the store to `path`, which at any moment holds the old file or the new one, whole."""
    entries = list(store.entries.values())
    sizes = np.array([(len(e.prompt_ids), len(e)) for e in entries], dtype=np.int64).reshape(-1, 2)
    m, n = (int(total) for total in sizes.sum(axis=0))
    prompts = [prompt for entry in entries for prompt in entry.prompt_ids]
    prompt_lengths = np.array([len(prompt) for prompt in prompts], dtype=np.int32)
    keys = np.frombuffer(json.dumps(list(store.entries)).encode(), dtype=np.uint8)
    columns = [
        Column("entry_sizes", np.int64, sizes.shape, [sizes]),
        Column("ends", np.int32, (n,), (entry.ends for entry in entries)),
        Column("ids", np.int64, (n,), (entry.ids for entry in entries)),
        Column("lengths", np.int32, (n,), (entry.lengths for entry in entries)),
        Column("positions", np.int32, (n,), (entry.positions for entry in entries)),
        Column("prompts", np.int32, (n,), (entry.prompts for entry in entries)),
        Column("prompt_lengths", np.int32, (m,), [prompt_lengths]),
        Column("prompt_tokens", np.int32, (int(prompt_lengths.sum()),), prompts),
        Column("tokens", np.int32, (store.num_tokens,), runs_of_tokens(entries)),
        Column("entry_keys", np.uint8, keys.shape, [keys]),
    ]
    write_columns(path, columns, {_HEADER: json.dumps({"schema_version": SCHEMA_VERSION})})


def load(path: Path, memory: ErrorMemory) -> CompletionStore:
    """The store that `save` wrote, for the memory that was saved with it.

    Raises:
        CompletionsFileError: the file is not whole and ours, or it is of another memory.
        FileNotFoundError: there is no such file.
    """
    with path.open("rb") as stream:
        try:
            file = TensorFile(stream, _HEADER)
            version = json.loads(file.metadata[_HEADER])["schema_version"]
            store = None if version != SCHEMA_VERSION else _read(file)
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
            raise CompletionsFileError(path, f"it is truncated or no such file ({error})") from error
    if store is None:
        reason = f"it has schema version {version!r} and this meds-rl reads version {SCHEMA_VERSION}"
        raise CompletionsFileError(path, f"{reason}; a newer meds-rl may read it")
    try:
        store.check(memory)
    except ValueError as error:
        raise CompletionsFileError(path, str(error)) from None
    return store


def _read(file: TensorFile) -> CompletionStore:
    # The columns that say how the later ones are cut come before them.
    file.locate()
    (sizes,) = file.read("entry_sizes")
    num_prompts, num_rows = sizes.reshape(-1, 2).T.tolist()
    parts = {name: file.read(name, num_rows) for name in ("ids", "ends", "lengths", "positions")}
    (prompt_lengths,) = file.read("prompt_lengths")
    prompt_tokens = file.read("prompt_tokens", prompt_lengths.tolist())
    parts["prompts"] = file.read("prompts", num_rows)
    tokens = file.read("tokens", [length for part in parts["lengths"] for length in part.tolist()])
    (keys,) = file.read("entry_keys")
    file.finish()
    named = [EntryKey(check_prompt_id(name), bool(side)) for name, side in json.loads(keys.tobytes())]
    store = CompletionStore()
    prompt, row = 0, 0
    for place, key in enumerate(named):
        columns = {name: part[place] for name, part in parts.items()}
        entry = StoredEntry(
            **columns,
            completion_ids=tokens[row : row + num_rows[place]],
            prompt_ids=prompt_tokens[prompt : prompt + num_prompts[place]],
        )
        _check(entry)
        store.entries[key] = entry
        prompt, row = prompt + num_prompts[place], row + num_rows[place]
    if len(store.entries) != len(sizes):
        raise ValueError(f"it names {len(store.entries)} prompts and has {len(sizes)}")
    return store


def _check(entry: StoredEntry) -> None:
    """The digest shows that the file is as it was written; this shows that what was written makes sense."""
    right = (
        (entry.positions >= 0)
        & (entry.ends > entry.positions)
        & (entry.ends < entry.lengths)
        & (entry.prompts >= 0)
        & (entry.prompts < len(entry.prompt_ids))
    )
    if not right.all():
        raise ValueError("a completion's answer or prompt is not where it should be")
    if (np.diff(entry.ids) <= 0).any():
        raise ValueError("ids do not ascend")
