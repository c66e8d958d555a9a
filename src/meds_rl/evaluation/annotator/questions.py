"""What the annotator is asked, and how its reply is read."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from string import Template

from meds_rl.evaluation.annotator.categories import Category
from meds_rl.evaluation.annotator.quoting import mark_for, quoted

LOWEST_SCORE, HIGHEST_SCORE = 1, 5
SOLUTION_CHARACTERS = 6_000
SOLUTION_CHARACTERS_AMONG_OTHERS = 1_500
PROBLEM_CHARACTERS = 4_000
_END_OF_THOUGHTS = "</think>"
_DECORATION = r"[\s*_`#\"'>]*"  # emphasis, code, headings, quotations


@dataclass(frozen=True)
class Question:
    """One question to the annotator.

    Attributes:
        prompt: The whole of it, one user message.
        again: What follows a reply that is not of the form asked for.
        read: A reply to its value; None if it is not of that form.
    """

    prompt: str
    again: str
    read: Callable[[str], int | None]


def diversity_question(
    problem: str, completions: Sequence[str], *, max_characters: int = SOLUTION_CHARACTERS_AMONG_OTHERS
) -> Question:
    """How different completions of one problem are, from 1 (all alike) to 5 (each its own way).

    The prompt and the meaning of each score stand in `prompts/diversity.txt`.

    Args:
        problem: The problem.
        completions: Two or more.
        max_characters: Of each completion so many are shown.

    Raises:
        ValueError: Fewer than two completions.
    """
    if len(completions) < 2:
        raise ValueError(f"there must be two completions or more to compare, got {len(completions)}")
    mark = mark_for([problem, *completions])
    solutions = "\n\n".join(
        f"{mark} SOLUTION {number}\n{quoted(text, max_characters)}\n{mark} END OF SOLUTION {number}"
        for number, text in enumerate(completions, start=1)
    )
    prompt = _template("diversity").substitute(
        mark=mark,
        problem=quoted(problem, PROBLEM_CHARACTERS),
        solutions=solutions,
        count=len(completions),
    )
    return Question(
        prompt,
        _template("diversity_again").substitute(),
        lambda reply: read_number(reply, "score", LOWEST_SCORE, HIGHEST_SCORE),
    )


def strategy_question(
    problem: str,
    completion: str,
    categories: Sequence[Category],
    *,
    max_characters: int = SOLUTION_CHARACTERS,
) -> Question:
    """Which category the first mistake of a wrong completion falls into; the value is its place in the list, from 0.

    The prompt stands in `prompts/strategy.txt`.
    """
    mark = mark_for([problem, completion])
    listed = "\n".join(
        f"{number}. {category.name}: {category.meaning}"
        for number, category in enumerate(categories, start=1)
    )
    prompt = _template("strategy").substitute(
        mark=mark,
        categories=listed,
        problem=quoted(problem, PROBLEM_CHARACTERS),
        solution=quoted(completion, max_characters),
        count=len(categories),
    )

    def read(reply: str) -> int | None:
        number = read_number(reply, "category", 1, len(categories))
        return None if number is None else number - 1

    return Question(prompt, _template("strategy_again").substitute(count=len(categories)), read)


def read_number(reply: str, name: str, lowest: int, highest: int) -> int | None:
    """The number of a reply that is one line `Name: number`, and nothing else; None for any other reply.

    Capital letters, spaces and marks of emphasis, code or quotation (`**`, backticks) do not matter, nor does a full
    stop at the end. The thoughts of a reasoning model, up to the last `</think>`, are left out; whether `<think>`
    stands before them depends on the server.

    Example:
        >>> read_number("Score: 4", "score", 1, 5), read_number("<think>4?</think> **score:** 3", "score", 1, 5)
        (4, 3)
        >>> read_number("Score: 9", "score", 1, 5), read_number("I say: Score: 4", "score", 1, 5)
        (None, None)
    """
    line = reply.rpartition(_END_OF_THOUGHTS)[2]
    pattern = rf"{_DECORATION}{name}{_DECORATION}:{_DECORATION}([0-9]{{1,4}})\.?{_DECORATION}"
    found = re.fullmatch(pattern, line, re.IGNORECASE)
    if found is None:
        return None
    number = int(found[1])
    return number if lowest <= number <= highest else None


@lru_cache
def _template(name: str) -> Template:
    text = (files(__package__) / "prompts" / f"{name}.txt").read_text(encoding="utf-8")
    return Template(text.strip())
