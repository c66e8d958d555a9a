"""The control that looks at nothing but the answer: equal answers have equal vectors, and only they."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import shake_256

import numpy as np
from numpy.typing import NDArray

from meds_rl.fingerprint import text_embedding
from meds_rl.fingerprint.answer import extract_answer

NUM_FEATURES = 32


def normalized_answer(answer: str) -> str:
    r"""The answer without white space and dollar signs around it, and with single spaces within.

    Two spellings of one number stay two answers: this counts strings, it does not do mathematics.

    Example:
        >>> normalized_answer(" $ 3   apples$ ")
        '3 apples'
    """
    return " ".join(answer.strip().strip("$").split())


def answer_vectors(answers: Sequence[str | None], num_features: int = NUM_FEATURES) -> NDArray[np.float32]:
    """Unit vectors that tell which answer was given and nothing else.

    The numbers are a hash (SHAKE-256) of the normalised text, the same on every machine. Vectors of two different
    answers are about sqrt(2) apart, give or take .2 at 32 features; one of any two answers is as near as another.

    Args:
        answers: B texts; None for no answer.
        num_features: D >= 2.

    Returns:
        (B, D) float32 of length 1, a row of NaN where there is no answer.

    Raises:
        ValueError: `num_features` is below 2.

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


# ---- Fingerprints of the text and not of the model, by name.


def text_features(name: str, texts: Sequence[str], marker: str) -> NDArray[np.float32]:
    """Fingerprints of completions by their text.

    Args:
        name: "answer_string" or "text_embedding".
        texts: B completions.
        marker: how answers are marked: "boxed", "answer_tag" or "hashes".

    Returns:
        (B, D) float32, a row of NaN where there is no answer.

    Raises:
        ValueError: another name.
        ImportError: the embedding's package is missing.

    Example:
        >>> texts = [r"so \\boxed{3}", r"\\boxed{3}, then", "no idea"]
        >>> features = text_features("answer_string", texts, "boxed")
        >>> bool((features[0] == features[1]).all()), bool(np.isnan(features[2]).all())
        (True, True)
    """
    return vectors_of(name, texts, [extract_answer(text, marker) for text in texts])


def vectors_of(name: str, texts: Sequence[str], answers: Sequence[str | None]) -> NDArray[np.float32]:
    """The same where the answers (B,) are known; None for no answer."""
    if name == "answer_string":
        return answer_vectors(list(answers))
    if name != "text_embedding":
        raise ValueError(f"a fingerprint of the text is answer_string or text_embedding; got {name!r}.")
    features = np.full((len(answers), text_embedding.NUM_FEATURES), np.nan, dtype=np.float32)
    rows = [row for row, answer in enumerate(answers) if answer is not None]
    features[rows] = text_embedding.embed_texts([texts[row] for row in rows])
    return features
