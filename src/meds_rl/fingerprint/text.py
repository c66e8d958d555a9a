"""Fingerprints without a model: of the answer, the steps, the wording, or the outcome that a grader reports."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cache
from hashlib import shake_256
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meds_rl.fingerprint.outcome import outcome_vectors
from meds_rl.fingerprint.steps import Prompt, signs, step_vectors

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import HashingVectorizer

NUM_FEATURES = 32

MAX_CHARACTERS = 20_000
"""Characters of a completion that `text_vectors` reads, from its end."""

TextFingerprint: TypeAlias = Literal["answer_string", "steps", "text", "outcome"]

TEXT_FINGERPRINTS: dict[str, int] = {"answer_string": NUM_FEATURES, "steps": 128, "text": 128, "outcome": 128}
"""The fingerprints without a model by name, with D."""


def text_fingerprints(
    name: str,
    *,
    prompts: Sequence[Prompt | None],
    completions: Sequence[str],
    answers: Sequence[str | None],
    outcomes: Sequence[Hashable | None] | None = None,
) -> NDArray[np.float32]:
    """The fingerprints (B, D) float32 with this name in the settings; a row of NaN where there is nothing to read.

    "steps" uses the answer's fingerprint where no step can be read.

    Args:
        name: one of `TEXT_FINGERPRINTS`.
        prompts: B texts or chat messages; None for an unknown one. Only "steps" reads them.
        completions: B texts.
        answers: B answers; None for no answer.
        outcomes: B outcomes; None for no outcome. Only "outcome" reads them.

    Raises:
        TypeError: an outcome is not hashable.
        ValueError: an unknown name, or "outcome" without outcomes.
    """
    if name not in TEXT_FINGERPRINTS:
        raise ValueError(f"fingerprint must be one of {', '.join(TEXT_FINGERPRINTS)}; got {name!r}")
    if name == "outcome":
        if outcomes is None:
            raise ValueError("fingerprint 'outcome' needs outcomes, one for each completion")
        return outcome_vectors(outcomes)
    if name == "text":
        return text_vectors(completions)
    if name == "answer_string":
        return answer_vectors(answers)
    features = step_vectors(prompts, completions)
    unread = np.isnan(features).any(axis=1)
    features[unread] = answer_vectors([answers[row] for row in np.flatnonzero(unread).tolist()], features.shape[1])
    return features


def normalized_answer(answer: str) -> str:
    r"""The answer without white space and dollar signs around it, and with single spaces within.

    It compares strings, not numbers: "0.5" and "1/2" are two answers.

    Example:
        >>> normalized_answer(" $ 3   apples$ ")
        '3 apples'
    """
    return " ".join(answer.strip().strip("$").split())


def answer_vectors(answers: Sequence[str | None], num_features: int = NUM_FEATURES) -> NDArray[np.float32]:
    """Unit vectors (B, D) float32 that are equal for equal answers; a row of NaN for no answer (None).

    A vector is a hash (SHAKE-256) of the normalised text, the same on every machine. The vectors of two different
    answers are about sqrt(2) apart, plus or minus .2 at 32 features. ValueError for `num_features` below 2.

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


def text_vectors(completions: Sequence[str], num_features: int = TEXT_FINGERPRINTS["text"]) -> NDArray[np.float32]:
    """Unit vectors (B, D) float32 of the wording: completions with similar texts are near; NaN for an empty text.

    They are square roots of the counts of character n-grams (3 to 5, within words), projected at random: the cosine has
    an error of about 1 / sqrt(D). The square root keeps common n-grams from outweighing the others. The same text has
    the same vector on every machine. Digits count as text. ValueError if D is no multiple of 64.

    Example:
        >>> a, b, c = text_vectors(["take 3 from 20", "then take 3 from 20", "multiply both"])
        >>> bool(a @ b > a @ c)
        True
    """
    if not len(completions):
        return np.zeros((0, num_features), dtype=np.float32)
    # Half a surrogate pair cannot be hashed.
    whole = (text[-MAX_CHARACTERS:].encode("utf-8", "replace").decode() for text in completions)
    counts = _ngrams().transform(whole)
    counts.data = np.sqrt(counts.data)
    columns, places = np.unique(counts.indices, return_inverse=True)
    if not len(columns):  # empty texts only
        return np.full((len(completions), num_features), np.nan, dtype=np.float32)
    counts.indices = places.astype(counts.indices.dtype)
    counts.resize(counts.shape[0], len(columns))
    vectors = np.asarray(counts @ signs(columns.astype(np.uint64), num_features).astype(np.float32), dtype=np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(lengths > 0, vectors / lengths, np.nan).astype(np.float32)


@cache
def _ngrams() -> HashingVectorizer:
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(
        analyzer="char_wb", ngram_range=(3, 5), n_features=2**20, norm=None, alternate_sign=False, dtype=np.float32
    )
