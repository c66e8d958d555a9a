"""A task (problems and a grader), and the id of a prompt."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from datasets import Dataset

Prompt: TypeAlias = str | Sequence[Mapping[str, Any]]
GradeIn: TypeAlias = Literal["process", "threads"] | None
TextAnswerFinder: TypeAlias = Callable[[str], str | None]
StrategyFinder: TypeAlias = Callable[[str, Mapping[str, Any]], str | None]


@dataclass(frozen=True)
class Verdict:
    """Right or wrong, and what happened.

    Attributes:
        is_correct: whether the completion is right; also the verdict's truth value.
        outcome: what the grader reports, such as one item per test of a program: ``("ok", "IndexError")``. Completions
            with the same outcome have the same fingerprint "outcome". None: no outcome.

    >>> bool(Verdict(False, "lost by timeout"))
    False
    """

    is_correct: bool
    outcome: Hashable | None = None

    def __bool__(self) -> bool:
        return self.is_correct


Grade: TypeAlias = Callable[[str, Mapping[str, Any]], bool | Verdict]


@dataclass(frozen=True, eq=False)
class Task:
    """Problems with a grader.

    Attributes:
        name: the argument of `load_task`.
        train: data set with the columns `prompt` (str or chat messages), `prompt_id`, `answer` (the gold answer as
            text) and the columns that `grade` reads.
        test: the same columns, prompts that are not in `train`; None if there are none.
        grade: `grade(completion, row) -> bool`, or a `Verdict`. Module-level function or picklable callable.
        answer_marker: how the answer is marked in a completion: "boxed", "answer_tag", "hashes", "code", or the
            text before it, such as "Answer:".
        strategy: `strategy(completion, row)` names the strategy that a completion follows, None for an unknown one.
            Only tasks whose working can be checked have it.
        correct_strategies: the strategies that are right; with a right answer, the trace is exact.
        grade_in: where training and evaluation grade (`tasks.grader`). "process": in a separate process with a time
            limit, as a completion can make `grade` run for ever (a computer algebra system reads the answer).
            "threads": the completions of a batch in as many threads as there are cores, as `grade` waits for processes
            of its own. None: directly.
        answer_finder: your function from a completion's text to its answer (None for none), instead of the marker.
    """

    name: str
    train: Dataset
    test: Dataset | None
    grade: Grade
    answer_marker: str = "boxed"
    strategy: StrategyFinder | None = None
    correct_strategies: tuple[str, ...] = ()
    grade_in: GradeIn = None
    answer_finder: TextAnswerFinder | None = None

    @property
    def finds_answers_by(self) -> str | TextAnswerFinder:
        """The answer finder, or the marker if there is none."""
        return self.answer_finder or self.answer_marker


def prompt_id(prompt: Prompt) -> str:
    """The id of a prompt: the first 16 hex digits of the SHA-256 of its content.

    The content is the text or the messages in the data set, never a chat template's rendering, so that the id does not
    depend on tokenizer, template or engine. Keys with the value None are left out, as Arrow adds them to messages. An
    image (PIL) counts by its size, mode and pixels, one as bytes or as an array by these.
    TypeError or ValueError for anything but a string or a sequence of messages.

    >>> prompt_id("2 + 2 = ?")
    '0cb9d415cc67f282'
    >>> prompt_id([{"role": "user", "content": "Hi"}])
    '557f6d9586f57ae7'
    >>> prompt_id([{"content": "Hi", "name": None, "role": "user"}])
    '557f6d9586f57ae7'
    """
    content: Any = prompt
    if not isinstance(prompt, str):
        content = [{key: value for key, value in one.items() if value is not None} for one in chat_messages(prompt)]
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_image_digest)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _image_digest(image: Any) -> str:
    """The SHA-256 of an image's content; TypeError for anything else that JSON has no form for."""
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    if hasattr(image, "mode") and hasattr(image, "tobytes"):  # PIL, which need not be installed
        kind = repr((image.size, image.mode))
    elif hasattr(image, "dtype") and hasattr(image, "tobytes"):  # numpy
        kind = repr((image.shape, str(image.dtype)))
    else:
        raise TypeError(
            f"a prompt's content must be text or images, got {type(image).__name__}. Give the data set a column "
            "prompt_id, which names each prompt"
        )
    return hashlib.sha256(kind.encode() + image.tobytes()).hexdigest()


def chat_messages(prompt: Any) -> list[Mapping[str, Any]]:
    """The messages of a prompt that is not text; TypeError or ValueError unless each has a role and content."""
    if not isinstance(prompt, Iterable):
        raise TypeError(f"a prompt is a string or a list of chat messages, got {type(prompt).__name__}")
    messages = list(prompt)
    if not messages:
        raise ValueError("a prompt needs at least one chat message, got an empty list")
    for message in messages:
        if not isinstance(message, Mapping):
            raise TypeError(f"a chat message is a mapping with role and content, got {type(message).__name__}")
        if not {"role", "content"} <= message.keys():
            raise ValueError(f"a chat message needs role and content, got {', '.join(message) or 'nothing'}")
    return messages


def import_function(path: str) -> Any:
    """The function with this import path; ValueError if there is none. Modules in the current folder count."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as TRL's script does, for a module beside the recipe
    module, _, name = path.rpartition(".")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"The function {path!r} cannot be imported ({error}); give package.module.function.") from None
    if not callable(function):
        raise ValueError(f"{path!r} is not a function but {type(function).__name__}.")
    return function


def check_dataset(
    dataset: Dataset, columns: Sequence[str] = ("prompt", "answer"), *, name: str = "the data set"
) -> None:
    """Raise a ValueError unless the `columns` exist, there is a row, no prompt is empty and no answer is missing."""
    missing = [column for column in columns if column not in dataset.column_names]
    if missing:
        raise ValueError(
            f"{name} has no column {' and no column '.join(map(repr, missing))}; "
            f"needed: {', '.join(columns)}; found: {', '.join(dataset.column_names) or 'no columns'}"
        )
    if len(dataset) == 0:
        raise ValueError(f"{name} is empty: 0 rows")
    if "prompt" in columns:
        _refuse_rows(dataset["prompt"], _is_empty_prompt, f"{name}: empty prompt")
    if "answer" in columns:
        _refuse_rows(dataset["answer"], _is_blank, f"{name}: no answer")


def _refuse_rows(values: Iterable[Any], is_bad: Callable[[Any], bool], what: str) -> None:
    bad = [index for index, value in enumerate(values) if is_bad(value)]
    if bad:
        shown = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
        raise ValueError(f"{what} in {len(bad)} row(s): {shown}")


def _is_blank(text: Any) -> bool:
    return text is None or (isinstance(text, str) and not text.strip())


def _is_empty_prompt(prompt: Any) -> bool:
    if prompt is None or isinstance(prompt, str):
        return _is_blank(prompt)
    # A prompt that has only a system message is empty, too.
    return all(_is_blank(message.get("content")) for message in prompt if message.get("role") != "system")
