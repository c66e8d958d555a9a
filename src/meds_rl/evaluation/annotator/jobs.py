"""The annotator's two jobs on a set of completions: how different they are, and what went wrong in each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meds_rl.evaluation.annotator.categories import Category
from meds_rl.evaluation.annotator.questions import Question, diversity_question, strategy_question
from meds_rl.evaluation.diversity.completions import Completions
from meds_rl.evaluation.diversity.subsample import subsample


class ScoreJob(NamedTuple):
    """Questions for a score of diversity.

    Attributes:
        problem_ids: The problem of each question.
        questions: As many.
    """

    problem_ids: list[str]
    questions: list[Question]


class LabelJob(NamedTuple):
    """Questions for a label.

    Attributes:
        rows: The completion of each question.
        questions: As many.
    """

    rows: list[int]
    questions: list[Question]


def score_job(
    completions: Completions,
    wanted: NDArray[np.bool_],
    *,
    max_problems: int,
    max_completions: int,
    rng: np.random.Generator,
) -> ScoreJob:
    """One question for each of at most so many problems with two wanted completions or more.

    Args:
        completions: B completions.
        wanted: (B,) those to look at.
        max_problems, max_completions: Draws so many problems, and of each so many completions.
        rng: Draws.
    """
    problems = [rows[wanted[rows]] for rows in completions.by_problem()]
    problems = [rows for rows in problems if len(rows) > 1]
    names, questions = [], []
    for place in subsample(len(problems), max_problems, rng):
        rows = problems[place][subsample(len(problems[place]), max_completions, rng)]
        names.append(completions.problem_ids[rows[0]])
        texts = [completions.texts[row] for row in rows]
        questions.append(diversity_question(problem_text(completions.prompts[rows[0]]), texts))
    return ScoreJob(names, questions)


def label_job(
    completions: Completions,
    wanted: NDArray[np.bool_],
    categories: Sequence[Category],
    *,
    max_completions: int,
    max_per_problem: int,
    rng: np.random.Generator,
) -> LabelJob:
    """One question for each of at most so many wanted completions.

    Problem after problem in random order, so that there are several of a problem: labels are compared within problems.
    """
    problems = [rows[wanted[rows]] for rows in completions.by_problem()]
    chosen: list[int] = []
    for place in rng.permutation(len(problems)).tolist():
        drawn = subsample(len(problems[place]), max_per_problem, rng)
        chosen += problems[place][drawn].tolist()
    rows = chosen[:max_completions]
    return LabelJob(
        rows,
        [
            strategy_question(problem_text(completions.prompts[row]), completions.texts[row], categories)
            for row in rows
        ],
    )


def problem_text(prompt: str) -> str:
    """What the user asks in a prompt: the contents of the user's messages where it is chat messages as JSON.

    Example:
        >>> problem_text('[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]')
        '2 + 2?'
        >>> problem_text("[1, 2] has how many entries?")
        '[1, 2] has how many entries?'
    """
    try:
        messages = json.loads(prompt)
    except (ValueError, RecursionError):
        return prompt
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        return prompt
    contents = [message.get("content") for message in messages if message.get("role") == "user"]
    return "\n\n".join(text for text in contents if isinstance(text, str)) or prompt
