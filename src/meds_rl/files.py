"""Write files so that at any moment their path holds the old file or the new one, whole; read YAML of others."""

import os
import reprlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

_LEFT_BEHIND = 900.0
"""Seconds without a write after which a temporary file counts as left behind by a killed process."""

YAML_LEVELS, YAML_CHARACTERS, YAML_VALUES, YAML_DIGITS = 32, 250_000, 100_000, 1000
"""Most that `load_yaml` reads: levels, characters, values with aliases written out, characters of a number."""


def load_yaml(text: str, *, aliases: bool = False) -> Any:
    r"""The content of a YAML text; a ValueError unless it is plain YAML of bounded size, with each key once.

    Aliases (``*name``) are refused, as nine lines of them can stand for a billion values; `aliases` allows those that
    stand for at most 100,000.

    >>> load_yaml("a: &b [1]\nc: *b")
    Traceback (most recent call last):
    ValueError: line 2 has an alias (*b): write the value out
    >>> load_yaml("a: &b [1]\nc: *b", aliases=True)
    {'a': [1], 'c': [1]}
    >>> load_yaml("a: 1\na: 2")
    Traceback (most recent call last):
    ValueError: the key 'a' comes twice, again in line 2
    """
    import yaml

    if len(text) > YAML_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters; at most {YAML_CHARACTERS:,} are read")
    try:
        loader = _yaml_loader()(text)
        loader.refuses_aliases = not aliases
        node = loader.get_single_node()
        if node is None:
            return None
        _written_out(node, {})
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f"line {mark.line + 1}: "
        raise ValueError(f"{where}{' '.join(filter(None, (error.context, error.problem)))}") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


@cache
def _yaml_loader() -> Any:
    """A class, made here because PyYAML is imported only where it is needed."""
    import yaml

    class Loader(yaml.SafeLoader):
        level, refuses_aliases = 0, True

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.peek_event()  # type: ignore[no-untyped-call]
            line = event.start_mark.line + 1
            if isinstance(event, yaml.AliasEvent) and self.refuses_aliases:
                raise ValueError(f"line {line} has an alias (*{event.anchor}): write the value out")
            self.level += 1
            if self.level > YAML_LEVELS:
                raise ValueError(f"line {line} is nested more than {YAML_LEVELS} levels deep")
            node = super().compose_node(parent, index)
            self.level -= 1
            return node

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            line, kind = node.start_mark.line + 1, node.tag.rpartition(":")[2]
            if kind in ("int", "float") and len(node.value) > YAML_DIGITS:  # takes long, and cannot be printed
                raise ValueError(f"line {line} has a number of {len(node.value):,} characters")
            try:
                return super().construct_object(node, deep)
            except (yaml.YAMLError, RecursionError):
                raise
            except Exception as error:  # any that a tag can raise: IndexError by `!!int ''`
                if str(error).startswith("line "):
                    raise
                given = reprlib.repr(node.value) if isinstance(node.value, str) else "this"
                raise ValueError(f"line {line}: {given} is no {kind} ({type(error).__name__})") from None

    return Loader


def _written_out(node: Any, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many values and levels a node has with its aliases written out; a ValueError if too many, or a key twice."""
    found = known.get(id(node))
    line = node.start_mark.line + 1
    if found == (0, 0):
        raise ValueError(f"line {line} contains itself")
    if found is None:
        known[id(node)] = 0, 0
        if isinstance(node.value, str):
            parts = []
        else:
            pairs = [part if isinstance(part, tuple) else (part,) for part in node.value]
            _refuse_repeated([pair[0] for pair in pairs if len(pair) == 2])
            parts = [_written_out(part, known) for pair in pairs for part in pair]
        found = 1 + sum(values for values, _ in parts), 1 + max((levels for _, levels in parts), default=0)
        known[id(node)] = found
    if found[0] > YAML_VALUES or found[1] > YAML_LEVELS:
        raise ValueError(
            f"line {line} has {found[0]:,} values on {found[1]} levels once its aliases (*name) are replaced; at most "
            f"{YAML_VALUES:,} values on {YAML_LEVELS} levels are allowed"
        )
    return found


def _refuse_repeated(keys: Iterable[Any]) -> None:
    seen = set()
    for key in keys:
        name = key.tag, str(key.value)
        if name in seen:
            raise ValueError(f"the key {key.value!r} comes twice, again in line {key.start_mark.line + 1}")
        seen.add(name)


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


def remove_unfinished(folder: Path, before: float) -> None:
    """Remove the temporary files in a folder and the folders in it that were last written before a time.

    A killed process may leave one of a path that is never written again: another that wrote the path was killed, too.
    """
    for file in folder.rglob(f".*.{'[0-9a-f]' * 32}.tmp"):
        with suppress(OSError):
            if file.stat().st_mtime < before:
                file.unlink()


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
