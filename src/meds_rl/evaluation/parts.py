"""An evaluation's finished chunks on disk: one parquet file each, written whole, so that a killed one goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meds_rl.files import write_atomically
from meds_rl.rollouts.samples import read_samples, write_samples

if TYPE_CHECKING:
    import pyarrow as pa


SETTINGS = "settings.json"
SAMPLES = "samples"


class Parts:
    """The folder of an evaluation while it runs.

    ::

        DIR/
          settings.json                what the samples depend on
          samples/part-000000.parquet  the first chunk, and so on

    Args:
        folder: DIR.
        settings: what the samples depend on, as JSON knows it.
        resume: whether DIR may hold parts of an evaluation with the same settings.

    Raises:
        FileExistsError: DIR exists, and `resume` is off or it holds no evaluation. One without any part is taken again.
        ValueError: `resume` is on, and the settings differ (the message says in what) or their file is damaged.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
        self.folder = folder
        path = folder / SETTINGS
        if folder.exists() and not holds_no_parts(folder):
            if not resume:
                raise FileExistsError(
                    f"{folder} exists; nothing was changed. Name another folder with --output, or go on with --resume."
                )
            if not path.is_file():
                raise FileExistsError(f"{folder} holds no evaluation to resume: it has no {path.name}.")
            _refuse_difference(folder, read_object(path), json.loads(json.dumps(settings)))
        else:
            write_atomically(path, json.dumps(settings, indent=2, sort_keys=True).encode())

    def done(self, chunk: int) -> pa.Table | None:
        """The rows of a chunk that is finished; None for one that is not."""
        path = self._path(chunk)
        return read_samples(path) if path.is_file() else None

    def add(self, chunk: int, table: pa.Table) -> None:
        """Keep a finished chunk.

        Raises:
            OSError: it cannot be written; the message says where, and how to go on.
        """
        with hint_at_resume(self._path(chunk)):
            write_samples(self._path(chunk), table)

    def discard_if_none(self) -> None:
        """Take away what was made, where no chunk was finished: the same command can then be given again."""
        if not holds_no_parts(self.folder):
            return
        (self.folder / SETTINGS).unlink()
        for folder in (self.folder / SAMPLES, self.folder):
            if folder.is_dir():
                folder.rmdir()

    def _path(self, chunk: int) -> Path:
        return self.folder / SAMPLES / f"part-{chunk:06d}.parquet"


def holds_no_parts(folder: Path) -> bool:
    """Whether a folder is an evaluation that was stopped before its first chunk was finished."""
    return (
        (folder / SETTINGS).is_file()
        and {path.name for path in folder.iterdir()} <= {SETTINGS, SAMPLES}
        and not any((folder / SAMPLES).glob("*"))
    )


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        ValueError: it holds none; the message names the file.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of JSON or of UTF-8
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: it holds no JSON object")
    return value


@contextmanager
def hint_at_resume(path: Path) -> Iterator[None]:
    """Say which file could not be written, and that nothing finished is lost."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"cannot write {path}: {error.strerror or error}. What is finished is kept: make room and go on with "
            "--resume."
        ) from error


def _refuse_difference(folder: Path, begun: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    differences = [f"{name} was {old!r}, is {new!r}" for name, old, new in _differences(begun, now)]
    if differences:
        raise ValueError(
            f"{folder} was begun with other settings, so it cannot be resumed: {'; '.join(differences)}."
        )


def _differences(begun: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted({*begun, *now}):
        if begun.get(name) != now.get(name):
            yield name, begun.get(name), now.get(name)
