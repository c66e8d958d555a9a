"""Finds and loads a model by the name that recipes and `meds eval` give it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from meds_rl.tasks.smollm2 import MODEL_NAME as SMOLLM2


def model_location(name: str) -> str:
    """What transformers can load: the folder of a shipped pocket model ("pocket", "pocket:SEED", or of a variant
    "pocket-stuck", "pocket-guess:SEED", "pocket-scatter"); every other name as it is, but for "~", which is your home.

    Raises:
        ValueError: the seed is no whole number, no such checkpoint is shipped, or the name is the path of a folder that
            is not there.

    >>> model_location("Qwen/Qwen3-8B")
    'Qwen/Qwen3-8B'
    """
    family, _, seed = name.partition(":")
    kind, _, variant = family.partition("-")
    # A hub name has one slash at most.
    if name.startswith(("/", "./", "../", "~")) or name.count("/") > 1:
        path = Path(name).expanduser()
        if not path.is_dir():
            raise ValueError(f"there is no folder with a model at {name}")
        return str(path) if name.startswith("~") else name
    if kind != "pocket" or "/" in variant or Path(name).is_dir():
        return name
    if name.endswith((":", "-")) or "-:" in name or not (seed or "0").isdecimal():
        raise ValueError(
            f'The pocket model is "pocket" or "pocket:SEED" with a whole number, or of a variant "pocket-stuck:SEED" '
            f'"pocket-guess:SEED", "pocket-scatter:SEED"; got {name!r}.'
        )
    from meds_rl.tasks.pocket import checkpoint_path

    return str(checkpoint_path(int(seed or "0"), variant or "plain"))


def load_language_model(name: str, *, device: str | None = None, dtype: str | None = None) -> tuple[Any, Any]:
    """A causal language model in evaluation mode, and its tokenizer.

    Args:
        name: a hub name, a folder (also one that holds PEFT adapters), "pocket", "pocket:SEED" or "smollm2".
        device: "cuda" where there is one, else "cpu", unless given.
        dtype: "bfloat16" on cuda, "float32" elsewhere, unless given.

    Raises:
        ValueError: there is no such model, or no such dtype.
        ImportError: a package that the model needs is missing; the message holds the pip command.
    """
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise ImportError(f'loading a model needs {error.name}: pip install "meds-rl[trl]"') from error
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = dtype or ("bfloat16" if device.startswith("cuda") else "float32")
    if name == SMOLLM2:
        from meds_rl.tasks.smollm2 import load_smollm2

        model, tokenizer = load_smollm2(dtype)
        return model.to(device), tokenizer
    location = model_location(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(location)
        model = AutoModelForCausalLM.from_pretrained(location, dtype=dtype)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot load the model {name!r}: {str(error).strip().splitlines()[0]}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.to(device).eval(), tokenizer
