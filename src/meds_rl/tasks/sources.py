"""Reads files and hub data sets in many layouts, and finds problem, answer and level in a row."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meds_rl.tasks.base import chat_messages

if TYPE_CHECKING:
    from datasets import Dataset

BUILDERS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".csv": "csv"}
PROBLEM_COLUMNS = ("problem", "question", "prompt")
ANSWER_COLUMNS = ("reward_model", "answer", "final_answer", "solution")
MAX_BARE_SOLUTION_CHARS = 100
EXACT_BELOW = 2.0**53
"""Not every whole number from here on is a float."""

# Instructions about the answer's format around a problem: DAPO-Math-17K's, then the usual ones.
_WRAPPINGS = (
    r"^\s*Solve the following math problem step by step\.\s*The last line of your response should be of the "
    r"form Answer: \$?Answer \(without quotes\) where \$?Answer is the answer to the problem\.\s*",
    r"\s*Remember to put your answer on its own line after \"Answer:\""
    r"(?:,? and you do not need to use a \\boxed command)?\.?\s*$",
    r"\s*Please reason step by step, and put your final answer within \\boxed\{\}\.?\s*$",
    r"\s*Let's think step by step and output the final answer within \\boxed\{\}\.?\s*$",
)
_WRAPPING = re.compile("|".join(_WRAPPINGS), re.IGNORECASE)


def answer_text(value: Any) -> str | None:
    """An answer as text: the parts of a list joined by commas; None for NaN and for empty values.

    A text that looks like a list of texts, as OlympiadBench's answers in a CSV file, is read as that list. A list of
    numbers in a text is not changed, as it may be an interval or a vector. ValueError for a float too large to be
    exact.

    Example:
        >>> answer_text(["$1$", "$x$"]), answer_text("['$1$', '2']"), answer_text("[1, 2]"), answer_text(0.5)
        ('1, x', '1, 2', '[1, 2]', '0.5')
        >>> answer_text(float("nan")) is None
        True
    """
    if isinstance(value, str):
        value = _list_in(value) or value
    if isinstance(value, (list, tuple)):
        from meds_rl.tasks.grading import bare

        parts = [answer_text(part) for part in value]
        return ", ".join(bare(part) for part in parts if part) or None
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and abs(value) >= EXACT_BELOW:
        raise ValueError(f"the answer {value!r} was rounded when the file was read: write it as text, in quotes")
    return str(value).strip()


def _list_in(text: str) -> list[str] | None:
    """The list in a text like "['a', 'b']" or "['a' 'b']" (numpy's), or None."""
    stripped = text.strip()
    if not re.fullmatch(r"\[\s*(['\"]).*\1\s*\]", stripped, re.DOTALL):
        return None
    with_commas = re.sub(r"(['\"])\s+(?=['\"])", r"\1, ", stripped)
    try:
        value = ast.literal_eval(with_commas)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, list) and all(isinstance(part, str) for part in value) else None


def read_source(source: str, *, split: str = "train") -> Dataset:
    """Load a local parquet, jsonl, json or csv file, a local folder, or a hub data set: the rows of one split.

    If a data set has several configurations, "all", "default" or "full" (MBPP's) is read, else all of them
    (EleutherAI's MATH has one per subject). `split` applies to folders and hub data sets, so that test data is not read
    by accident; a file is read whole. ValueError if there is no such file or split, or if it cannot be read;
    ImportError without `datasets`.
    """
    try:
        import datasets
    except ImportError as error:
        raise ImportError('reading data sets needs datasets: pip install "meds-rl[trl]"') from error
    path = Path(source).expanduser()
    builder = _check_path(source, path)
    try:
        if builder == "csv":
            import pandas as pd

            # Every cell as text: 007 and 12345678901234567 do not become numbers, nor NA a missing value.
            frame = pd.read_csv(path, dtype=str, keep_default_na=False)
            return datasets.Dataset.from_pandas(frame, preserve_index=False)
        if path.is_file():
            return datasets.load_dataset(builder, data_files=str(path), split="train")
        location = str(path) if path.is_dir() else source
        names = datasets.get_dataset_config_names(location)
        preferred = [name for name in ("all", "default", "full") if name in names]
        parts = [datasets.load_dataset(location, name) for name in (preferred[:1] or names)]
    except Exception as error:  # many types, most of them without the name of the source
        why = error.__cause__ or error
        raise ValueError(
            f"cannot read {source!r} as a file, a folder or a hub data set ({type(error).__name__}: {why})"
        ) from error
    for part in parts:
        if split not in part:
            raise ValueError(f"{source} has no split {split!r} (found: {', '.join(part)}); name a file to use it")
    return datasets.concatenate_datasets([part[split] for part in parts])


def _check_path(source: str, path: Path) -> str | None:
    """The builder for a local file, None for a folder or hub name."""
    builder = BUILDERS.get(path.suffix.lower())
    looks_local = builder is not None or source.startswith(("/", "./", "../", "~"))
    if looks_local and not path.exists():
        raise ValueError(f"no such file or folder: {source}")
    if path.is_file() and builder is None:
        raise ValueError(f"{source}: unknown file type {path.suffix!r}; allowed: {', '.join(BUILDERS)}")
    if path.is_file() and path.stat().st_size == 0:
        raise ValueError(f"{source} is empty: 0 rows")
    return builder


def check_columns(columns: Sequence[str], source: str) -> None:
    """Raise a ValueError that lists the columns unless there is one with problems and one with answers."""
    for what, allowed in (("prompts", PROBLEM_COLUMNS), ("answers", ANSWER_COLUMNS)):
        if not set(allowed) & set(columns):
            found = ", ".join(columns)
            raise ValueError(f"{source} has no {what}: needed is a column {' or '.join(allowed)}; found: {found}")


def find_problem(row: Mapping[str, Any]) -> str:
    """The bare problem of a row: `problem`, `question` or `prompt` (of messages the last user message), or "".

    Instructions about the answer's format are removed. Columns of numbers are ignored.
    """
    for column in PROBLEM_COLUMNS:
        value = row.get(column)
        if isinstance(value, str):
            return strip_instructions(value)
        if value and isinstance(value, list):
            user = [message["content"] for message in chat_messages(value) if message["role"] == "user"]
            return strip_instructions(user[-1] or "") if user else ""
    return ""


@lru_cache(maxsize=100_000)  # DAPO-Math-17K repeats each of its problems about a hundred times
def strip_instructions(text: str) -> str:
    """The problem without instructions about the answer's format and without white space around it.

    >>> strip_instructions('What is $1+1$?\\n\\nRemember to put your answer on its own line after "Answer:".')
    'What is $1+1$?'
    """
    return _WRAPPING.sub("", text).strip()


def find_answer(row: Mapping[str, Any], *, bare_solution: bool = False) -> str | None:
    r"""The gold answer of a row, or None.

    Searched in this order: `reward_model.ground_truth` (verl's layout), `answer`, `final_answer` (OlympiadBench's),
    `solution`, each as `answer_text` gives it. The last ``\boxed{}`` counts, else the text after ``####`` (GSM8K), else
    the whole text. A `solution` without a mark is an answer only if `bare_solution` is set and it is one short line:
    in some data sets it is the bare answer, in others working without a marked answer.
    """
    reward_model = row.get("reward_model")
    ground_truth = reward_model.get("ground_truth") if isinstance(reward_model, Mapping) else None
    solution = answer_text(row.get("solution"))
    for text, may_be_bare in (
        (answer_text(ground_truth), True),
        (answer_text(row.get("answer")), True),
        (answer_text(row.get("final_answer")), True),
        (solution, bare_solution and len(solution or "") <= MAX_BARE_SOLUTION_CHARS and "\n" not in (solution or "")),
    ):
        answer = None if text is None else _answer_in(text, may_be_bare)
        if answer:
            return answer
    return None


def _answer_in(text: str, may_be_bare: bool) -> str | None:
    from meds_rl.fingerprint.answer import extract_answer
    from meds_rl.tasks.grading import bare

    for marker, sign in (("boxed", r"\boxed"), ("hashes", "####")):
        if sign in text:
            marked = extract_answer(text, marker)
            return bare(marked) if marked else None
    return bare(text) if may_be_bare else None


def find_level(row: Mapping[str, Any]) -> int | None:
    """The level of a MATH problem, 1 to 5: stored as 5 or as "Level 5"; None for "Level ?"."""
    found = re.search(r"\d+", str(row.get("level")))
    return int(found.group()) if found else None
