"""Completions of all kinds that verl may hand to a worker, and a model and a tokenizer to run them on."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from meds_rl.tasks.pocket.model import load_pocket_tokenizer

LAYERS, HIDDEN = 4, 16


@dataclass(frozen=True)
class Row:
    """A prompt, a completion, which tokens of it the model wrote, and where its answer is (position and end)."""

    prompt: str
    completion: str
    written: str = ""  # one character a token, "1" for the model's own; "" for all
    answer: tuple[int, int] | None = None


# Digits, `\boxed{`, `}` and `<eos>` are one token each.
ROWS = [
    Row("what 12?", r"4\boxed{12}<eos>", answer=(1, 3)),
    Row("7", r"\boxed{5}<eos>", answer=(0, 1)),
    Row("7", r"123456\boxed{7", answer=(6, 7)),  # the answer's first token is the last one written
    Row("98", r"1\boxed{"),  # ends at the marker
    Row("98", ""),  # nothing at all
    Row("34", "56789<eos>"),
    # A tool's answer is not the model's: the model's own is the one in its first turn ...
    Row("34", r"1\boxed{2}9\boxed{8}77", written="111100000" + "1", answer=(1, 2)),
    # ... or in its last.
    Row("1", r"5\boxed{6}3\boxed{48}", written="0000" + "11111", answer=(5, 7)),
    Row("1111", r"1\boxed{2}", written="0000"),  # verl's padding rows: none of it is the model's
    Row("9", r"1234567890123456789\boxed{-4}11", answer=(19, 21)),
    Row("12345678", r"\boxed{3}\boxed{44}<eos>", answer=(3, 5)),
    Row("2", r"88\boxed{1}", answer=(2, 3)),
]


def ids(text: str) -> list[int]:
    """Token ids of `text`, `<eos>` included."""
    tokenizer = load_pocket_tokenizer()
    out: list[int] = []
    for i, part in enumerate(text.split("<eos>")):
        out += [tokenizer.eos_token_id] * (i > 0) + tokenizer(part, add_special_tokens=False)["input_ids"]
    return out


def tensors(rows: list[Row]) -> dict[str, Any]:
    """What the engine reads of a batch: jagged tensors."""
    prompts, completions = [ids(row.prompt) for row in rows], [ids(row.completion) for row in rows]
    written = [
        [int(c) for c in row.written] or [1] * len(completion)
        for row, completion in zip(rows, completions, strict=True)
    ]
    sequences = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
    columns = {
        "prompts": prompts,
        "responses": completions,
        "input_ids": sequences,
        "position_ids": [list(range(len(sequence))) for sequence in sequences],
        "response_mask": written,
        "loss_mask": written,
    }
    return {
        name: torch.nested.as_nested_tensor([torch.tensor(x, dtype=torch.int64) for x in rows], layout=torch.jagged)
        for name, rows in columns.items()
    }


def save_model(folder: Path, *, tied: bool) -> str:
    """A random Qwen3 of four layers with the pocket tokenizer."""
    tokenizer = load_pocket_tokenizer()
    torch.manual_seed(0)
    config = transformers.Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=24,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=4,
        max_position_embeddings=128,
        initializer_range=0.3,  # large, so that layers differ and mistakes show
        tie_word_embeddings=tied,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    model = transformers.Qwen3ForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def save_adapter(model_folder: str, folder: Path, targets: list[str]) -> str:
    """A LoRA adapter that changes what the model computes."""
    import peft

    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_pretrained(model_folder)
    config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=targets, task_type="CAUSAL_LM", init_lora_weights=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft has opinions on adapters of tied heads; so have we, and test them
        peft.get_peft_model(model, config).save_pretrained(folder)
    return str(folder)
