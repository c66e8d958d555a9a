"""Fingerprints of the text and not of the model, by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from meds_rl.fingerprint import answer_string, extract_answer, text_embedding


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
        return answer_string.answer_vectors(list(answers))
    if name != "text_embedding":
        raise ValueError(f"a fingerprint of the text is answer_string or text_embedding; got {name!r}.")
    features = np.full((len(answers), text_embedding.NUM_FEATURES), np.nan, dtype=np.float32)
    rows = [row for row, answer in enumerate(answers) if answer is not None]
    features[rows] = text_embedding.embed_texts([texts[row] for row in rows])
    return features
