"""The folder of an evaluation: its finished chunks while it runs, so that it can be resumed, and results.json.

::

    DIR/
      settings.json                what the samples depend on
      samples/part-000000.parquet  the first chunk, and so on
      samples.parquet              all samples
      results.json                 the metrics, written last
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meds_rl.evaluation.figures import GroupFigures
from meds_rl.files import write_atomically
from meds_rl.rollouts.samples import read_samples, write_samples

if TYPE_CHECKING:
    import pyarrow as pa

SETTINGS = "settings.json"
SAMPLES = "samples"
RESULTS_SCHEMA_VERSION = 1
PACKAGES = ("meds-rl", "torch", "transformers", "vllm", "math-verify", "reasoning-gym", "datasets", "numpy")


class Parts:
    """The finished chunks of a running evaluation, one parquet file each.

    With `resume`, the folder may have chunks of an evaluation with the same settings (ValueError if they differ),
    without it none (FileExistsError).
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
        self.folder = folder
        path = folder / SETTINGS
        if not resume:
            refuse_parts(folder)
        if folder.exists() and not holds_no_parts(folder):
            if not path.is_file():
                raise FileExistsError(f"{folder} holds no evaluation to resume: it has no {path.name}.")
            _check_settings(folder, read_object(path), json.loads(json.dumps(settings)))
        else:
            write_atomically(path, json.dumps(settings, indent=2, sort_keys=True).encode())

    def done(self, chunk: int) -> pa.Table | None:
        """The rows of a finished chunk, else None."""
        path = self._path(chunk)
        return read_samples(path) if path.is_file() else None

    def add(self, chunk: int, table: pa.Table) -> None:
        """Store a finished chunk."""
        with hint_at_resume(self._path(chunk)):
            write_samples(self._path(chunk), table)

    def discard_if_none(self) -> None:
        """Remove the folder if no chunk was finished, so that the same command can be repeated."""
        if not holds_no_parts(self.folder):
            return
        for file in (self.folder / SETTINGS, *_unfinished_settings(self.folder)):
            file.unlink(missing_ok=True)
        for folder in (self.folder / SAMPLES, self.folder):
            if folder.is_dir():
                folder.rmdir()

    def _path(self, chunk: int) -> Path:
        return self.folder / SAMPLES / f"part-{chunk:06d}.parquet"


def holds_no_parts(folder: Path) -> bool:
    """Whether a folder is an evaluation that was stopped before its first chunk was finished, or empty."""
    if not folder.is_dir():
        return False
    begun = {SETTINGS, SAMPLES, *(path.name for path in _unfinished_settings(folder))}
    return {path.name for path in folder.iterdir()} <= begun and not any((folder / SAMPLES).glob("*"))


def _unfinished_settings(folder: Path) -> list[Path]:
    """What a kill left while the settings were written."""
    return list(folder.glob(f".{SETTINGS}.*.tmp"))


def refuse_parts(folder: Path) -> None:
    """Raise a FileExistsError if there is a folder with anything finished."""
    if folder.exists() and not holds_no_parts(folder):
        raise FileExistsError(
            f"{folder} exists; nothing was changed. Name another folder with --output, or go on with --resume."
        )


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; ValueError, with the file's name, if there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of JSON or of UTF-8
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: it holds no JSON object")
    return value


@contextmanager
def hint_at_resume(path: Path) -> Iterator[None]:
    """Add to an OSError which file could not be written, and how to resume."""
    try:
        yield
    except OSError as error:
        what = f"cannot write {path}: {error.strerror or error}"
        raise OSError(f"{what}. What is finished is kept: make room and go on with --resume.") from error


def _check_settings(folder: Path, begun: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    names = [name for name in sorted({*begun, *now}) if begun.get(name) != now.get(name)]
    if names:
        differences = "; ".join(f"{name} was {begun.get(name)!r}, is {now.get(name)!r}" for name in names)
        raise ValueError(f"{folder} was begun with other settings, so it cannot be resumed: {differences}.")


def write_results(folder: Path, settings: Mapping[str, Any], groups: Sequence[GroupFigures], *, seconds: float) -> str:
    """Write ``results.json``: all resolved settings, versions, and the metrics of each group. Returns the time."""
    timestamp = datetime.now(timezone.utc).isoformat(timespec="seconds")
    results = {
        "schema_version": RESULTS_SCHEMA_VERSION,
        "model": settings["model"],
        "timestamp": timestamp,
        "seconds": round(seconds, 3),
        "settings": dict(settings),
        "versions": {name: installed_version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "interval": "95 % percentile bootstrap over problems, 10,000 resamples",
        "groups": [group.to_dict() for group in groups],
    }
    write_atomically(folder / "results.json", json.dumps(results, indent=2, ensure_ascii=False).encode())
    return timestamp


def is_finished(folder: Path) -> bool:
    """Whether a folder has all samples and the results, which are written last."""
    return (folder / "results.json").is_file() and (folder / "samples.parquet").is_file()


def installed_version(package: str) -> str | None:
    """The version of an installed package; None if it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
