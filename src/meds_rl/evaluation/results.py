"""The JSON of an evaluation's results."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from meds_rl.evaluation.figures import GroupFigures
from meds_rl.files import write_atomically

RESULTS_SCHEMA_VERSION = 1
PACKAGES = ("meds-rl", "torch", "transformers", "vllm", "math-verify", "reasoning-gym", "datasets", "numpy")


def write_results(
    folder: Path, settings: Mapping[str, Any], groups: Sequence[GroupFigures], *, seconds: float
) -> str:
    """Write ``results.json``.

    Args:
        folder: of the evaluation.
        settings: all of them, resolved.
        groups: the figures.
        seconds: how long it took, since it was begun or resumed.

    Returns:
        When, as ISO 8601 with the time zone.
    """
    timestamp = datetime.now(timezone.utc).isoformat(timespec="seconds")
    results = {
        "schema_version": RESULTS_SCHEMA_VERSION,
        "model": settings["model"],
        "timestamp": timestamp,
        "seconds": round(seconds, 3),
        "settings": dict(settings),
        "versions": {name: installed_version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "interval": "95 % percentile bootstrap over problems, 10,000 resamples",
        "groups": [group.to_dict() for group in groups],
    }
    text = json.dumps(results, indent=2, ensure_ascii=False)
    write_atomically(folder / "results.json", text.encode())
    return timestamp


def is_finished(folder: Path) -> bool:
    """Whether a folder holds all samples and the results, which are written last."""
    return (folder / "results.json").is_file() and (folder / "samples.parquet").is_file()


def installed_version(package: str) -> str | None:
    """The version of an installed package; None where it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
