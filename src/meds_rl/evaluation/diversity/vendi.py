"""Vendi score: the effective number of different completions."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.evaluation.diversity.words import ngrams, words


def vendi_score(features: ArrayLike) -> float:
    """exp(-sum_i lambda_i ln lambda_i), lambda the eigenvalues of K / n (Friedman and Dieng 2023, arXiv 2210.02410).

    K is the cosine similarity of the n fingerprints, as they are: they are not centred, so vectors that share a large
    mean are all alike. From 1 (all point one way) to min(n, D). It cannot exceed n: compare sets of equal size.

    Args:
        features: (n, D) finite; rows of NaN (completions without an answer) and zero vectors (no direction) are
            left out.

    Returns:
        The score; NaN without vectors.

    Raises:
        ValueError: Not (n, D), infinite, or a row that is NaN in part.

    Example:
        >>> round(vendi_score([[1, 0], [0, 3], [2, 0], [0, 1]]), 6)  # two directions, equally often
        2.0
        >>> round(vendi_score([[1, 1], [2, 2]]), 6)
        1.0
    """
    vectors = np.asarray(features, dtype=np.float64)
    if vectors.shape == (0,):  # [] has no fingerprints, of whatever width
        vectors = vectors.reshape(0, 0)
    if vectors.ndim != 2:
        raise ValueError(f"features must be (n, D), got shape {vectors.shape}")
    vectors = vectors[~np.isnan(vectors).all(axis=1)] if vectors.size else vectors[:0]
    if not np.isfinite(vectors).all():
        raise ValueError("a fingerprint must be finite throughout, or NaN throughout if there is none")
    largest = np.abs(vectors).max(axis=1, initial=0.0)
    vectors = vectors[largest > 0] / largest[largest > 0, None]  # squares neither overflow nor vanish
    if not len(vectors):
        return math.nan
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    smaller = (
        unit @ unit.T if unit.shape[0] <= unit.shape[1] else unit.T @ unit
    )  # equal eigenvalues but for zeros
    return vendi_score_of_kernel(smaller, num=len(unit))


def vendi_score_of_texts(texts: Sequence[str], max_n: int = 4) -> float:
    """The Vendi score of texts by their wording: K is the cosine of n-gram counts, averaged over n = 1 .. max_n.

    The n-gram kernel of Friedman and Dieng (2023, section on text); words are those of `words`. A text of fewer than n
    words is, for that n, one n-gram of all its words.

    Args:
        texts: n completions of one problem. Memory and time grow with n^2 and n^3: some hundreds are quick.
        max_n: 1 or more.

    Returns:
        From 1 to n; NaN without texts.

    Raises:
        ValueError: max_n below 1.

    Example:
        >>> round(vendi_score_of_texts(["a b c d", "a b c d", "e f g h"]), 4)  # shares 2/3 and 1/3: 3 / 2^(2/3)
        1.8899
    """
    if max_n < 1:
        raise ValueError(f"max_n must be 1 or more, got {max_n}")
    if not texts:
        return math.nan
    tokens = [words(text) for text in texts]
    kernel = sum(_ngram_kernel(tokens, n) for n in range(1, max_n + 1)) / max_n
    return vendi_score_of_kernel(kernel)


def vendi_score_of_kernel(kernel: ArrayLike, num: int | None = None) -> float:
    """The Vendi score of a similarity matrix of your own.

    Args:
        kernel: (n, n) symmetric, positive semi-definite, ones on the diagonal.
        num: n, where the kernel is a smaller matrix with the same eigenvalues other than 0.

    Example:
        >>> round(vendi_score_of_kernel([[1, 0.5], [0.5, 1]]), 4)  # eigenvalues 3/4 and 1/4
        1.7548
    """
    matrix = np.asarray(kernel, dtype=np.float64)
    values = np.linalg.eigvalsh(matrix / (len(matrix) if num is None else num))
    values = values[values > 0]  # 0 ln 0 = 0; below 0 there is rounding only
    return float(np.exp(-(values * np.log(values)).sum()))


def _ngram_kernel(tokens: list[list[str]], n: int) -> NDArray[np.float64]:
    from scipy.sparse import csr_matrix

    numbers: dict[tuple[str, ...], int] = {}
    rows, columns = [], []
    for row, text in enumerate(tokens):
        for gram in ngrams(text, n) or [tuple(text)]:
            rows.append(row)
            columns.append(numbers.setdefault(gram, len(numbers)))
    counts = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(tokens), len(numbers)))
    dot: NDArray[np.float64] = (counts @ counts.T).toarray()
    lengths = np.sqrt(np.diagonal(dot))
    return np.asarray(dot / np.outer(lengths, lengths))
