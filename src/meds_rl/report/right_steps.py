"""Which steps of wrong completions are right: those that the right completions of the same prompt have, too.

Steps alone do not show an error. If the answer is the result of one of them, they led to it: the way is wrong, or it
stopped early. If it is not, what went wrong is in a part of the completion that is not read as a step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meds_rl.fingerprint.arithmetic import answer_value
from meds_rl.fingerprint.expression import is_result
from meds_rl.fingerprint.roles import Working
from meds_rl.report.source import RunData

Verdict: TypeAlias = Literal["error", "stopped", "right", "open", "unread"]
"""Of the steps of a wrong completion: they are an error; so far right, and the answer is the result of one of them;
right, but not the answer; not known, because the answer is none of their results and equations were not read; none."""

IN_MOST = 0.5
"""Steps that a larger fraction of the prompt's right completions have are steps of the right way."""


class RightSteps:
    """The steps of the right completions of a run.

    Args:
        run: the run.
        rows: (m,) the right completions that were read.
        workings: m steps of them, None without any.
        num_right: right completions of the run, of which m were read.
    """

    def __init__(
        self, run: RunData, rows: NDArray[np.int64], workings: Sequence[Working | None], num_right: int
    ) -> None:
        self._run = run
        self._scale = num_right / max(1, len(rows))
        self._counts: Counter[tuple[int, bool]] = Counter()
        self._of_prompt: Counter[tuple[str, int]] = Counter()
        self._given: Counter[tuple[str, int]] = Counter()
        self._steps: Counter[tuple[str, int]] = Counter()
        self._num: Counter[str] = Counter()
        for prompt, gives, working in zip(self._prompts(rows), self.give_answer(rows, workings), workings, strict=True):
            if working is not None:
                self._num[prompt] += 1
                self._counts[working.key, gives] += 1
                self._of_prompt[prompt, working.key] += 1
                self._given[prompt, working.key] += gives
                self._steps.update((prompt, step) for step in set(_steps(working)))

    def _prompts(self, rows: NDArray[np.int64]) -> list[str]:
        return [str(prompt) for prompt in self._run.rollouts["prompt_id"].to_numpy()[rows].tolist()]

    def give_answer(self, rows: NDArray[np.int64], workings: Sequence[Working | None]) -> list[bool]:
        """Of each completion whether its answer is the result of one of its steps."""
        answers = self._run.rollouts["answer"].iloc[rows].tolist()
        return [
            working is not None and isinstance(answer, str) and _is_in(answer, working.results)
            for answer, working in zip(answers, workings, strict=True)
        ]

    def verdicts(self, rows: NDArray[np.int64], workings: Sequence[Working | None]) -> list[Verdict]:
        """Judge the steps of wrong completions: (n,) rows and n workings."""
        prompts, gives = self._prompts(rows), self.give_answer(rows, workings)
        answered = self._run.rollouts["answer"].notna().to_numpy()[rows].tolist()
        keys = [None if working is None or "≠" in working.name else working.key for working in workings]
        of_prompt = Counter(prompts)
        same = Counter(zip(prompts, keys, gives, strict=True))
        anywhere = Counter(key for key, given in zip(keys, gives, strict=True) if not given)
        scale = self._scale * len(rows) / max(1, len(self._run.wrong))
        found: list[Verdict] = []
        for prompt, working, key, given, has_answer in zip(prompts, workings, keys, gives, answered, strict=True):
            if working is None or key is None:
                found.append("unread" if working is None else "error")
                continue
            times = same[prompt, key, given]
            share = self._share(prompt, working, given)
            if not (self._run.answers_known and working.results):  # nothing says what the steps led to
                is_right = scale * self._of_prompt[prompt, key] > times
            elif share or given or (has_answer and self._num[prompt]):
                is_right = share > 0 and share >= times / of_prompt[prompt]
            elif same[prompt, key, True]:  # on this prompt they lead to a wrong answer, whatever they do elsewhere
                is_right = False
            else:  # no right completion of the prompt says anything
                is_right = self._num_right(key) / max(1, self._num.total()) > anywhere[key] / len(rows)
            if is_right:
                found.append("right")
            elif given:
                found.append("stopped" if self._share(prompt, working, False) > IN_MOST else "error")
            else:
                is_open = has_answer and self._run.answers_known and working.unread > 0
                found.append("open" if is_open else "error")
        return found

    def _share(self, prompt: str, working: Working, gives: bool) -> float:
        """Fraction of the prompt's right completions that have each of the steps.

        If the steps give the answer, the fraction of those with exactly these steps, which give theirs.
        """
        num = max(1, self._num[prompt])
        if gives:
            return self._given[prompt, working.key] / num
        return min(self._steps[prompt, step] for step in _steps(working)) / num

    def _num_right(self, key: int) -> int:
        return self._counts[key, False] + self._counts[key, True]

    def times(self, found: set[tuple[int, bool]]) -> int:
        """About how many right completions have one of these sequences of steps: key, and whether they give the
        answer. If they do, they must do so there, too."""
        return round(
            self._scale * sum(self._counts[key, True] if gives else self._num_right(key) for key, gives in found)
        )


def _steps(working: Working) -> Sequence[int]:
    """Hashes of the single steps; of what is no arithmetic, of all together."""
    return working.parts[: len(working.written)] or (working.key,)


def _is_in(answer: str, results: Sequence[float]) -> bool:
    value = _value(answer)
    values = (value, 100 * value) if "%" in answer else (value,)
    return any(is_result([result], [], value) for result in results for value in values)


@lru_cache(maxsize=4096)
def _value(answer: str) -> float:
    return answer_value(answer)
