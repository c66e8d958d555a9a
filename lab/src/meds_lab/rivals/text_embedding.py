"""Fingerprint of the text instead of the model: the mean of static token embeddings of the completion.

The embeddings are WordLlama's (16 MB, 256 numbers), from the PyPI package ``wordllama``, which contains them.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meds_rl.engines.trl import MEDSTrainer

NUM_FEATURES = 256
INSTALL = 'pip install -e "lab[text]"'


def embed_texts(texts: Sequence[str]) -> NDArray[np.float32]:
    """Mean token embedding of each text, not normalised; zeros for a text without tokens.

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


def fingerprint(completions: Sequence[str], answers: Sequence[str | None], **_: Any) -> NDArray[np.float32]:
    """(B, 256), a row of NaN for a completion without an answer."""
    answered = np.array([answer is not None for answer in answers], dtype=np.bool_)
    vectors = embed_texts([text if keep else "" for text, keep in zip(completions, answered, strict=True)])
    vectors[~answered] = np.nan
    return vectors


def trainer(*args: Any, **kwargs: Any) -> MEDSTrainer:
    """`MEDSTrainer` with this fingerprint."""
    embed_texts([""])  # a missing package is reported now, not after the first generation
    return MEDSTrainer(*args, fingerprint=fingerprint, **kwargs)


def _file(name: str) -> Path:
    """A file of the package, which is not imported."""
    try:
        files = importlib.metadata.files("wordllama") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise ImportError(f"text embeddings need the package wordllama: {INSTALL}") from error
    for file in files:
        if file.name == name:
            return Path(str(file.locate()))
    raise ImportError(f"the installed package wordllama has no {name}: {INSTALL}")


@lru_cache(maxsize=1)
def _embeddings() -> NDArray[np.float16]:
    from safetensors.numpy import load_file

    return np.asarray(load_file(_file("l2_supercat_256.safetensors"))["embedding.weight"])


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(_file("l2_supercat_tokenizer_config.json")))
