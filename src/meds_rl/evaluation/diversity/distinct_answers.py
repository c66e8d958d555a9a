"""Distinct wrong answers, and the share of wrong completions that only repeat one."""

import math
from collections.abc import Hashable, Iterable, Sequence


def distinct_answers(answers: Sequence[Hashable]) -> int:
    """Number of different answers among the completions of one problem: 0 without completions, at most n.

    Give those of the wrong completions only. None, for "no answer", is an answer like any other. It grows with n:
    compare equal numbers of completions only.

    Example:
        >>> distinct_answers(["60", "60", "7", None])
        3
    """
    return len(set(answers))


def repeated_share(problems: Iterable[Sequence[Hashable]]) -> float:
    """Share of the wrong completions that repeat a wrong answer already given to their problem.

    1 - (sum over problems of distinct answers) / (sum over problems of completions): 0 if no wrong answer comes twice,
    up to 1 - 1/n if n completions give one answer. Each problem's first completion of an answer is none that repeats.

    Args:
        problems: For each problem, the answers of its wrong completions.

    Returns:
        The share; NaN without any completion.

    Example:
        >>> repeated_share([["60", "60", "7", None], ["5"], []])  # 5 wrong completions, 4 distinct
        0.2
    """
    sizes = [(len(answers), distinct_answers(answers)) for answers in problems]
    num = sum(n for n, _ in sizes)
    return (num - sum(distinct for _, distinct in sizes)) / num if num else math.nan
