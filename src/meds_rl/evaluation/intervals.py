"""Confidence intervals over problems, by the bootstrap."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

NUM_RESAMPLES = 10_000
_BLOCK = 1_000  # resamples at a time: memory does not grow with their number


@dataclass(frozen=True)
class Estimate:
    """A value and the ends of its interval, which are None if there is no interval (a single problem)."""

    value: float
    low: float | None = None
    high: float | None = None


def bootstrap_ratio(
    numerators: ArrayLike,
    denominators: ArrayLike,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    num_resamples: int = NUM_RESAMPLES,
) -> list[Estimate]:
    """K ratios sum_p a_pk / sum_p b_pk over P problems, with percentile intervals over problems.

    P problems are drawn with replacement, `num_resamples` times, the same draws for all K ratios; an interval ends at
    the (1 - level)/2 and (1 + level)/2 quantiles. With b = 1 the ratios are means over problems.

    The interval describes how a ratio varies with other problems of the kind, given the samples of each. It is a little
    narrow for few problems (30 problems: by a few percent). If all problems agree its width is 0, which does not mean
    certainty; a single problem has none. Draws with the denominator 0 are left out; a ratio whose denominator is 0 is 0
    and has no interval.

    Args:
        numerators: (P,) or (P, K), finite.
        denominators: (P,), (P, K) or a scalar, finite, 0 or more.
        rng: Draws the problems.
        level: Of confidence, in (0, 1).

    Example:
        >>> bootstrap_ratio([0.0, 1.0, 1.0, 0.0], 1.0, np.random.default_rng(0))
        [Estimate(value=0.5, low=0.0, high=1.0)]
        >>> bootstrap_ratio([0.25], 1.0, np.random.default_rng(0))
        [Estimate(value=0.25, low=None, high=None)]
    """
    if not 0 < level < 1 or num_resamples < 1:
        raise ValueError(f"level must lie in (0, 1) and num_resamples be 1 or more, got {level}, {num_resamples}")
    above = np.asarray(numerators, dtype=np.float64)
    above = above[:, None] if above.ndim == 1 else above
    if above.ndim != 2 or not len(above):
        raise ValueError(f"numerators must be (P,) or (P, K) of one problem or more, got shape {above.shape}")
    below = np.asarray(denominators, dtype=np.float64)
    below = np.broadcast_to(below[:, None] if below.ndim == 1 else below, above.shape)
    if not np.isfinite(above).all():
        raise ValueError(f"numerators must be finite, got {above[~np.isfinite(above)][0]}")
    bad = ~np.isfinite(below) | (below < 0)
    if bad.any():
        raise ValueError(f"denominators must be finite and 0 or more, got {below[bad][0]}")
    values = _divide(above.sum(0), below.sum(0))
    n = len(above)
    if n == 1:
        return [Estimate(float(np.nan_to_num(value))) for value in values]
    drawn = []
    for start in range(0, num_resamples, _BLOCK):
        size = min(_BLOCK, num_resamples - start)
        times = rng.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)
        drawn.append(_divide(times @ above, times @ below))
    tails, columns = [(1 - level) / 2, (1 + level) / 2], np.concatenate(drawn).T
    return [_estimate(value, column, tails) for value, column in zip(values, columns, strict=True)]


def _divide(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)
    return ratio


def _estimate(value: float, drawn: NDArray[np.float64], tails: list[float]) -> Estimate:
    drawn = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not len(drawn):
        return Estimate(float(np.nan_to_num(value)))
    low, high = np.quantile(drawn, tails)
    return Estimate(float(value), float(low), float(high))
