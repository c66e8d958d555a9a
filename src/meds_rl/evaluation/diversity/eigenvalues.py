"""Top-1 eigenvalue ratio of fingerprints: whether completions differ along one direction or along many."""

import math
from collections.abc import Hashable, Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.evaluation.agreement_by_prompt import rows_by_name

Center: TypeAlias = Literal["problem", "pooled", "none"]
"""What is subtracted: the mean of each "problem", the "pooled" mean of all, or nothing ("none": second moments)."""
Group: TypeAlias = Literal["pooled", "problem"]
"""One "pooled" ratio of all completions, or the mean of one ratio for each "problem"."""

_DENSE = 256  # Above this width one eigenvalue is found by Lanczos iteration instead of all.
_ROUNDING = 64 * np.finfo(np.float64).eps


def top1_eigenvalue_ratio(
    features: ArrayLike,
    problem_ids: Sequence[Hashable] | None = None,
    *,
    center: Center = "problem",
    group: Group = "pooled",
) -> float:
    """Largest eigenvalue of the fingerprints' covariance over the sum of all: lambda_1 / sum_i lambda_i.

    The paper (arXiv 2604.11297, its analysis of diversity) names the measure without saying what is centred and pooled.
    Lower is more diverse: from 1 / min(n - 1, D), spread evenly in all directions, to 1, all on one line. The scale of
    the fingerprints does not matter; features with large values outweigh others.

    - `center="problem", group="pooled"` (default): one covariance within problems; distances between problems do not
      matter.
    - `center="pooled", group="pooled"`: the plain covariance; differences between problems often outweigh those within.
    - `group="problem"`: a ratio for each problem, averaged with equal weight. n completions have a ratio of 1 / (n - 1)
      or more, so few completions per problem give high values; `center` "problem" and "pooled" are then the same.

    `features` are (B, D); rows of NaN (completions without an answer) are left out. `problem_ids` are (B,);
    None: all of one problem. The ratio is NaN without variance (fewer than two fingerprints, of a problem if centred by
    problem, or all equal). Problems without a ratio are left out of the mean.

    Example:
        >>> round(top1_eigenvalue_ratio([[0, 2], [0, -2], [1, 0], [-1, 0]]), 4)  # variances 8 and 2 (x 1/4)
        0.8
        >>> top1_eigenvalue_ratio([[1, 0], [0, 1], [5, 5], [6, 6]], ["a", "a", "b", "b"])  # two lines at right angles
        0.5
        >>> top1_eigenvalue_ratio([[1.0, 2.0]])
        nan
    """
    if center not in ("problem", "pooled", "none"):
        raise ValueError(f'center must be "problem", "pooled" or "none", got {center!r}')
    if group not in ("pooled", "problem"):
        raise ValueError(f'group must be "pooled" or "problem", got {group!r}')
    vectors, places = finite_rows(features)
    if problem_ids is not None and len(problem_ids) != len(np.asarray(features)):
        raise ValueError(f"there are {len(np.asarray(features))} fingerprints and {len(problem_ids)} problem ids")
    # Scaled exactly, by a power of two, so that differences and squares neither overflow nor vanish.
    vectors = np.ldexp(vectors, -int(np.frexp(np.abs(vectors).max(initial=0.0))[1]))
    groups = rows_by_name([0 if problem_ids is None else problem_ids[place] for place in places])
    by_problem = [vectors[rows] for rows in groups.values()] or [vectors]
    if group == "problem":
        ratios = [_ratio(rows if center == "none" else _centred(rows)) for rows in by_problem]
        known = [ratio for ratio in ratios if not math.isnan(ratio)]
        return math.fsum(known) / len(known) if known else math.nan
    if center == "problem":
        return _ratio(np.concatenate([_centred(rows) for rows in by_problem]))
    return _ratio(vectors if center == "none" else _centred(vectors))


def finite_rows(features: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The rows of (n, D) features that are fingerprints, and their places; rows of NaN are left out.

    ValueError for other shapes, infinite values, or a row that is partly NaN.
    """
    vectors = np.asarray(features, dtype=np.float64)
    if vectors.shape == (0,):  # [] has no fingerprints, of any width
        vectors = vectors.reshape(0, 0)
    if vectors.ndim != 2:
        raise ValueError(f"features must be (n, D), got shape {vectors.shape}")
    places = np.flatnonzero(~np.isnan(vectors).all(axis=1))  # of width 0 there are none: all() of nothing
    if not np.isfinite(vectors[places]).all():
        raise ValueError("a fingerprint must be finite throughout, or NaN throughout if there is none")
    return vectors[places], places


def _centred(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows minus their mean; rows that differ only by rounding become exactly 0, as rounding is no direction."""
    if not len(rows):
        return rows
    # Minus the first row first: the mean of equal rows is not always exactly that row.
    centred: NDArray[np.float64] = rows - rows[0]
    centred -= centred.mean(axis=0)
    centred[:, np.abs(centred).max(axis=0) <= _ROUNDING * np.abs(rows).max(axis=0)] = 0.0
    return centred


def _ratio(rows: NDArray[np.float64]) -> float:
    """lambda_1 / trace of rows^T rows."""
    largest = float(np.abs(rows).max(initial=0.0))
    if largest == 0:
        return math.nan
    rows = rows / largest  # squares neither overflow nor vanish
    return min(1.0, _largest_eigenvalue(rows) / float((rows**2).sum()))


def _largest_eigenvalue(rows: NDArray[np.float64]) -> float:
    rows = rows if rows.shape[0] >= rows.shape[1] else rows.T  # rows rows^T has the same eigenvalues
    width = rows.shape[1]
    if width <= _DENSE:
        return float(np.linalg.eigvalsh(rows.T @ rows)[-1])
    from scipy.sparse.linalg import LinearOperator, eigsh

    product = LinearOperator((width, width), matvec=lambda v: rows.T @ (rows @ v), dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(width)
    return float(eigsh(product, k=1, v0=start, return_eigenvectors=False)[0])
