"""Mathematics with one gold answer each: what `meds data` writes, or a user's own data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from meds_rl.tasks.base import Task, chat_messages, check_dataset, prompt_id
from meds_rl.tasks.grading import MathGrader, math_grade
from meds_rl.tasks.sources import check_columns, find_answer, find_problem, read_source, strip_instructions

if TYPE_CHECKING:
    from datasets import Dataset

SYSTEM_PROMPT = r"Please reason step by step, and put your final answer within \boxed{}."
"""The paper's system prompt (section on the training set-up)."""


def chat_prompt(problem: str, system_prompt: str = SYSTEM_PROMPT) -> list[dict[str, str]]:
    """The one prompt format: the system prompt, then the bare problem as the user's message."""
    return [{"role": "system", "content": system_prompt}, {"role": "user", "content": problem}]


def math_task(
    path: str | None = None,
    test_path: str | None = None,
    system_prompt: str = SYSTEM_PROMPT,
    answer_marker: str = "boxed",
) -> Task:
    """Problems with one gold answer, graded by math-verify.

    Reads what `meds data` writes, and any parquet, jsonl, json or csv file, folder or hub data set with the
    problem in `prompt` (text or chat messages), `problem` or `question` and the answer in `answer`,
    `solution` or `reward_model.ground_truth`. A prompt that is a list of messages is used as it is, unless it
    carries another data set's instructions about the form of the answer (see `sources.strip_instructions`);
    everything else gets the one prompt format. A prompt that occurs more than once is taken once; with different
    answers it is refused.

    Args:
        path: training data.
        test_path: prompts to measure on; none by default.
        system_prompt: for problems that are not chat messages already.
        answer_marker: "boxed", "answer_tag" or "hashes"; must be what the system prompt asks for.

    Raises:
        ValueError: no path, unreadable, no column with prompts or answers (the message lists what was found),
            no rows, rows with an empty prompt or without an answer, one problem with different answers.
    """
    if path is None:
        raise ValueError(
            "task 'math' needs the option 'path': a file that `meds data` wrote, or your own data set"
        )
    return Task(
        name="math",
        train=load_problems(path, system_prompt),
        test=None if test_path is None else load_problems(test_path, system_prompt),
        grade=MathGrader(answer_marker),
        answer_marker=answer_marker,
        grade_may_hang=True,
    )


def load_problems(path: str, system_prompt: str = SYSTEM_PROMPT, *, split: str = "train") -> Dataset:
    """The rows of a source in the columns of a task: prompt, prompt_id, answer, solution.

    Raises:
        ValueError: as `math_task`.
    """
    from datasets import Dataset, Features, Value

    source = read_source(path, split=split)
    check_columns(source.column_names, path)
    try:
        rows = _rows(source, path, system_prompt)
    except UnicodeDecodeError as error:  # Arrow takes any bytes for text, until they are read
        raise ValueError(f"{path} is not UTF-8: {error}") from None
    if not rows:
        raise ValueError(f"{path} is empty: 0 rows")
    text = Value("string")
    features = {
        "prompt": [{"role": text, "content": text}],
        "prompt_id": text,
        "answer": text,
        "solution": text,
    }
    dataset = Dataset.from_list(rows, features=Features(features))
    check_dataset(dataset, name=path)
    return dataset


def _rows(source: Dataset, path: str, system_prompt: str) -> list[dict[str, Any]]:
    """One row for each prompt."""
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
                "both rows out, or write the data anew with `meds data`, which leaves such problems out"
            )
    return list(rows.values())


def _same(answer: str | None, other: str | None) -> bool:
    return answer == other or (
        answer is not None and other is not None and math_grade(rf"\boxed{{{answer}}}", other)
    )


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
