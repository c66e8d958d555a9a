"""The text embedding, where the package that carries it is installed."""

import importlib.metadata
import socket

import numpy as np
import pytest

from meds_lab.rivals import text_embedding
from meds_lab.rivals.text_embedding import embed_texts


def test_a_missing_package_is_named(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    for cache in (text_embedding._embeddings, text_embedding._tokenizer):
        cache.cache_clear()
    with pytest.raises(ImportError, match=r"pip install -e \"lab\[text\]\""):
        embed_texts(["a"])


def test_like_words_are_near_without_a_network(monkeypatch):
    try:
        importlib.metadata.version("wordllama")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("wordllama is not installed")

    def refused(*_):
        raise AssertionError("no network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    texts = ["three apples and four apples", "4 apples plus 3 apples", "the king of France is bald", ""]
    vectors = embed_texts(texts)
    assert vectors.shape == (4, 256)
    assert vectors.dtype == np.float32
    assert (vectors[3] == 0).all()
    units = vectors[:3] / np.linalg.norm(vectors[:3], axis=1, keepdims=True)
    assert units[0] @ units[1] > units[0] @ units[2] + 0.2
    assert (embed_texts(texts[1:2])[0] == vectors[1]).all()
