"""Tiny models, built here at random: nothing is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers

VOCABULARY = 41
HIDDEN = 16
LAYERS = 5

_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "intermediate_size": 24,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,  # large, so that layers differ and mistakes show
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GPT2 = {
    "vocab_size": VOCABULARY,
    "n_embd": HIDDEN,
    "n_layer": LAYERS,
    "n_head": 2,
    "n_positions": 64,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_OPT = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "word_embed_proj_dim": HIDDEN,
    "ffn_dim": 24,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "init_std": 0.3,
}


def _config(name: str, tied: bool) -> transformers.PretrainedConfig:
    tie = {"tie_word_embeddings": tied}
    if name == "llama":
        return transformers.LlamaConfig(**_SIZES, **tie)
    if name == "qwen2":
        return transformers.Qwen2Config(**_SIZES, **tie)
    if name == "qwen3":
        return transformers.Qwen3Config(**_SIZES, **tie, head_dim=8)
    if name == "gemma2":
        return transformers.Gemma2Config(
            **_SIZES, **tie, head_dim=8, final_logit_softcapping=3.0, attn_implementation="eager"
        )
    if name == "granite":
        return transformers.GraniteConfig(**_SIZES, **tie, logits_scaling=7.0)
    if name == "cohere":
        return transformers.CohereConfig(**_SIZES, **tie, logit_scale=0.25)
    if name == "gpt2":
        return transformers.GPT2Config(**_GPT2, **tie)
    return transformers.OPTConfig(**_OPT, **tie)


@pytest.fixture
def tiny_model() -> Callable[..., Any]:
    """`tiny_model("qwen2", tied=False)`: a randomly initialised causal language model of 5 layers."""

    def build(name: str = "qwen2", *, tied: bool = False) -> Any:
        torch.manual_seed(0)
        return transformers.AutoModelForCausalLM.from_config(_config(name, tied)).eval()

    return build


@pytest.fixture
def plain_layer_logits() -> Callable[..., list[float]]:
    """<h_l(p), W_t> for l = 1..L of one completion, from a full forward without padding, in float64 sums."""

    def compute(model: Any, prompt: list[int], completion: list[int], position: int) -> list[float]:
        with torch.no_grad():
            output = model(torch.tensor([prompt + completion]), output_hidden_states=True)
        row = model.get_output_embeddings().weight.detach()[completion[position + 1]].double()
        states = output.hidden_states[1:]
        assert len(states) == LAYERS
        return [float(h[0, len(prompt) + position].double() @ row) for h in states]

    return compute


@pytest.fixture
def batch() -> tuple[list[list[int]], list[list[int]], list[Any]]:
    """Prompts, completions and answers of five rows, of all lengths; row 2 has no answer."""
    from meds_rl.fingerprint import AnswerPosition

    prompts = [[3, 4, 5, 6], [7, 8], [9], [10, 11, 12, 13, 14, 15], [16, 17, 18]]
    completions = [
        [19, 20, 21, 22, 23, 2],
        [24, 25, 26],
        [27, 28, 29, 30, 31, 32, 33, 2],
        [34, 35],
        [36, 37, 38, 39, 40, 20, 21, 22, 23, 24],
    ]
    answers = [
        AnswerPosition(3, 23),
        AnswerPosition(0, 25, end=2),
        None,
        AnswerPosition(0, 35),
        AnswerPosition(6, 22, end=8),
    ]
    return prompts, completions, answers
