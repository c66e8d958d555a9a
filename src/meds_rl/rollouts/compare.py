"""Grades the samples that an evaluation did not grade one by one, by comparing their answers with the reference.

lm-evaluation-harness grades only the first sample of a document; lighteval gives all samples of a document one figure.
The comparison is used only in files where it agrees with every grade of the program.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meds_rl.fingerprint.answer import extract_answer
from meds_rl.fingerprint.locate import MARKERS
from meds_rl.fingerprint.text import normalized_answer
from meds_rl.rollouts.grading import Grading, Numbers

LEAST_CASES = 5
"""The comparison needs this many grades of the program to agree with, in each file, one of them above 0."""

_FIGURE = re.compile(r"(?<!g-)(avg|pass)@(\d+|[kn])\b(.*)", re.DOTALL)
_OTHERS = re.compile(r"maj@|g-pass@")


class Reference(NamedTuple):
    """What is known about one of several completions of a document.

    Attributes:
        answers: the right answers, normalised.
        document: number of the document, if the program's grade covers this completion; else None.
        figure: one grade for all completions that it covers; None if the completion has a grade of its own.
        k: the figure is pass@k: with k = 1 the average, with k the number of completions whether any is right.
    """

    answers: tuple[str, ...]
    document: int | None = None
    figure: float | None = None
    k: int = 1


def reference_answers(references: Iterable[Any]) -> tuple[str, ...]:
    r"""The right answers, normalised; from a worked solution, the answer that it marks.

    Example:
        >>> reference_answers([" 42 ", "6 * 7 = 42, so\n#### 43", r"it is \boxed{44}", None])
        ('42', '43', '44')
    """
    texts = [text for text in references if isinstance(text, str)]
    marked = [next(filter(None, (extract_answer(text, marker) for marker in MARKERS)), text) for text in texts]
    return tuple(filter(None, map(normalized_answer, marked)))


def figure_of(name: str, num_samples: int) -> tuple[int, int] | None:
    """Which figure lighteval's metric gives for a document: pass@k of the first n samples, as (k, n); None for others.

    Example:
        >>> figure_of("avg@n:n=4", 16), figure_of("pass@k:k=2&n=8", 8), figure_of("math_pass@1:4_samples", 4)
        ((1, 4), (2, 8), (1, 4))
        >>> figure_of("extractive_match", 16), figure_of("maj@n:n=16", 16)
        ((16, 16), None)
    """
    found = _FIGURE.search(name)
    if found is None:  # the best of all samples
        return None if _OTHERS.search(name) else (num_samples, num_samples)
    kind, given, rest = found.groups()
    n = _number(r"\bn=(\d+)|\b(\d+)_samples", rest, num_samples)
    k = 1 if kind == "avg" else _number(r"\bk=(\d+)", rest, int(given) if given.isdecimal() else 1)
    return (k, n) if 1 <= k <= n <= num_samples else None


def _number(pattern: str, text: str, default: int) -> int:
    found = re.search(pattern, text)
    return default if found is None else int(next(filter(None, found.groups()))[:9])


@dataclass(frozen=True)
class Cases:
    """How far the comparison agrees with the program's grades.

    Attributes:
        completions: number of completions that the program did not grade one by one.
        answered: how many of these have an answer.
        cases: number of the program's grades, of a completion or of a document.
        agreed, right: how many of these the comparison agrees with, and how many are above 0.
        files: numbers of the files.
    """

    completions: int = 0
    answered: int = 0
    cases: int = 0
    agreed: int = 0
    right: int = 0
    files: tuple[int, ...] = ()

    def __add__(self, other: Cases) -> Cases:
        return Cases(
            self.completions + other.completions,
            self.answered + other.answered,
            self.cases + other.cases,
            self.agreed + other.agreed,
            self.right + other.right,
            self.files + other.files,
        )

    @property
    def is_confirmed(self) -> bool:
        """Whether the comparison can be relied on."""
        return self.agreed == self.cases >= LEAST_CASES and self.right > 0 and self.answered > 0


@dataclass(frozen=True)
class Comparison:
    """What comparing with the references gives.

    Attributes:
        is_correct: (N,) 1 right, 0 wrong, for completions without a grade in files where the comparison is confirmed;
            NaN for all others.
        used, refused: the files where it is confirmed, and those where it is not.
    """

    is_correct: Numbers
    used: Cases = Cases()
    refused: Cases = Cases()

    def complete(self, grading: Grading) -> Grading:
        """The grading, completed by the comparison. A compared completion gets the reward that right ones (or wrong
        ones) have."""
        if not self.used.completions:
            return grading
        known = np.isfinite(grading.is_correct) & np.isfinite(grading.rewards)
        right = grading.rewards[known & (grading.is_correct == 1)].max(initial=-math.inf)
        wrong = grading.rewards[known & (grading.is_correct == 0)].min(initial=math.inf)
        compared = np.isfinite(self.is_correct)
        values = np.where(
            self.is_correct == 1, right if math.isfinite(right) else 1.0, wrong if math.isfinite(wrong) else 0.0
        )
        return replace(
            grading,
            is_correct=np.where(compared, self.is_correct, grading.is_correct),
            rewards=np.where(compared, values, grading.rewards),
            right=f"{grading.right}, or the answer equals the reference where the program gives no grade",
        )

    def notes(self) -> list[str]:
        """Notes for the reader: how many completions were compared, or why they were not."""
        used, refused = self.used, self.refused
        notes = []
        if used.completions:
            notes.append(
                f"{_completions(used)} compared with the reference; the comparison agrees with the program's grade in "
                f"{used.agreed:,} of {used.cases:,} cases."
            )
        if refused.completions:
            why = _why_not(refused) if refused.answered else "no answer is found in them."
            notes.append(
                f"{_completions(refused)} not compared with the reference: {why} "
                "Say how answers are marked with --answer-marker or --answer-pattern."
            )
        return notes


def _why_not(refused: Cases) -> str:
    return (
        f"the comparison agrees with the program's grade in {refused.agreed:,} of {refused.cases:,} cases, of which "
        f"{refused.right:,} say right. It is used if a file has at least {LEAST_CASES}, one of them says right, and it "
        "agrees in all."
    )


def _completions(cases: Cases) -> str:
    plural, verb = ("", "was") if cases.completions == 1 else ("s", "were")
    return f"{cases.completions:,} completion{plural} that the program did not grade {verb}"


def compare(
    is_correct: Numbers,
    answers: Sequence[str | None],
    references: Sequence[tuple[str, ...]],
    numbers: dict[str, Numbers],
) -> Comparison:
    """Compare the answers of N completions with the references.

    Args:
        is_correct: (N,) the program's grades; NaN for none.
        answers: N, None for none.
        references: right answers, each set once.
        numbers: (N,) each: `reference` is a place in `references` and -1 for none; `file`; `document`, `figure` and
            `k` as in `Reference`, NaN for none.
    """
    rows = np.flatnonzero(numbers["reference"] >= 0)
    equal = np.full(len(is_correct), np.nan)
    if not len(rows):
        return Comparison(equal)
    places = numbers["reference"][rows].astype(np.int64)
    for row, place in zip(rows.tolist(), places.tolist(), strict=True):
        answer = answers[row]
        equal[row] = answer is not None and normalized_answer(answer) in references[place]
    ungraded = np.isfinite(equal) & np.isnan(is_correct)
    answered = ungraded & np.array([answer is not None for answer in answers], dtype=bool)
    found = Comparison(np.full(len(is_correct), np.nan))
    for file in np.unique(numbers["file"][ungraded]):
        here = numbers["file"] == file
        cases = _cases(here & np.isfinite(equal), equal, is_correct, numbers)
        completions, num_answered = int((here & ungraded).sum()), int((here & answered).sum())
        cases = replace(cases, completions=completions, answered=num_answered, files=(int(file),))
        if cases.is_confirmed:
            compared = np.where(here & ungraded, equal, found.is_correct)
            found = replace(found, is_correct=compared, used=found.used + cases)
        else:
            found = replace(found, refused=found.refused + cases)
    return found


def _cases(rows: NDArray[np.bool_], equal: Numbers, is_correct: Numbers, numbers: dict[str, Numbers]) -> Cases:
    """The program's grades among these rows."""
    figures = np.where(np.isfinite(numbers["figure"]), numbers["figure"], is_correct)
    rows = rows & np.isfinite(numbers["document"]) & np.isfinite(figures)
    _, first, which, num = np.unique(
        numbers["document"][rows], return_index=True, return_inverse=True, return_counts=True
    )
    num_right = np.bincount(which, weights=equal[rows], minlength=len(first))
    ks, figures = numbers["k"][rows][first], figures[rows][first]
    pairs = zip(num.tolist(), num_right.tolist(), ks.tolist(), strict=True)
    expected = np.array([_pass_at_k(n, int(c), int(k)) for n, c, k in pairs])
    agreed = np.abs(expected - figures) < 1e-6
    return Cases(cases=len(first), agreed=int(agreed.sum()), right=int((figures > 0).sum()))


def _pass_at_k(n: int, c: int, k: int) -> float:
    return 1 - math.comb(n - c, k) / math.comb(n, k) if k <= n else math.nan
