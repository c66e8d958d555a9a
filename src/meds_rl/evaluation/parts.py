"""An evaluation's finished chunks on disk: one parquet file each, written whole, so that a killed one goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meds_rl.runs.folder import write_atomically
from meds_rl.runs.samples import read_samples, write_samples

if TYPE_CHECKING:
    import pyarrow as pa


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
        FileExistsError: DIR exists, and `resume` is off or it holds no evaluation.
        ValueError: `resume` is on and the settings differ; the message says in what.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
        self.folder = folder
        path = folder / "settings.json"
        text = json.dumps(settings, indent=2, sort_keys=True)
        if folder.exists():
            if not resume:
                raise FileExistsError(
                    f"{folder} exists; nothing was changed. Name another folder with --output, or go on with --resume."
                )
            if not path.is_file():
                raise FileExistsError(f"{folder} holds no evaluation to resume: it has no {path.name}.")
            _refuse_difference(folder, json.loads(path.read_text(encoding="utf-8")), json.loads(text))
        else:
            write_atomically(path, text.encode())

    def done(self, chunk: int) -> pa.Table | None:
        """The rows of a chunk that is finished; None for one that is not."""
        path = self._path(chunk)
        return read_samples(path) if path.is_file() else None

    def add(self, chunk: int, table: pa.Table) -> None:
        """Keep a finished chunk."""
        write_samples(self._path(chunk), table)

    def _path(self, chunk: int) -> Path:
        return self.folder / "samples" / f"part-{chunk:06d}.parquet"


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
