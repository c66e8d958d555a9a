"""The pocket model: a Qwen3 of 0.6 million parameters. One checkpoint is shipped: a policy stuck in one error."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from meds_rl.tasks.pocket.tokenizer import build_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

# Enough for every wording of the warm-up (at most 61 tokens, usually about 40).
MAX_COMPLETION_LENGTH = 96


def checkpoint_path() -> Path:
    """The folder of the shipped checkpoint, in Hugging Face format.

    It was trained on worked problems of which 93 % of the wrong ones work from left to right, and fewer than 2 % of all
    respect precedence: little is left to explore.
    """
    return Path(__file__).parent / "checkpoint"


def load_pocket_model() -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast]:
    """The shipped model (float32, in evaluation mode) and its tokenizer."""
    return load_folder(checkpoint_path())


def load_folder(folder: Path) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast]:
    """A pocket model (float32, in evaluation mode) and its tokenizer from a folder."""
    import torch
    from transformers import AutoTokenizer, Qwen3ForCausalLM

    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return model.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def new_model(seed: int) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast]:
    """An untrained model (float32) and its tokenizer. Sets torch's global seed."""
    import torch
    from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

    tokenizer = build_tokenizer()
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=240,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=MAX_COMPLETION_LENGTH,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return model, tokenizer


def save_half(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write both to `folder`, the weights in float16: half the size, and the figures stay the same.

    Raises:
        FileExistsError: if the folder exists.
    """
    folder.mkdir(parents=True)
    # A copy: `half` changes a model in place.
    copy.deepcopy(model).half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
