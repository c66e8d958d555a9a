"""Right or wrong for verl's reward managers: the grader that ``task: math`` has under TRL, by math-verify.

verl's own scorer for this data compares texts after a few replacements; math-verify knows that 0.5 is 1/2.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from meds_rl.tasks.grader import Grader
from meds_rl.tasks.grading import MathGrader


async def compute_score(
    solution_str: str, ground_truth: str, *, answer_marker: str = "boxed", **_: Any
) -> dict[str, float]:
    r"""Grade one completion: verl's `reward.custom_reward_function`.

    An answer can keep a computer algebra system busy for ever, so each of verl's reward workers grades in a process of
    its own, which is stopped when an answer takes too long; that answer is wrong. (math-verify's own time-outs need a
    main thread, and verl calls reward functions in other threads.)

    Args:
        solution_str: the completion.
        ground_truth: the gold answer, bare or in a box.
        answer_marker: how completions mark their answer: "boxed", "answer_tag" or "hashes"; set it by
            `reward.custom_reward_function.reward_kwargs.answer_marker`.

    Returns:
        `score`, 1.0 for right and 0.0 for wrong, and `acc`, the same. The reward manager adds length punishments to the
        score; they do not change `acc`.

    Raises:
        ImportError: math-verify is not installed.
    """
    # Not in the worker's own loop: one hard answer must not delay the others' results.
    jobs = [(solution_str, {"answer": ground_truth})]
    (right,) = await asyncio.get_running_loop().run_in_executor(_thread(), _grader(answer_marker), jobs)
    return {"score": float(bool(right)), "acc": float(bool(right))}


@cache
def _thread() -> ThreadPoolExecutor:
    """One thread: the grading process takes one answer at a time."""
    return ThreadPoolExecutor(1, thread_name_prefix="meds-grading")


@cache
def _grader(marker: str) -> Grader:
    """Never closed: its process is a daemon and ends with the worker."""
    return Grader(MathGrader(marker), grade_in="process", name="math")
