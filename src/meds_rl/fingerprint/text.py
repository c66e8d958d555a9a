"""A control that reads only the answer's text: equal answers have equal vectors, different answers different ones."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import shake_256

import numpy as np
from numpy.typing import NDArray

from meds_rl.fingerprint.answer import extract_answer

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
            vectors[row] = _hashed(normalized_answer(answer), num_features)
    return vectors


def _hashed(text: str, num_features: int) -> NDArray[np.float64]:
    digest = shake_256(text.encode("utf-8", "surrogatepass")).digest(4 * num_features)
    # Half a step added: no number is 0, so neither is the vector's length.
    numbers = np.frombuffer(digest, dtype="<u4") + 0.5 - 2.0**31
    return np.asarray(numbers / np.sqrt(np.sum(numbers**2)), dtype=np.float64)


def text_features(name: str, texts: Sequence[str], marker: str) -> NDArray[np.float32]:
    """`answer_vectors` of the answers in B completions, by the fingerprint's name ("answer_string") and the marker.

    Example:
        >>> texts = [r"so \\boxed{3}", r"\\boxed{3}, then", "no idea"]
        >>> features = text_features("answer_string", texts, "boxed")
        >>> bool((features[0] == features[1]).all()), bool(np.isnan(features[2]).all())
        (True, True)
    """
    if name != "answer_string":
        raise ValueError(f"the only fingerprint of the text is answer_string; got {name!r}.")
    return answer_vectors([extract_answer(text, marker) for text in texts])
