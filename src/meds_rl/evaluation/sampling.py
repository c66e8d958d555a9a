"""Samples completions with transformers, batched, without touching the training's random numbers."""

from collections.abc import Sequence
from typing import Any

import torch
from tqdm.auto import tqdm


def sample_completions(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str | Sequence[dict[str, Any]]],
    *,
    num_samples: int,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    batch_size: int = 64,
    seed: int = 0,
    description: str | None = None,
) -> list[list[str]]:
    """Sample ``num_samples`` completions of each prompt.

    Args:
        model: a causal language model of transformers. Put back into its mode (train or eval) afterwards.
        tokenizer: its tokenizer. Chat messages go through its chat template.
        prompts: P prompts, each text or chat messages.
        num_samples: completions per prompt.
        max_new_tokens: longest completion, in tokens.
        temperature: above 0.
        top_p: nucleus, in (0, 1].
        batch_size: completions sampled at once.
        seed: of a random state of its own; the global one is put back.
        description: of the progress bar; none is shown without it.

    Returns:
        P lists of ``num_samples`` texts, without special tokens.

    Raises:
        ValueError: ``num_samples``, ``max_new_tokens`` or ``batch_size`` below 1, or ``temperature`` not above 0.
    """
    for name, value in (
        ("num_samples", num_samples),
        ("max_new_tokens", max_new_tokens),
        ("batch_size", batch_size),
    ):
        if value < 1:
            raise ValueError(f"{name} must be at least 1; got {value}.")
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0; got {temperature}.")
    ids = [_prompt_ids(tokenizer, prompt) for prompt in prompts]
    rows = [(index, prompt) for index, prompt in enumerate(ids) for _ in range(num_samples)]
    texts: list[list[str]] = [[] for _ in prompts]
    settings = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}
    was_training = model.training
    model.eval()
    devices = [model.device] if model.device.type == "cuda" else []
    bar = tqdm(total=len(rows), desc=description, unit="sample", disable=description is None)
    try:
        with torch.random.fork_rng(devices), torch.no_grad(), bar:
            torch.manual_seed(seed)
            for start in range(0, len(rows), batch_size):
                chunk = rows[start : start + batch_size]
                inputs = _left_pad([prompt for _, prompt in chunk], tokenizer.pad_token_id, model.device)
                output = model.generate(
                    **inputs,
                    max_new_tokens=max_new_tokens,
                    pad_token_id=tokenizer.pad_token_id,
                    disable_compile=True,
                    **settings,
                )
                width = inputs["input_ids"].size(1)
                decoded = tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
                for (index, _), text in zip(chunk, decoded, strict=True):
                    texts[index].append(text)
                bar.update(len(chunk))
    finally:
        model.train(was_training)
    return texts


def _prompt_ids(tokenizer: Any, prompt: str | Sequence[dict[str, Any]]) -> list[int]:
    if isinstance(prompt, str):
        ids: list[int] = tokenizer(prompt)["input_ids"]
        return ids
    return tokenizer.apply_chat_template(
        list(prompt), add_generation_prompt=True, tokenize=True, return_dict=True
    )["input_ids"]


def _left_pad(prompts: list[list[int]], pad_token_id: int, device: Any) -> dict[str, torch.Tensor]:
    width = max(len(prompt) for prompt in prompts)
    ids = [[pad_token_id] * (width - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return {
        "input_ids": torch.tensor(ids, device=device),
        "attention_mask": torch.tensor(mask, device=device),
    }
