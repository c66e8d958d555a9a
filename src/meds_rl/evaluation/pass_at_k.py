"""pass@k: the chance that at least one of k completions is right."""

from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray


@overload
def pass_at_k(n: int, c: int, k: int) -> float: ...
@overload
def pass_at_k(n: ArrayLike, c: ArrayLike, k: ArrayLike) -> float | NDArray[np.float64]: ...
def pass_at_k(n: ArrayLike, c: ArrayLike, k: ArrayLike) -> float | NDArray[np.float64]:
    """Unbiased estimate of pass@k from n completions of which c are right: 1 - C(n - c, k) / C(n, k).

    The fraction of the k-subsets of the n completions that contain a right one (Chen et al. 2021, arXiv 2107.03374).
    The ratio is a product of min(c, k) factors, summed as logarithms, so that nothing overflows and tiny results keep
    their digits: at n = 100,000 the relative error is below 1e-12.

    Args:
        n: Completions sampled per problem, >= 1. Scalar or array; n, c and k broadcast.
        c: How many of them are right, 0 <= c <= n.
        k: How many are drawn, 1 <= k <= n.

    Returns:
        A float in [0, 1] for three scalars, else float64 of the broadcast shape.

    Example:
        >>> round(pass_at_k(4, 1, 2), 4)
        0.5
        >>> pass_at_k(16, [0, 1, 16], 1).round(4).tolist()
        [0.0, 0.0625, 1.0]
    """
    counts = [_integers(name, value) for name, value in (("n", n), ("c", c), ("k", k))]
    n_, c_, k_ = np.broadcast_arrays(*counts)
    rules = {
        "k must be 1 or more": k_ >= 1,
        "k must be at most n": k_ <= n_,
        "c must be from 0 to n": (c_ >= 0) & (c_ <= n_),
    }
    for rule, holds in rules.items():
        if not holds.all():
            at = np.unravel_index(int(np.argmin(holds)), holds.shape)
            raise ValueError(f"{rule}, got n={n_[at]}, c={c_[at]}, k={k_[at]}")
    values = [_pass_at_k(*row) for row in zip(n_.flat, c_.flat, k_.flat, strict=True)]
    return values[0] if n_.ndim == 0 else np.array(values, dtype=np.float64).reshape(n_.shape)


def pass_at_every_k(n: int, c: int) -> NDArray[np.float64]:
    """(n,) `pass_at_k` of k = 1..n for one problem, in one pass; the value for k at index k - 1.

    Example:
        >>> pass_at_every_k(4, 1).round(4).tolist()
        [0.25, 0.5, 0.75, 1.0]
    """
    if n < 1 or not 0 <= c <= n:
        raise ValueError(f"n must be 1 or more and c from 0 to n, got n={n}, c={c}")
    # Each k adds the factor (n - c - k + 1) / (n - k + 1); above k = n - c every draw contains a right one.
    rest = np.arange(n, c, -1)
    values = np.ones(n)
    values[: n - c] = -np.expm1(np.cumsum(np.log1p(-c / rest)))
    values[0] = c / n
    return values + 0.0  # -0.0 where none is right


def _pass_at_k(n: int, c: int, k: int) -> float:
    """1 - product over i of (n - more - i) / (n - i), i = 0 .. fewer - 1."""
    # C(n-c, k) / C(n, k) = (n-c)! (n-k)! / ((n-c-k)! n!) is symmetric in c and k.
    fewer, more = sorted((int(c), int(k)))
    if fewer == 0:  # c: none is right (the sum below would give -0.0)
        return 0.0
    if fewer + more > n:
        return 1.0
    if fewer == 1:  # pass@1 is c / n to the last bit
        return int(more) / int(n)
    factors = np.log1p(-more / np.arange(n - fewer + 1, n + 1))
    return float(-np.expm1(factors.sum()))


def _integers(name: str, value: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(value)
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be an integer or an array of integers, got dtype {array.dtype}")
    if array.size and array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must be below 2**63, got {array.max()}")
    return array.astype(np.int64)
