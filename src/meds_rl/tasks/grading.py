"""Right or wrong: mathematical answers by math-verify, and any task's grader as a TRL reward function."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from meds_rl.tasks.base import Task, Verdict
from meds_rl.tasks.grader import LIMIT_SECONDS, Grader

Message: TypeAlias = Mapping[str, Any]

TIMEOUT_SECONDS = 5
"""Time limit for parsing one answer, and for one comparison of two expressions."""

RIGHT_ABOVE = 0.5
"""`correct_above` where it is None: a completion is right if its reward is larger."""

MAX_ANSWER_CHARS = 500
"""Longer answers (and longer than twice the gold answer) are only compared as text, never parsed."""


def math_grade(completion: str, answer: str, marker: str = "boxed") -> bool:
    r"""Whether the completion's last marked answer equals the gold `answer`, by math-verify.

    Only the last marked answer counts (the last ``\boxed{}``); a completion without one is wrong. Equal text is right
    without parsing; everything else is compared by math-verify: numbers, fractions, percentages, sets, intervals,
    matrices, equations, units, ``\text{}``. If math-verify cannot parse the gold answer, or the answer is longer than
    `MAX_ANSWER_CHARS`, only equal text is right.

    math-verify's time-outs use `signal.alarm`, which only works in the main thread, so other threads grade *without*
    time-outs: a tower of powers may take minutes. `tasks.grader.Grader` has a limit in any thread.

    Args:
        completion: the model's text.
        answer: the gold answer, bare, in ``$...$`` or in ``\boxed{...}``.
        marker: how the completion marks its answer: "boxed", "answer_tag" or "hashes".

    >>> math_grade(r"So it is \boxed{0.5}.", r"\frac{1}{2}")
    True
    >>> math_grade(r"First \boxed{7}, no: \boxed{8}", "7")
    False
    >>> math_grade("The answer is 7.", "7")
    False
    """
    from meds_rl.fingerprint.answer import extract_answer

    given = extract_answer(completion, marker)
    if given is None:
        return False
    is_main_thread = threading.current_thread() is threading.main_thread()
    return _same_answer(bare(given), bare(answer), TIMEOUT_SECONDS if is_main_thread else None)


def bare(answer: str) -> str:
    r"""The answer without dollar signs, a box or white space around it.

    >>> bare(r" $\boxed{\frac12}$ ")
    '\\frac12'
    """
    answer = answer.strip()
    if len(answer) > 2 and answer.startswith("$") and answer.endswith("$") and not answer.endswith(r"\$"):
        answer = answer.strip("$").strip()
    if answer.startswith(r"\boxed{") and answer.endswith("}") and answer.count(r"\boxed") == 1:
        answer = answer[len(r"\boxed{") : -1].strip()
    return answer


@lru_cache(maxsize=16_384)  # a group's completions give the same few answers
def _same_answer(given: str, gold: str, timeout: int | None) -> bool:
    if given == gold:
        return True
    if len(given) > max(MAX_ANSWER_CHARS, 2 * len(gold)):
        return False
    try:
        from math_verify import LatexExtractionConfig, parse, verify
    except ImportError as error:
        raise ImportError('grading needs math-verify: pip install "meds-rl[trl]"') from error
    latex = (LatexExtractionConfig(boxed_match_priority=0),)
    parsed_gold = parse(rf"\boxed{{{gold}}}", extraction_config=latex, parsing_timeout=timeout)
    parsed_given = parse(rf"\boxed{{{given}}}", extraction_config=latex, parsing_timeout=timeout)
    return bool(verify(parsed_gold, parsed_given, timeout_seconds=timeout))


@dataclass(frozen=True)
class MathGrader:
    """`math_grade` in the form of `Task.grade`: reads the row's `answer`. Picklable."""

    marker: str = "boxed"

    def __call__(self, completion: str, row: Mapping[str, Any]) -> bool:
        return math_grade(completion, row["answer"], self.marker)


class FunctionGrader:
    """TRL reward functions in the form of `Task.grade`: the first that returns a number decides.

    The outcome is what a function logs by ``log_extra("outcome", ...)``.

    Args:
        functions: called with one prompt, one completion, the row's columns and ``log_extra``; they get no
            ``completion_ids``.
        above: a completion is right if the number is above it.
    """

    def __init__(self, functions: Sequence[Callable[..., Sequence[float | None]]], above: float) -> None:
        self._functions, self._above = list(functions), above

    def __call__(self, completion: str, row: Mapping[str, Any]) -> bool | Verdict:
        is_text = isinstance(row["prompt"], str)
        given = completion if is_text else [{"role": "assistant", "content": completion}]
        columns = {name: [value] for name, value in row.items() if name != "prompt"}
        logged: dict[str, Any] = {}
        call = {"prompts": [row["prompt"]], "completions": [given], **columns, "log_extra": logged.__setitem__}
        values = (function(**call)[0] for function in self._functions)
        right = bool(next((value > self._above for value in values if value is not None), False))
        return Verdict(right, logged["outcome"][0]) if "outcome" in logged else right


class AccuracyReward:
    """A task's grader as a TRL reward function: 1.0 for right, 0.0 for wrong.

    Takes completions as strings or as lists of chat messages (the last message counts), and the data set's columns as
    lists of the same length. Picklable: it has the grader and not the data.

    A task that may hang is graded in a process of its own, in which each answer has `limit` seconds. One that takes
    longer is wrong; the first is logged, and `grader/timeouts` (their number in a batch) goes to TRL's `log_metric`.
    If the grader gives verdicts, TRL's `log_extra` gets their outcomes under the name `outcome`.
    """

    __name__ = "accuracy"

    def __init__(self, task: Task, limit: float = LIMIT_SECONDS) -> None:
        self._gives_verdicts = False
        self._may_hang = task.grade_in == "process"
        self._grader = Grader.of(task, limit)

    def __call__(
        self,
        completions: Sequence[str | Sequence[Message]],
        completion_ids: Any = None,  # no grader wants them, and they would go to the process
        log_metric: Callable[[str, float], None] | None = None,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        **columns: Any,
    ) -> list[float]:
        # TRL also passes its state and its logging functions, which are not lists.
        lists = {name: values for name, values in columns.items() if isinstance(values, list)}
        for name, values in lists.items():
            if len(values) != len(completions):
                raise ValueError(f"column {name!r} has {len(values)} rows, there are {len(completions)} completions")
        rows = [{name: values[i] for name, values in lists.items()} for i in range(len(completions))]
        before = self._grader.num_ended
        right = self._grader(list(zip(map(_text, completions), rows, strict=True)))
        if self._may_hang and log_metric is not None:  # 0, too: all ranks must log the same names
            log_metric("grader/timeouts", float(self._grader.num_ended - before))
        # Later batches without outcomes log them too: the columns of TRL's table must have one length.
        self._gives_verdicts |= any(isinstance(one, Verdict) for one in right)
        if self._gives_verdicts and log_extra is not None:
            log_extra("outcome", [one.outcome if isinstance(one, Verdict) else None for one in right])
        return [float(bool(one)) for one in right]


def _text(completion: str | Sequence[Message]) -> str:
    if isinstance(completion, str):
        return completion
    content = completion[-1].get("content") if completion else None
    if content is None:  # a message that only calls a tool
        return ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content)
