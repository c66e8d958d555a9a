"""The control that reads the words and not the model: the mean of static token embeddings of the completion's text.

The embeddings are WordLlama's (16 MB), out of the PyPI package `wordllama`, which carries them: no hub, no network.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUM_FEATURES = 256
INSTALL = 'pip install "meds-rl[text]"'


def embed_texts(texts: Sequence[str]) -> NDArray[np.float32]:
    """Mean token embedding of each text, not normalised; a text without tokens has zeros.

    Args:
        texts: B texts.

    Returns:
        (B, 256) float32.

    Raises:
        ImportError: the package `wordllama` is missing.
    """
    embeddings, tokenizer = _embeddings(), _tokenizer()
    vectors = np.zeros((len(texts), NUM_FEATURES), dtype=np.float32)
    for row, text in enumerate(texts):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        if ids:
            vectors[row] = embeddings[ids].mean(axis=0, dtype=np.float64)
    return vectors


def _file(name: str) -> Path:
    """A file of the package. It is not imported: nothing is used but what it carries."""
    try:
        files = importlib.metadata.files("wordllama") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise ImportError(f"text embeddings need the package wordllama: {INSTALL}") from error
    for file in files:
        if file.name == name:
            return Path(str(file.locate()))
    raise ImportError(f"the installed package wordllama holds no {name}: {INSTALL}")


@lru_cache(maxsize=1)
def _embeddings() -> NDArray[np.float16]:
    from safetensors.numpy import load_file

    return np.asarray(load_file(_file("l2_supercat_256.safetensors"))["embedding.weight"])


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(_file("l2_supercat_tokenizer_config.json")))
