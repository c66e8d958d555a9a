"""Fingerprints that look at the text only, and the vectors of the model that are published."""

from __future__ import annotations

import re

import numpy as np

from meds_lab.fingerprints.data import Data
from meds_lab.fingerprints.neighbours import unit


def one_hot(texts: list[str]) -> np.ndarray:
    """Equal texts are equal vectors, different ones orthogonal."""
    numbers = np.unique(texts, return_inverse=True)[1]
    return np.eye(numbers.max() + 1)[numbers]


def answer_string(data: Data) -> np.ndarray:
    return one_hot(data.answer.tolist())


def first_character(data: Data) -> np.ndarray:
    """The first token of the answer, with tokenizers that write digits one by one."""
    return one_hot([answer[:1] for answer in data.answer])


def tfidf(texts: list[str], analyzer: str, longest: int) -> np.ndarray:
    from sklearn.feature_extraction.text import TfidfVectorizer

    shortest = 2 if analyzer == "char" else 1
    # Single digits and signs are words, too.
    pattern = r"\w+|[^\w\s]"
    found = TfidfVectorizer(
        analyzer=analyzer,
        ngram_range=(shortest, longest),
        token_pattern=pattern if analyzer == "word" else None,
    )
    return np.asarray(found.fit_transform(texts).todense())


def character_ngrams(data: Data) -> np.ndarray:
    return tfidf(data.workings, "char", 5)


def masked_ngrams(data: Data) -> np.ndarray:
    return tfidf([re.sub(r"\d", "#", text) for text in data.workings], "char", 5)


def word_ngrams(data: Data) -> np.ndarray:
    return tfidf(data.workings, "word", 3)


def text_embedding(data: Data) -> np.ndarray:
    from meds_lab.rivals.text_embedding import embed_texts  # imports TRL

    return embed_texts(data.workings)


def last_logits(data: Data, count: int | None, *, differences: bool = False) -> np.ndarray:
    """Layer logits of the last `count` layers, None for half of them."""
    logits = data.states.layer_logits
    kept = logits[:, -(count or logits.shape[1] // 2) :]
    return np.diff(kept, axis=1) if differences else kept


def answer_states(data: Data) -> np.ndarray:
    """As `AnswerStates`, but its second state from the last layer but one that was kept."""
    pooled = data.states.pooled
    return np.hstack([unit(pooled["at p"][:, -1]), unit(pooled["at the answer's end"][:, -2])])


def pooled_logits(data: Data, layer: int) -> np.ndarray:
    """Through the Cholesky factor: the cosines of the mean logits over the vocabulary."""
    table = data.unembedding.astype(np.float64)
    gram = table.T @ table
    factor = np.linalg.cholesky(gram + 1e-9 * np.trace(gram) / len(gram) * np.eye(len(gram)))
    return data.states.pooled["completion"][:, layer] @ factor
