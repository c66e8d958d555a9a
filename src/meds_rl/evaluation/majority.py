"""maj@k: the probability that the most common answer of k completions is right."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import comb
from typing import overload

import numpy as np
from numpy.typing import NDArray

MAX_COMPLETIONS = 1_024  # of one problem: up to C(1024, 512) the number of subsets is a float64


@overload
def maj_at_k(answers: Sequence[str | None], is_correct: Sequence[bool], k: int) -> float: ...
@overload
def maj_at_k(answers: Sequence[str | None], is_correct: Sequence[bool], k: None = None) -> NDArray[np.float64]: ...
def maj_at_k(
    answers: Sequence[str | None], is_correct: Sequence[bool], k: int | None = None
) -> float | NDArray[np.float64]:
    """Unbiased estimate of maj@k from n completions of one problem: how often the majority of k of them is right.

    The expectation over all C(n, k) subsets with ties broken uniformly at random; exact (to about 1e-12), not
    simulated. Completions without an answer do not vote, right ones either; without any vote the result is wrong. All
    right answers are one candidate, however they are written; wrong ones are candidates by their text.

    With r right answers, w_i with wrong answer i, and z without an answer, the number of subsets in which the right
    answer gets j votes, t wrong answers get j votes, and the others fewer, is the coefficient of x^k y^t in

        C(r, j) x^j (1 + x)^z prod_i (sum_{m<j} C(w_i, m) x^m + y C(w_i, j) x^j),

    each weighted by 1/(t + 1), the integral of y^t from 0 to 1, which Gauss-Legendre quadrature gives exactly. All
    terms are positive, so nothing cancels.

    Args:
        answers: n <= 1,024 final answers, None where there is none.
        is_correct: n values.
        k: number of votes, 1 to n; None for an (n,) array of all, with the value for k at index k - 1.

    Example:
        >>> maj_at_k(["7", "7", "5", None], [True, True, False, False], 1)
        0.5
        >>> maj_at_k(["7", "7", "5", None], [True, True, False, False]).round(4).tolist()
        [0.5, 0.6667, 0.75, 1.0]
    """
    n = len(answers)
    if n != len(is_correct):
        raise ValueError(f"answers and is_correct must have the same length, got {n} and {len(is_correct)}")
    if not 1 <= n <= MAX_COMPLETIONS:
        raise ValueError(f"maj@k takes 1 to {MAX_COMPLETIONS} completions of a problem, got {n}")
    if k is not None and (isinstance(k, (bool, np.bool_)) or not isinstance(k, (int, np.integer))):
        raise TypeError(f"k must be an integer, got {k!r}")
    if k is not None and not 1 <= k <= n:
        raise ValueError(f"k must be in 1..{n}, the number of completions, got {k}")
    votes = [(answer, good) for answer, good in zip(answers, is_correct, strict=True) if answer is not None]
    right = sum(bool(good) for _, good in votes)
    wrong = Counter(answer for answer, good in votes if not good)
    values = _every_k(n, right, tuple(sorted(wrong.values(), reverse=True)))
    return values.copy() if k is None else float(values[k - 1])


@lru_cache(maxsize=4_096)  # many problems have the same counts, such as never or always solved ones
def _every_k(n: int, right: int, wrong: tuple[int, ...]) -> NDArray[np.float64]:
    """(n,) maj@k of k = 1..n, from the numbers of votes for the right answer and for each wrong one."""
    won = np.zeros(n + 1)
    for votes in range(1, right + 1):
        rivals = tuple(w for w in wrong if w >= votes)
        beaten = n - right - sum(rivals)  # can never reach as many votes
        others = _wins(rivals, votes)
        if beaten:
            others = np.convolve(others, _row(beaten))
        won[votes : votes + len(others)] += comb(right, votes) * others
    return np.minimum(won[1:] / _row(n)[1:], 1.0)


def _wins(rivals: tuple[int, ...], votes: int) -> NDArray[np.float64]:
    """Coefficients in x of the integral over y, from 0 to 1, of the product over the rivals."""
    points, weights = np.polynomial.legendre.leggauss(len(rivals) // 2 + 1)
    y, weights = (points + 1) / 2, weights / 2
    product = np.ones((len(y), 1))
    for rival in rivals:
        row = _row(rival)
        grown = np.zeros((len(y), product.shape[1] + votes))
        for m in range(votes):
            grown[:, m : m + product.shape[1]] += row[m] * product
        grown[:, votes:] += row[votes] * y[:, None] * product
        product = grown
    summed: NDArray[np.float64] = weights @ product
    return summed


@lru_cache(maxsize=2_048)
def _row(n: int) -> NDArray[np.float64]:
    """(n + 1,) the binomial coefficients C(n, m), each rounded once."""
    return np.array([float(comb(n, m)) for m in range(n + 1)])
