"""Plain sentences that a reader can quote: what a run keeps getting wrong, and what the memory did about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from meds_rl.report.course import Course, has_memory
from meds_rl.report.errors import Error
from meds_rl.report.source import RunData
from meds_rl.report.text import prompt_words, shortened

UNNAMED = ("other",)
"""Strategies that name no way of working: what a task's reader did not recognise."""

NOTICEABLE = 0.02
"""A smaller change of a share is none."""

LONGEST = 160
"""Of a prompt or answer in a sentence, in characters."""


def headlines(
    run: RunData,
    errors: Sequence[Error],
    ways: Sequence[Mapping[str, Any]],
    lines: Course,
    prompt_text: Mapping[str, str],
) -> list[str]:
    """The sentences about one run.

    Args:
        run: The run.
        errors: Its errors.
        ways: Its errors across prompts.
        lines: Its course of training.
        prompt_text: Prompt id -> text, of the prompts of ``errors``.
    """
    if not len(run.rollouts):
        return []
    if not len(run.wrong):
        return [f"None of the {len(run.rollouts):,} completions is wrong."]
    sentences = [_most_repeated_way(run, ways), _largest_error(errors, prompt_text)]
    sentences += [_repeats(lines), _penalty(run)]
    return [sentence for sentence in sentences if sentence]


def _most_repeated_way(run: RunData, ways: Sequence[Mapping[str, Any]]) -> str:
    # A way that comes in one prompt only is the largest single error's business.
    named = [way for way in ways if way["name"] not in UNNAMED and way["prompts"] > 1]
    if not named:
        return ""
    way = named[0]
    what = "The most repeated error is" if way["kind"] == "strategy" else "The most frequent wrong answer is"
    # What no reader recognises is no error one could name, but where it is most of them the reader must know.
    unnamed = sum(each["share"] for each in ways if each["name"] in UNNAMED)
    rest = f"; {_percent(unnamed)} follow no way that the task knows" if unnamed > way["share"] else ""
    return (
        f"{what} “{way['name']}”: {way['count']:,} of {len(run.wrong):,} wrong completions ({_percent(way['share'])}), "
        f"in {way['prompts']:,} of {run.rollouts['prompt_id'].nunique():,} prompts{rest}."
    )


def _largest_error(errors: Sequence[Error], prompt_text: Mapping[str, str]) -> str:
    single = [error for error in errors if error.kind in ("answer", "no_answer") and error.by == "answer"]
    if not single:
        return ""
    error = max(single, key=lambda error: len(error.rows))
    prompt = shortened(" ".join(prompt_words(prompt_text[error.prompt_id]).split()), LONGEST)
    what = (
        "no answer at all" if error.kind == "no_answer" else f"the answer “{shortened(error.name, LONGEST)}”"
    )
    sentence = (
        f"The largest single error: to “{prompt}” it gave {what} {len(error.rows):,} times, "
        f"{_percent(error.share_of_prompt)} of that prompt's wrong completions"
    )
    strategies = error.to_dict()["strategies"]
    if strategies and strategies[0][0] not in UNNAMED:
        sentence += f", mostly by “{strategies[0][0]}”"
    return f"{sentence}; steps {error.life.born} to {error.life.last}, {error.life.state}."


def _repeats(lines: Course) -> str:
    """The first third is left out: where nothing came before, nothing can repeat."""
    points = lines.get(("repeated", "answer"), {})
    if not points:
        return ""
    steps, values = np.array(list(points)), np.array(list(points.values()))
    end = steps.max() + 1
    middle = values[(steps >= end / 3) & (steps < 2 * end / 3)]
    last = values[steps >= 2 * end / 3]
    if not len(middle) or not len(last):
        return ""
    trend = (
        "more"
        if last.mean() > middle.mean() + 0.01
        else "less"
        if last.mean() < middle.mean() - 0.01
        else None
    )
    compared = f"{trend} than" if trend else "as much as"
    return (
        f"In the last third of training {_percent(last.mean())} of the wrong completions repeated a wrong answer of an "
        f"earlier batch, {compared} in the middle third ({_percent(middle.mean())})."
    )


def _penalty(run: RunData) -> str:
    if not has_memory(run):
        return ""
    penalties = run.rollouts["penalty"].to_numpy(dtype=np.float64)[run.wrong]
    return (
        f"The memory took {penalties.mean():.3f} from a wrong completion on average; "
        f"{_percent((penalties > 0).mean())} of them lost something, at most {penalties.max():.3f}."
    )


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"
