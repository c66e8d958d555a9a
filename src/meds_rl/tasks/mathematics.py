"""Mathematics with gold answers: the task, and the paper's training set that `meds data` writes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meds_rl.tasks.base import Task, chat_messages, check_dataset, prompt_id
from meds_rl.tasks.grading import MathGrader, math_grade
from meds_rl.tasks.sources import check_columns, find_answer, find_level, find_problem, read_source, strip_instructions

if TYPE_CHECKING:
    from datasets import Dataset

SYSTEM_PROMPT = r"Please reason step by step, and put your final answer within \boxed{}."
"""The paper's system prompt (section on the training set-up)."""


def chat_prompt(problem: str, system_prompt: str = SYSTEM_PROMPT) -> list[dict[str, str]]:
    """The prompt format of every problem: the system prompt, then the bare problem as the user's message."""
    return [{"role": "system", "content": system_prompt}, {"role": "user", "content": problem}]


def math_task(
    path: str | None = None,
    test_path: str | None = None,
    system_prompt: str = SYSTEM_PROMPT,
    answer_marker: str = "boxed",
) -> Task:
    """Problems with one gold answer, graded by math-verify.

    Reads what `meds data` writes, and any parquet, jsonl, json or csv file, folder or hub data set with the problem in
    `prompt` (text or chat messages), `problem` or `question` and the answer in `answer`, `solution` or
    `reward_model.ground_truth`. Chat messages are used unchanged, unless they contain instructions about the answer's
    format (`sources.strip_instructions`); all else gets the format of `chat_prompt`. Repeated prompts are taken once.

    Args:
        path: training data.
        test_path: prompts to measure on; none by default.
        system_prompt: for problems that are not chat messages.
        answer_marker: "boxed", "answer_tag" or "hashes"; must match the system prompt.

    ValueError if the data cannot be read, lacks a column or rows, or has an empty prompt, a missing answer, or one
    problem with different answers.
    """
    if path is None:
        raise ValueError("task 'math' needs the option 'path': a file that `meds data` wrote, or your own data set")
    return Task(
        name="math",
        train=load_problems(path, system_prompt),
        test=None if test_path is None else load_problems(test_path, system_prompt),
        grade=MathGrader(answer_marker),
        answer_marker=answer_marker,
        grade_in="process",
    )


def load_problems(path: str, system_prompt: str = SYSTEM_PROMPT, *, split: str = "train") -> Dataset:
    """The rows of a source with the columns prompt, prompt_id, answer, solution; errors as `math_task`."""
    return to_problems(read_source(path, split=split), path, system_prompt)


def to_problems(source: Dataset, name: str, system_prompt: str = SYSTEM_PROMPT) -> Dataset:
    """The rows of a loaded data set; `name` is for messages."""
    from datasets import Dataset, Features, Value

    check_columns(source.column_names, name)
    try:
        rows = _rows(source, name, system_prompt)
    except UnicodeDecodeError as error:  # Arrow checks bytes only when they are read as text
        raise ValueError(f"{name} is not UTF-8: {error}") from None
    if not rows:
        raise ValueError(f"{name} is empty: 0 rows")
    text = Value("string")
    types = {"prompt": [{"role": text, "content": text}], "prompt_id": text, "answer": text, "solution": text}
    dataset = Dataset.from_list(rows, features=Features(types))
    check_dataset(dataset, name=name)
    return dataset


def _rows(source: Dataset, path: str, system_prompt: str) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for raw in source:
        try:
            prompt, answer = _prompt_of(raw, system_prompt), find_answer(raw, bare_solution=True)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from None
        name = prompt_id(prompt)
        row = {"prompt": prompt, "prompt_id": name, "answer": answer, "solution": boxed(answer)}
        first = rows.setdefault(name, row)["answer"]
        if not _same(answer, first):
            raise ValueError(
                f"{path} has two answers to one problem, {first!r} and {answer!r}: {find_problem(raw)[:80]!r}. Take "
                "both rows out, or write the data with `meds data`, which leaves such problems out"
            )
    return list(rows.values())


def _same(answer: str | None, other: str | None) -> bool:
    return answer == other or (answer is not None and other is not None and math_grade(rf"\boxed{{{answer}}}", other))


def boxed(answer: str | None) -> str | None:
    r"""The answer as TRL's `accuracy_reward` wants its `solution`: in a box, so that it parses as LaTeX."""
    return None if answer is None else rf"\boxed{{{answer}}}"


def _prompt_of(row: Mapping[str, Any], system_prompt: str) -> list[dict[str, str]]:
    prompt = row.get("prompt") or ""
    messages = chat_messages(prompt) if isinstance(prompt, list) else []
    user = [message["content"] or "" for message in messages if message["role"] == "user"]
    if user and all(strip_instructions(text) == text.strip() for text in user):
        return [{"role": message["role"], "content": message["content"]} for message in messages]
    return chat_prompt(find_problem(row), system_prompt)


# ---- The paper's training set (DAPO-Math-17K and MATH) in one format, without duplicates, for TRL and verl.

DAPO_HUB = "BytedTsinghua-SIA/DAPO-Math-17k"
MATH_HUB = "nlile/hendrycks-MATH-benchmark"  # its 12,000 training problems leave exactly MATH500 out
PAPER_LEVELS = (3, 4, 5)

VERL_DATA_SOURCE = "lighteval/MATH"
r"""verl selects its scorer by this name; this one reads the last ``\boxed{}``. "math_dapo" would look for "Answer:"."""

READ_ROWS = 1_000

OnProgress = Callable[[str, int, int], None]


@dataclass
class SourceCounts:
    """Rows of one source: each row that was `read` counts in exactly one of the other numbers."""

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
        # One of the two answers is wrong, and we do not know which: drop both.
        counts.contradictory += 1
        if first is not None:
            first[1].kept -= 1
            first[1].contradictory += 1
            self.problems[key] = None


@lru_cache(maxsize=100_000)
def normalise(problem: str) -> str:
    r"""A problem's text without white space and formula delimiters, to find duplicates.

    >>> normalise("Find  $x$ if\n\\(x+1=2\\).") == normalise("Find x if $x + 1 = 2$.")
    True
    """
    text = unicodedata.normalize("NFKC", problem)
    return re.sub(r"\s+|\$|\\[()\[\]]", "", text)


def collect(
    dapo: str | None,
    math: str | None,
    *,
    levels: Sequence[int] = PAPER_LEVELS,
    limit: int | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[list[dict[str, Any]], list[SourceCounts]]:
    """Read the sources (files, folders or hub names): deduplicated rows in one format, and counts per source.

    Args:
        dapo: DAPO-Math-17K, or data in its layout; None leaves it out.
        math: MATH, or data in its layout (a column `level`); None leaves it out.
        levels: which levels of MATH to keep.
        limit: stop reading a source when this many of its problems are kept.
        on_progress: called as `(source, rows read, rows in total)`.

    ValueError if a source cannot be read or lacks a column, or no row is left.
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
        raise ValueError(f"no problem is left of {', '.join(counts.source for counts in all_counts) or 'no source'}")
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
    """Write the rows to a new parquet file, atomically; errors as `check_output`."""
    from datasets import Dataset, Features, Value

    check_output(path)
    text, whole = Value("string"), Value("int64")
    types = {
        "data_source": text,
        "prompt": [{"role": text, "content": text}],
        "ability": text,
        "reward_model": {"style": text, "ground_truth": text},
        "extra_info": {"index": whole, "split": text, "level": whole, "source": text},
        "prompt_id": text,
        "answer": text,
        "solution": text,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        Dataset.from_list([dict(row) for row in rows], features=Features(types)).to_parquet(str(unfinished))
        check_output(path)  # another process may have written it in the meantime
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def check_output(path: Path) -> None:
    """Raise a ValueError if `path` exists or is not named like a parquet file."""
    if path.suffix != ".parquet":
        raise ValueError(f"the output must end in .parquet, got {path}")
    if path.exists():
        raise ValueError(f"{path} exists and is not overwritten; choose another name or remove it")
