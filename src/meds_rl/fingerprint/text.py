"""A control that reads only the answer's text: equal answers have equal vectors, different answers different ones."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import shake_256

import numpy as np
from numpy.typing import NDArray

NUM_FEATURES = 32


def normalized_answer(answer: str) -> str:
    r"""The answer without white space and dollar signs around it, and with single spaces within.

    It compares strings, not numbers: "0.5" and "1/2" are two answers.

    Example:
        >>> normalized_answer(" $ 3   apples$ ")
        '3 apples'
    """
    return " ".join(answer.strip().strip("$").split())


def answer_vectors(answers: Sequence[str | None], num_features: int = NUM_FEATURES) -> NDArray[np.float32]:
    """Unit vectors (B, D) float32 that encode which answer was given and nothing else; NaN for no answer (None).

    The numbers are a hash (SHAKE-256) of the normalised text, the same on every machine. The vectors of any two
    different answers are about sqrt(2) apart, plus or minus .2 at 32 features. ValueError for `num_features` below 2.

    Example:
        >>> vectors = answer_vectors(["12", " 12 ", "21", None])
        >>> bool((vectors[0] == vectors[1]).all()), bool((vectors[0] == vectors[2]).any())
        (True, False)
        >>> np.isnan(vectors[3]).all().item()
        True
    """
    if num_features < 2:
        raise ValueError(f"num_features must be at least 2, got {num_features}")
    vectors = np.full((len(answers), num_features), np.nan, dtype=np.float32)
    for row, answer in enumerate(answers):
        if answer is not None:
            digest = shake_256(normalized_answer(answer).encode("utf-8", "surrogatepass")).digest(4 * num_features)
            # Half a step is added, so that no number is 0 and the vector has a length.
            numbers = np.frombuffer(digest, dtype="<u4") + 0.5 - 2.0**31
            vectors[row] = numbers / np.sqrt(np.sum(numbers**2))
    return vectors
