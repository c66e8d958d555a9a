"""Replies of the annotator on disk, so that a question is asked once."""

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meds_rl.runs.folder import require_writable, write_atomically

VERSION = 1


class ReplyCache:
    """Replies by model, prompt and parameters, one small JSON file each.

    A file holds the key, which is a hash, and the reply: no prompt, no completion, no address and no API key. A file
    that is damaged or not ours is as good as none, and counted.

    Args:
        folder: Made where it does not exist. None: nothing is kept.
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self._folder = None if folder is None else Path(folder)
        self.num_corrupt = 0
        self.num_unsaved = 0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Make the folder, and see whether it can be written to.

        Raises:
            OSError: It cannot.
        """
        if self._folder is None:
            return
        require_writable(self._folder, f"the annotator's cache {self._folder} cannot be written to")

    def get(self, model: str, prompt: str, parameters: Mapping[str, Any]) -> str | None:
        """The reply, or None."""
        if self._folder is None:
            return None
        key = _key(model, prompt, parameters)
        if not self._path(key).exists():
            return None
        reply = _read(self._path(key), key)
        if reply is None:
            self.ignore()
        return reply

    def put(self, model: str, prompt: str, parameters: Mapping[str, Any], reply: str) -> None:
        """Keep a reply, whole or not at all; one that cannot be written is counted. Several threads may."""
        if self._folder is None:
            return
        key = _key(model, prompt, parameters)
        entry = {"version": VERSION, "key": key, "reply": reply}
        try:
            write_atomically(self._path(key), json.dumps(entry).encode())
        except OSError:  # a full disk costs the replies that cannot be kept, not those that came
            with self._lock:
                self.num_unsaved += 1

    def ignore(self) -> None:
        """Count an entry that is of no use."""
        self.num_corrupt += 1

    def _path(self, key: str) -> Path:
        return Path(self._folder or "") / key[:2] / f"{key}.json"


def _read(path: Path, key: str) -> str | None:
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # bytes that are no text are a ValueError too
        return None
    if not isinstance(entry, dict) or entry.get("version") != VERSION or entry.get("key") != key:
        return None
    reply = entry.get("reply")
    return reply if isinstance(reply, str) else None


def _key(model: str, prompt: str, parameters: Mapping[str, Any]) -> str:
    text = json.dumps([model, prompt, dict(parameters)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
