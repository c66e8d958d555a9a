"""The paper's benchmarks by name: from the hub, or from local copies."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from meds_rl.evaluation.problems import ProblemSet
from meds_rl.tasks.base import Task
from meds_rl.tasks.grading import MathGrader
from meds_rl.tasks.mathematics import load_problems
from meds_rl.tasks.sources import BUILDERS


def _find_local(name: str, data: Path, split: str, others: Collection[str]) -> Path:
    """The file or folder with a benchmark: `data` itself, or a file or folder in it with the benchmark's name.

    `data` is a benchmark's own folder only if it has the hub's layout: files of the split, or a README with a list of
    files. Files with the names of `others` belong to other benchmarks.
    """
    if not data.exists():
        raise ValueError(f"--data: no such file or folder: {data}")
    if not data.is_dir():
        return data
    source = _named_in(data, name) or data
    if source.is_dir() and not _is_hub_copy(source, split, others):
        found = sorted(path.name for path in source.iterdir())
        listed = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
        raise ValueError(
            f"{source} holds no {name} (found: {listed or 'nothing'}); allowed: {name}.parquet or another file or "
            f"folder named {name}, or the files of its split {split!r} as on the hub"
        )
    return source


def _named_in(folder: Path, name: str) -> Path | None:
    """The file or folder with the benchmark's name."""
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


class Benchmark(NamedTuple):
    """A benchmark on the hub: its data set, split and number of problems, and the columns of problem and answer."""

    hub: str
    split: str
    size: int
    columns: tuple[str, str]


BENCHMARKS = {
    "aime24": Benchmark("HuggingFaceH4/aime_2024", "train", 30, ("problem", "answer")),
    "aime25": Benchmark("math-ai/aime25", "test", 30, ("problem", "answer")),
    "amc23": Benchmark("math-ai/amc23", "test", 40, ("question", "answer")),
    "math500": Benchmark("HuggingFaceH4/MATH-500", "test", 500, ("problem", "answer")),
    "minerva": Benchmark("math-ai/minervamath", "test", 272, ("question", "answer")),
    "olympiadbench": Benchmark("math-ai/olympiadbench", "test", 674, ("question", "final_answer")),
}


def load_benchmark(name: str, data: str | Path | None = None) -> ProblemSet:
    """Load a benchmark: prompts in the paper's format, graded by math-verify, in the split "test".

    Args:
        name: one of `BENCHMARKS`; with `data`, any name.
        data: a parquet, jsonl, json or csv file; a folder with such a file, or a folder, of the benchmark's name; or
            the benchmark's own folder in the hub's layout. None: from the hub.

    Raises:
        ValueError: an unknown name, or problems that cannot be read; the message describes how to use a local copy.
        ImportError: `datasets` is not installed.
    """
    known = None if data is not None and name not in BENCHMARKS else _known(name)
    if data is None and known is not None:
        try:
            dataset = load_problems(known.hub, split=known.split)
        except ValueError as error:
            raise ValueError(
                f"benchmark {name}: {error}. Without the hub, give a local copy: --data FILE.parquet"
            ) from error
    else:
        split = "train" if known is None else known.split
        source = _find_local(name, Path(str(data)).expanduser(), split, set(BENCHMARKS) - {name})
        dataset = load_problems(str(source), split=split)
    task = Task(name=name, train=dataset, test=None, grade=MathGrader(), grade_may_hang=True)
    return ProblemSet(name, task, {"test": dataset})


def check_names(names: Iterable[str], data: str | Path | None = None) -> None:
    """Raise a ValueError for names that cannot be benchmarks, before anything is loaded.

    Without `data`, a local copy, only the names of `BENCHMARKS` are allowed; with it, any name that a file can have,
    but not several names for one file.
    """
    different = list(dict.fromkeys(names))
    for name in different:
        if data is None:
            _known(name)
        elif not re.fullmatch(r"\w[\w.+-]*", name):
            raise ValueError(f"a benchmark's name has letters, digits and . + - _ only; got {name!r}")
    if data is not None and len(different) > 1:
        _check_several(different, Path(data).expanduser())


def _check_several(names: Sequence[str], data: Path) -> None:
    """Several benchmarks need a folder with a file or folder for each."""
    listed = ", ".join(names)
    if data.is_file():
        raise ValueError(
            f"--data {data} is one file, and {len(names)} benchmarks are named ({listed}): name one, or give a folder "
            "with a file for each"
        )
    missing = [name for name in names if _named_in(data, name) is None]
    if data.is_dir() and missing:
        raise ValueError(
            f"{data} holds no {missing[0]}: where several benchmarks are named ({listed}), the folder needs a file or "
            f"folder for each, such as {missing[0]}.parquet"
        )


def _known(name: str) -> Benchmark:
    if name not in BENCHMARKS:
        close = difflib.get_close_matches(name, BENCHMARKS, n=1)
        hint = f", did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"unknown benchmark {name!r}{hint}; allowed: {', '.join(BENCHMARKS)}, or any name with --data FILE"
        )
    return BENCHMARKS[name]
