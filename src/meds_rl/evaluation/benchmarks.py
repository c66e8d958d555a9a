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

# ---- Finds a benchmark's local copy, and never takes another one for it.


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


class Benchmark(NamedTuple):
    """Where a benchmark stands on the hub.

    Attributes:
        hub: name of the data set.
        split: which of its splits holds the problems.
        size: how many there are.
        columns: those of problem and answer.
    """

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
    """Load a benchmark: prompts of the paper's format, graded by math-verify, in the split "test".

    Args:
        name: one of `BENCHMARKS`; with `data`, any name.
        data: a parquet, jsonl, json or csv file; a folder that holds such a file, or a folder, under the benchmark's
            name; or the benchmark's own folder, laid out as on the hub. From the hub without it.

    Raises:
        ValueError: an unknown name, or problems that cannot be read; the message says how to use a local copy.
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
        source = find_local(name, Path(str(data)).expanduser(), split, others=set(BENCHMARKS) - {name})
        dataset = load_problems(str(source), split=split)
    task = Task(name=name, train=dataset, test=None, grade=MathGrader(), grade_may_hang=True)
    return ProblemSet(name, task, {"test": dataset})


def check_names(names: Iterable[str], data: str | Path | None = None) -> None:
    """Refuse what cannot be benchmarks before anything is loaded.

    Args:
        names: of benchmarks.
        data: the local copy of them, if there is one: any name is allowed then, as long as a file can have it.

    Raises:
        ValueError: without `data` a name that is none of `BENCHMARKS` (the message lists them), with it one that no
            file can have, or several names for one file.
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
    """One file, or one benchmark's own folder, must not be taken for several."""
    listed = ", ".join(names)
    if data.is_file():
        raise ValueError(
            f"--data {data} is one file, and {len(names)} benchmarks are named ({listed}): name one, or give a folder "
            "with a file for each"
        )
    missing = [name for name in names if named_in(data, name) is None]
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
