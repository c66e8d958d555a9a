"""The pocket model: a Qwen3 of 0.6 million parameters. One checkpoint is shipped: a policy stuck in one error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM


def checkpoint_path() -> Path:
    """The folder of the shipped checkpoint, in Hugging Face format.

    It was trained on worked problems: on hard ones 1 % of the workings respect precedence, and 93 % of the others go
    from left to right. The tokenizer has whole words with the spaces around them, and single digits.
    """
    return Path(__file__).parent / "checkpoint"


def load_pocket_model() -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast]:
    """The shipped model (float32, in evaluation mode) and its tokenizer."""
    return load_folder(checkpoint_path())


def load_pocket_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer alone."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(checkpoint_path(), local_files_only=True)


def load_folder(folder: Path) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast]:
    """A pocket model (float32, in evaluation mode) and its tokenizer from a folder."""
    import torch
    from transformers import AutoTokenizer, Qwen3ForCausalLM

    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return model.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def new_model(seed: int) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast]:
    """An untrained model (float32) of the same size, and its tokenizer. Sets torch's global seed."""
    import torch
    from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config.from_pretrained(checkpoint_path(), dtype=torch.float32, local_files_only=True)
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig.from_pretrained(checkpoint_path(), local_files_only=True)
    return model, load_pocket_tokenizer()
