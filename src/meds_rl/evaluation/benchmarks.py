"""The paper's benchmarks by name: from the hub, or from local copies."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from meds_rl.evaluation.problems import ProblemSet
from meds_rl.tasks.base import Task
from meds_rl.tasks.grading import MathGrader
from meds_rl.tasks.mathematics import load_problems
from meds_rl.tasks.sources import BUILDERS


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
        data: a parquet, jsonl, json or csv file; a folder laid out as on the hub; or a folder that holds such a file or
            folder under the benchmark's name. From the hub without it.

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
        source = _local(name, Path(str(data)).expanduser())
        split = "train" if source.is_file() or known is None else known.split
        dataset = load_problems(str(source), split=split)
    task = Task(name=name, train=dataset, test=None, grade=MathGrader(), grade_may_hang=True)
    return ProblemSet(name, task, {"test": dataset})


def check_names(names: Iterable[str]) -> None:
    """Refuse unknown names before anything is loaded.

    Raises:
        ValueError: one is none of `BENCHMARKS`; the message lists them.
    """
    for name in names:
        _known(name)


def _known(name: str) -> Benchmark:
    if name not in BENCHMARKS:
        close = difflib.get_close_matches(name, BENCHMARKS, n=1)
        hint = f", did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"unknown benchmark {name!r}{hint}; allowed: {', '.join(BENCHMARKS)}, or any name with --data FILE"
        )
    return BENCHMARKS[name]


def _local(name: str, data: Path) -> Path:
    """The file or folder that holds the benchmark: `data` itself, or what has the benchmark's name in it."""
    if not data.exists():
        raise ValueError(f"--data: no such file or folder: {data}")
    if data.is_file():
        return data
    inside = [data / f"{name}{suffix}" for suffix in ("", *BUILDERS)]
    return next((path for path in inside if path.exists()), data)
