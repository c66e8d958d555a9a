"""Programming problems with tests: a completion is a program, which runs in a sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meds_rl.tasks.base import Task, Verdict, chat_messages, check_dataset, prompt_id
from meds_rl.tasks.code_tests import LAYOUTS, Found, ProgramTests, find_layout
from meds_rl.tasks.mathematics import chat_prompt
from meds_rl.tasks.reasoning_gym import SCORED
from meds_rl.tasks.sandbox import LIMITS, Calls, Limits, check_sandbox, run_calls, run_inputs
from meds_rl.tasks.sandbox_inside import MAX_BYTES
from meds_rl.tasks.sources import read_source

if TYPE_CHECKING:
    from datasets import Dataset

SYSTEM_PROMPT = "Answer with one complete Python program, with its imports, in a ```python block."

MAX_CHARACTERS = 100_000
"""A longer program is not run."""


def code_task(
    path: str | None = None,
    test_path: str | None = None,
    system_prompt: str = SYSTEM_PROMPT,
    test_seconds: float = 3.0,
    seconds: float = 10.0,
) -> Task:
    """Programming problems, graded by their tests in a sandbox (bubblewrap); a program has the standard library only.

    Reads parquet, jsonl, json and csv files, folders and hub data sets with the columns of HumanEval, MBPP,
    LiveCodeBench (public tests), or `prompt` and `tests`; `code_tests` says what each column means. A prompt of chat
    messages is used unchanged; any other prompt becomes the user's message, after the system prompt. Repeated prompts
    are taken once.

    `fingerprint.code.find_program` finds the program of a completion. A program that begins indented, as base models
    write it, continues HumanEval's prompt. Before any other program, the prompt's imports and helpers run.

    The verdict's outcome has one item per test: "ok", or what went wrong (`sandbox.run_calls`).

    Args:
        path: training data.
        test_path: prompts to measure on; none by default.
        system_prompt: for prompts that are not chat messages.
        test_seconds: limit of one test.
        seconds: limit of all tests of one program.

    ValueError if the data cannot be read or a limit is out of range; OSError where bubblewrap does not work.
    """
    if path is None:
        raise ValueError("task 'code' needs the option 'path': a file, folder or hub data set with prompts and tests")
    train = load_programs(path, system_prompt)
    test = None if test_path is None else load_programs(test_path, system_prompt)
    return program_task("code", train, test, Limits(test_seconds, seconds))


def program_task(name: str, train: Dataset, test: Dataset | None = None, limits: Limits = LIMITS) -> Task:
    """The task of loaded problems; OSError where bubblewrap does not work."""
    check_sandbox()
    return Task(name, train, test, CodeGrader(limits), answer_marker="code", grade_in="threads")


def load_programs(path: str, system_prompt: str = SYSTEM_PROMPT, *, split: str = "train") -> Dataset:
    """The rows of a source with the columns prompt, prompt_id, answer and tests; errors as `code_task`."""
    return to_programs(read_source(path, split=split), path, system_prompt)


def to_programs(source: Dataset, name: str, system_prompt: str = SYSTEM_PROMPT) -> Dataset:
    """The rows of a loaded data set; `name` is for messages."""
    from datasets import Dataset, Features, Value

    read = find_layout(source.column_names)
    if read is None:
        allowed = "; or ".join(needed.replace(" ", ", ") for needed in LAYOUTS)
        raise ValueError(
            f"{name} has no tests: it needs the columns {allowed}; found: {', '.join(source.column_names)}"
        )
    rows: dict[str, dict[str, Any]] = {}
    for place, raw in enumerate(source):
        row = _row(read, raw, f"{name}, row {place}", system_prompt)
        rows.setdefault(row["prompt_id"], row)
    text = Value("string")
    types = {"prompt": [{"role": text, "content": text}], "prompt_id": text, "answer": text, "tests": text}
    dataset = Dataset.from_list(list(rows.values()), features=Features(types))
    check_dataset(dataset, name=name)
    return dataset


def _row(
    read: Callable[[Mapping[str, Any]], Found], raw: Mapping[str, Any], where: str, system_prompt: str
) -> dict[str, Any]:
    try:
        asked, tests = read(raw)
        if not tests.tests and not tests.inputs:
            raise ValueError("there is no test")
        if len(tests.to_json()) > MAX_BYTES and not tests.inputs:
            raise ValueError("the tests are larger than 1 MiB")
        prompt = chat_prompt(asked, system_prompt) if isinstance(asked, str) else _messages(asked)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{where} is not as {read.__name__} needs it: {type(error).__name__}: {error}") from None
    return {"prompt": prompt, "prompt_id": prompt_id(prompt), "answer": SCORED, "tests": tests.to_json()}


def _messages(prompt: Any) -> list[dict[str, str]]:
    return [{"role": one["role"], "content": one["content"]} for one in chat_messages(prompt)]


@dataclass(frozen=True)
class CodeGrader:
    """Runs a row's `tests` on the program of a completion, in the form of `Task.grade`. Picklable."""

    limits: Limits = LIMITS

    def __call__(self, completion: str, row: Mapping[str, Any]) -> Verdict:
        from meds_rl.fingerprint.answer import extract_answer

        tests = ProgramTests.from_json(row["tests"])
        program = extract_answer(completion, "code")
        if program is None or len(program) > MAX_CHARACTERS:
            return Verdict(False)
        outcome = self._outcome(_pieces(program, tests), tests)
        return Verdict(all(one == "ok" for one in outcome), tuple(outcome))

    def _outcome(self, program: Sequence[str], tests: ProgramTests) -> list[str]:
        if tests.inputs:
            return run_inputs(program, [(given, right) for given, right in tests.inputs], self.limits)
        return run_calls(program, Calls(tests.tests, tests.functions, tests.prelude), self.limits)


def _pieces(program: str, tests: ProgramTests) -> list[str]:
    """What runs: the problem's helpers and the program, or the problem's start and the program that continues it."""
    continues = bool(tests.start) and program[:1].isspace()
    return [tests.start + program] if continues else [tests.before, program]
