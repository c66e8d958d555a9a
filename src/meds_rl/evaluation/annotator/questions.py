"""The annotator's questions: their prompts, and how a reply is read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meds_rl.evaluation.diversity.read import Completions
from meds_rl.evaluation.diversity.texts import subsample

LOWEST_SCORE, HIGHEST_SCORE = 1, 5
SOLUTION_CHARACTERS, SOLUTION_CHARACTERS_AMONG_OTHERS, PROBLEM_CHARACTERS = 6_000, 1_500, 4_000

_DECORATION = r"[\s*_`#\"'>]*"  # emphasis, code, headings, quotations
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories: control, format (writing direction, no width, soft hyphen, tags), surrogates, separators."""


class Category(NamedTuple):
    """A kind of mistake, for the annotator."""

    name: str
    meaning: str


@dataclass(frozen=True)
class Question:
    """One question to the annotator."""

    prompt: str  # the whole question, one user message
    again: str  # the reminder after a reply that `read` refuses
    read: Callable[[str], int | None]  # from a reply to its value; None if it has another form


def read_categories(path: str | os.PathLike[str] | None = None) -> list[Category]:
    """Categories from a text file with lines `name: what it means`; lines that start with # are ignored.

    Without a path, the eleven kinds of mathematical mistakes that the library has. ValueError for a line without a name
    or a meaning, a repeated name, or fewer than two categories.

    Example:
        >>> [category.name for category in read_categories()][:3], len(read_categories())
        (['misreading', 'calculation', 'sign or direction'], 11)
    """
    if path is None:
        text = (files(__package__) / "prompts" / "categories.txt").read_text(encoding="utf-8")
    else:
        text = Path(path).read_text(encoding="utf-8-sig")  # editors on Windows write a byte order mark
    found: dict[str, Category] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, meaning = (part.strip() for part in line.partition(":"))
        if not name or not meaning:
            raise ValueError(f'line {number} of the categories must be "name: what it means", got {line[:80]!r}')
        if name in found:
            raise ValueError(f"line {number} of the categories names {name!r} a second time")
        found[name] = Category(name, meaning)
    if len(found) < 2:
        raise ValueError(f"there must be two categories or more, got {len(found)}")
    return list(found.values())


def diversity_question(problem: str, completions: Sequence[str]) -> Question:
    """How different completions of one problem are, from 1 (all alike) to 5 (all different).

    `prompts/diversity.txt` has the prompt and the meaning of each score. 1,500 characters of each completion are shown.
    """
    if len(completions) < 2:
        raise ValueError(f"there must be two completions or more to compare, got {len(completions)}")
    mark = _mark([problem, *completions])
    solutions = "\n\n".join(
        f"{mark} SOLUTION {number}\n{quoted(text, SOLUTION_CHARACTERS_AMONG_OTHERS)}\n{mark} END OF SOLUTION {number}"
        for number, text in enumerate(completions, start=1)
    )
    shown, count = quoted(problem, PROBLEM_CHARACTERS), len(completions)
    return Question(
        _template("diversity").substitute(mark=mark, problem=shown, solutions=solutions, count=count),
        _template("diversity_again").substitute(),
        lambda reply: read_number(reply, "score", LOWEST_SCORE, HIGHEST_SCORE),
    )


def strategy_question(problem: str, completion: str, categories: Sequence[Category]) -> Question:
    """The category of the first mistake of a wrong completion (`prompts/strategy.txt`); the value is its index."""
    count = len(categories)
    prompt = _template("strategy").substitute(
        mark=_mark([problem, completion]),
        categories="\n".join(f"{i}. {one.name}: {one.meaning}" for i, one in enumerate(categories, start=1)),
        problem=quoted(problem, PROBLEM_CHARACTERS),
        solution=quoted(completion, SOLUTION_CHARACTERS),
        count=count,
    )

    def read(reply: str) -> int | None:
        number = read_number(reply, "category", 1, count)
        return None if number is None else number - 1

    return Question(prompt, _template("strategy_again").substitute(count=count), read)


def quoted(text: str, max_characters: int) -> str:
    """A text as the annotator sees it: without invisible characters, and with a mark where it is shortened.

    Control and format characters (other than line breaks and tabs), lone surrogates, and the separators U+2028 and
    U+2029 become U+FFFD. Of a longer text the first three fifths of `max_characters` come from its beginning, the rest
    from its end, where the answer is.

    Example:
        >>> quoted("ring\\x07", 10)
        'ring�'
        >>> quoted("0123456789abcdef", 10)
        '012345\\n[... 6 characters left out ...]\\ncdef'
    """
    if len(text) > max_characters:
        head = max_characters * 3 // 5
        left_out = len(text) - max_characters
        text = f"{text[:head]}\n[... {left_out:,} characters left out ...]\n{text[head - max_characters :]}"
    return "".join(
        "\ufffd" if letter not in "\n\t" and unicodedata.category(letter) in _HIDDEN else letter for letter in text
    )


def _mark(texts: Iterable[str]) -> str:
    """A mark for the lines around quotations: a hash of the texts, so that none of them can contain it."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(f"{len(data)}:".encode() + data)
    return f"#{digest.hexdigest()[:16]}#"


def read_number(reply: str, name: str, lowest: int, highest: int) -> int | None:
    """The number of a reply that consists of one line `Name: number`; None for any other reply.

    Case, spaces, marks of emphasis, code or quotation (`**`, backticks) and a full stop are ignored, and so are a
    reasoning model's thoughts, up to the last `</think>` (not every server sends `<think>`).

    Example:
        >>> read_number("Score: 4", "score", 1, 5), read_number("<think>4?</think> **score:** 3", "score", 1, 5)
        (4, 3)
        >>> read_number("Score: 9", "score", 1, 5), read_number("I say: Score: 4", "score", 1, 5)
        (None, None)
    """
    line = reply.rpartition("</think>")[2]
    pattern = rf"{_DECORATION}{name}{_DECORATION}:{_DECORATION}([0-9]{{1,4}})\.?{_DECORATION}"
    found = re.fullmatch(pattern, line, re.IGNORECASE)
    return int(found[1]) if found and lowest <= int(found[1]) <= highest else None


@lru_cache
def _template(name: str) -> Template:
    text = (files(__package__) / "prompts" / f"{name}.txt").read_text(encoding="utf-8")
    return Template(text.strip())


class ScoreJob(NamedTuple):
    """Questions for scores of diversity, and the problem of each."""

    problem_ids: list[str]
    questions: list[Question]


class LabelJob(NamedTuple):
    """Questions for labels, and the row of each one's completion."""

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
    """One question for each problem with two or more `wanted` (B,) completions; `rng` draws within the limits."""
    problems = [rows[wanted[rows]] for rows in completions.by_problem() if wanted[rows].sum() > 1]
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
    """One question for each of at most `max_completions` that are `wanted` (B,).

    Problems come in random order, all of a problem's completions together, as labels are compared within problems.
    """
    problems = [rows[wanted[rows]] for rows in completions.by_problem()]
    chosen: list[int] = []
    for place in rng.permutation(len(problems)).tolist():
        chosen += problems[place][subsample(len(problems[place]), max_per_problem, rng)].tolist()
    rows = chosen[:max_completions]
    prompts, texts = completions.prompts, completions.texts
    return LabelJob(rows, [strategy_question(problem_text(prompts[row]), texts[row], categories) for row in rows])


def problem_text(prompt: str) -> str:
    """The user's part of a prompt, which is text or chat messages as JSON.

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
