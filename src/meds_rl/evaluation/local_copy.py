"""Finds a benchmark's local copy, and never takes another one for it."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from meds_rl.tasks.sources import BUILDERS


def find_local(name: str, data: Path, split: str, *, others: Collection[str] = ()) -> Path:
    """The file or folder that holds a benchmark: `data` itself, or what has the benchmark's name in it.

    A folder is taken itself only if it is laid out as on the hub: it has files of the split, or a README that says
    which files are which.

    Args:
        name: of the benchmark.
        data: a file or folder.
        split: which split holds the problems.
        others: names of other benchmarks: files named so are not this one's.

    Raises:
        ValueError: there is no such file or folder, or the folder does not hold the benchmark.
    """
    if not data.exists():
        raise ValueError(f"--data: no such file or folder: {data}")
    if not data.is_dir():
        return data
    source = named_in(data, name) or data
    if source.is_dir() and not _is_hub_copy(source, split, others):
        found = sorted(path.name for path in source.iterdir())
        listed = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
        raise ValueError(
            f"{source} holds no {name} (found: {listed or 'nothing'}); allowed: {name}.parquet or another file or "
            f"folder named {name}, or the files of its split {split!r} as on the hub"
        )
    return source


def named_in(folder: Path, name: str) -> Path | None:
    """What in a folder has the benchmark's name."""
    inside = [folder / f"{name}{suffix}" for suffix in ("", *BUILDERS)]
    return next((path for path in inside if path.exists()), None)


def _is_hub_copy(folder: Path, split: str, others: Collection[str]) -> bool:
    files = [
        path.relative_to(folder) for path in folder.rglob("*") if path.suffix in BUILDERS and path.is_file()
    ]
    other = re.compile(rf"(?:^|[-_. /])(?:{'|'.join(map(re.escape, others)) or '(?!)'})(?:[-_. /]|$)")
    if any(other.search(path.as_posix()) for path in files):
        return False
    shard = re.compile(rf"{re.escape(split)}(?:[-._/].*)?\.\w+")
    # Of the split: test.jsonl, data/test-00000-of-00001.parquet, algebra/test-..., test/0.parquet
    if any(
        shard.fullmatch("/".join(path.parts[start:])) for path in files for start in range(len(path.parts))
    ):
        return True
    readme = folder / "README.md"
    return readme.is_file() and "\nconfigs:" in readme.read_text(encoding="utf-8", errors="replace")
