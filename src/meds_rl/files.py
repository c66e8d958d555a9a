"""Write files so that at any moment their path holds the old file or the new one, whole; read YAML of others."""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

_LEFT_BEHIND = 900.0
"""Seconds without a write after which a temporary file counts as left behind by a killed process."""

YAML_LEVELS = 32
"""Deepest nesting that `load_yaml` reads."""


def load_yaml(text: str) -> Any:
    r"""The content of a YAML text; a ValueError unless it is plain YAML without aliases and at most 32 levels deep.

    Nine lines of aliases (``*name``) can stand for a billion values.

    >>> load_yaml("a: &b [1]\nc: *b")
    Traceback (most recent call last):
    ValueError: line 2 has an alias (*b): write the value out
    """
    import yaml

    level, line = 0, 1
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            line = event.start_mark.line + 1 if event.start_mark else line
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"line {line} has an alias (*{event.anchor}): write the value out")
            level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if level > YAML_LEVELS:
                raise ValueError(f"line {line} is nested more than {YAML_LEVELS} levels deep")
        return yaml.safe_load(text)
    except Exception as error:  # PyYAML's own, and any that a tag can raise: IndexError by `!!int ''`
        raise ValueError(str(error) if isinstance(error, (yaml.YAMLError, ValueError)) else repr(error)) from None


def write_atomically(path: Path, data: Any) -> None:
    """Write bytes (or a buffer) to a file as `atomic_file` does; make its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(data)


def require_writable(folder: Path, refusal: str) -> None:
    """Make a folder if need be; an OSError that begins with `refusal` unless files can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"{refusal}: {error}") from None


def refuse_special(path: Path) -> None:
    """Raise an OSError for a folder, and for a device, FIFO or socket, which writing would replace."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder")
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is no regular file and is not replaced; name a new file")


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to: a temporary one beside `path`, at the end synced to disk and renamed over it.

    A link is followed, and the mode of a file that is replaced is kept. After any error `path` is as before. Temporary
    files of this path that a killed process left are removed once they are a quarter of an hour old. OSError for a
    folder, and for a device, FIFO or socket: it would be replaced.
    """
    refuse_special(path)
    path = Path(os.path.realpath(path))
    prefix = f".{path.name[:100]}."
    temporary = path.with_name(f"{prefix}{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)
    _remove_left_behind(path.parent, prefix)


def _remove_left_behind(folder: Path, prefix: str) -> None:
    # Best effort: the folder may not be listable, or another process may remove the file first.
    with suppress(OSError):
        for file in folder.iterdir():
            if file.name.startswith(prefix) and file.name.endswith(".tmp"):
                with suppress(OSError):
                    if time.time() - file.stat().st_mtime > _LEFT_BEHIND:
                        file.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    if os.name == "nt":
        return  # a folder cannot be opened there
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return  # write-only folder: the file is in place nevertheless
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def encodable(text: str) -> str:
    r"""The text with lone surrogates, which UTF-8 cannot encode, written as escapes: file names may have them.

    Example:
        >>> encodable("a" + chr(0xD800))
        'a\\ud800'
    """
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
