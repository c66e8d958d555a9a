"""The paper's training set from its sources: one format, no duplicates, one parquet file for TRL and verl."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from meds_rl.tasks.base import prompt_id
from meds_rl.tasks.grading import math_grade
from meds_rl.tasks.mathematics import boxed, chat_prompt
from meds_rl.tasks.sources import check_columns, find_answer, find_level, find_problem, read_source

DAPO_HUB = "BytedTsinghua-SIA/DAPO-Math-17k"
MATH_HUB = "nlile/hendrycks-MATH-benchmark"  # its 12,000 training problems leave exactly MATH500 out
PAPER_LEVELS = (3, 4, 5)

VERL_DATA_SOURCE = "lighteval/MATH"
r"""verl chooses its scorer by this name; this one reads the last ``\boxed{}``, as the prompt asks for it.

DAPO's own name, "math_dapo", would look for "Answer:" and give every completion zero.
"""

READ_ROWS = 1_000

OnProgress = Callable[[str, int, int], None]


@dataclass
class SourceCounts:
    """What became of the rows of one source; every row read is counted once in one of the other numbers."""

    source: str
    read: int = 0
    kept: int = 0
    other_level: int = 0
    no_problem: int = 0
    no_answer: int = 0
    duplicates: int = 0
    contradictory: int = 0


@dataclass
class _Collection:
    """Problems by normalised text; None where two rows gave the same problem different answers."""

    problems: dict[str, tuple[dict[str, Any], SourceCounts] | None] = field(default_factory=dict)

    def add(self, problem: str, answer: str, level: int | None, counts: SourceCounts) -> None:
        key = normalise(problem)
        if key not in self.problems:
            row = {"problem": problem, "answer": answer, "level": level, "source": counts.source}
            self.problems[key] = (row, counts)
            counts.kept += 1
            return
        first = self.problems[key]
        if first is not None and _same(answer, first[0]["answer"]):
            counts.duplicates += 1
            return
        # One of the two answers is wrong, and nothing says which: learn from neither.
        counts.contradictory += 1
        if first is not None:
            first[1].kept -= 1
            first[1].contradictory += 1
            self.problems[key] = None


@lru_cache(maxsize=100_000)
def normalise(problem: str) -> str:
    r"""What is left of a problem's text when white space and the way of marking formulas are taken out.

    >>> normalise("Find  $x$ if\n\\(x+1=2\\).") == normalise("Find x if $x + 1 = 2$.")
    True
    """
    text = unicodedata.normalize("NFKC", problem)
    return re.sub(r"\s+|\$|\\[()\[\]]", "", text)


def _same(answer: str, other: str) -> bool:
    return answer == other or math_grade(rf"\boxed{{{answer}}}", other)


def collect(
    dapo: str | None,
    math: str | None,
    *,
    levels: Sequence[int] = PAPER_LEVELS,
    limit: int | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[list[dict[str, Any]], list[SourceCounts]]:
    """Read the sources (files, folders or hub names), unify and deduplicate: rows of the one format, and
    counts.

    Args:
        dapo: DAPO-Math-17K, or data in its layout; None leaves it out.
        math: MATH, or data in its layout (a column `level`); None leaves it out.
        levels: which levels of MATH to keep.
        limit: stop reading a source when so many of its problems are kept.
        on_progress: called as `(source, rows read, rows in all)`.

    Raises:
        ValueError: a source cannot be read or lacks a column (the message lists what was found), or nothing
            is left.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    collection, all_counts = _Collection(), []
    for source, keep in ((dapo, None), (math, frozenset(levels))):
        if source is not None:
            counts = SourceCounts(source)
            _read_into(collection, source, keep, counts, limit, on_progress)
            all_counts.append(counts)
    rows = [entry[0] for entry in collection.problems.values() if entry is not None]
    if not rows:
        raise ValueError(
            f"no problem is left of {', '.join(counts.source for counts in all_counts) or 'no source'}"
        )
    return [_unified(row, index) for index, row in enumerate(rows)], all_counts


def _read_into(
    collection: _Collection,
    source: str,
    levels: frozenset[int] | None,
    counts: SourceCounts,
    limit: int | None,
    on_progress: OnProgress | None,
) -> None:
    dataset = read_source(source)
    check_columns(dataset.column_names, source)
    if levels is not None and "level" not in dataset.column_names:
        raise ValueError(f"{source} has no column 'level'; found: {', '.join(dataset.column_names)}")
    for batch in dataset.iter(batch_size=READ_ROWS):
        for values in zip(*batch.values(), strict=True):
            if counts.kept == limit:
                return
            _add_row(collection, dict(zip(batch, values, strict=True)), levels, counts)
        if on_progress is not None:
            on_progress(source, counts.read, len(dataset))


def _add_row(
    collection: _Collection, row: Mapping[str, Any], levels: frozenset[int] | None, counts: SourceCounts
) -> None:
    counts.read += 1
    level = find_level(row) if levels is not None else None
    if levels is not None and level not in levels:
        counts.other_level += 1
        return
    problem, answer = find_problem(row), find_answer(row)
    if not problem:
        counts.no_problem += 1
    elif not answer:
        counts.no_answer += 1
    else:
        collection.add(problem, answer, level, counts)


def _unified(row: Mapping[str, Any], index: int) -> dict[str, Any]:
    prompt = chat_prompt(row["problem"])
    return {
        "data_source": VERL_DATA_SOURCE,
        "prompt": prompt,
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": row["answer"]},
        "extra_info": {"index": index, "split": "train", "level": row["level"], "source": row["source"]},
        "prompt_id": prompt_id(prompt),
        "answer": row["answer"],
        "solution": boxed(row["answer"]),
    }


def write_parquet(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the rows to a new parquet file; a reader never sees half of it.

    Raises:
        ValueError: the file exists or does not end in .parquet (see `check_output`).
    """
    from datasets import Dataset, Features, Value

    check_output(path)
    text = Value("string")
    features = Features(
        {
            "data_source": text,
            "prompt": [{"role": text, "content": text}],
            "ability": text,
            "reward_model": {"style": text, "ground_truth": text},
            "extra_info": {"index": Value("int64"), "split": text, "level": Value("int64"), "source": text},
            "prompt_id": text,
            "answer": text,
            "solution": text,
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        Dataset.from_list([dict(row) for row in rows], features=features).to_parquet(str(unfinished))
        check_output(path)  # someone else may have written it while we were reading
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def check_output(path: Path) -> None:
    """Raise a ValueError if `path` exists or is not named like a parquet file."""
    if path.suffix != ".parquet":
        raise ValueError(f"the output must end in .parquet, got {path}")
    if path.exists():
        raise ValueError(f"{path} exists and is not overwritten; choose another name or remove it")
