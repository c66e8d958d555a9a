"""Samples with transformers, batched, without touching anybody's random numbers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch

from meds_rl.evaluation.sampling import Completion, Prompt, SamplingSettings

PLAIN: dict[str, Any] = {
    "do_sample": True,
    "num_beams": 1,
    "top_k": 0,
    "min_p": None,
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
}
"""Sampling from the model's own distribution, whatever its generation_config.json would have for a chat."""


class TransformersEngine:
    """A model of transformers as a `SamplingEngine`.

    Args:
        model: a causal language model. Put back into its mode (train or eval) after each call.
        tokenizer: its tokenizer, with a pad token.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer

    @property
    def context_length(self) -> int | None:
        """Most tokens of prompt and completion together; None where the model's configuration does not say."""
        length = self.model.config.get_text_config().to_dict().get("max_position_embeddings")
        return length if isinstance(length, int) else None

    def encode(self, prompt: Prompt) -> list[int]:
        """See `SamplingEngine`."""
        return encode(self.tokenizer, prompt)

    def sample(
        self, prompt_ids: Sequence[list[int]], settings: SamplingSettings, seed: int
    ) -> list[Completion]:
        """See `SamplingEngine`."""
        model, tokenizer = self.model, self.tokenizer
        inputs = _left_pad(prompt_ids, tokenizer.pad_token_id, model.device)
        was_training = model.training
        model.eval()
        try:
            with (
                torch.random.fork_rng([model.device] if model.device.type == "cuda" else []),
                torch.no_grad(),
            ):
                torch.manual_seed(seed)
                output = model.generate(
                    **inputs,
                    max_new_tokens=settings.max_new_tokens,
                    temperature=settings.temperature,
                    top_p=settings.top_p,
                    pad_token_id=tokenizer.pad_token_id,
                    disable_compile=True,
                    **PLAIN,
                )
        finally:
            model.train(was_training)
        ends = _end_ids(model)
        ids = [_up_to_end(row, ends) for row in output[:, inputs["input_ids"].size(1) :].tolist()]
        texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [Completion(text, row, row[-1] in ends) for text, row in zip(texts, ids, strict=True)]


def encode(tokenizer: Any, prompt: Prompt) -> list[int]:
    """A prompt's token ids; chat messages go through the tokenizer's chat template.

    Raises:
        ValueError: messages, and the tokenizer has no chat template.
    """
    if isinstance(prompt, str):
        ids: list[int] = tokenizer(prompt)["input_ids"]
    else:
        if tokenizer.chat_template is None:
            raise ValueError(
                "the prompts are chat messages, and the tokenizer has no chat template: evaluate a chat model, or save "
                "a template with the tokenizer"
            )
        ids = tokenizer.apply_chat_template(
            list(prompt), add_generation_prompt=True, tokenize=True, return_dict=True
        )["input_ids"]
    return ids


def _end_ids(model: Any) -> Collection[int]:
    """What `generate` takes for the end of a sequence; a model may have several."""
    ids = model.generation_config.eos_token_id
    return () if ids is None else (ids,) if isinstance(ids, int) else tuple(ids)


def _up_to_end(ids: list[int], ends: Collection[int]) -> list[int]:
    """Without what follows the first end; where the pad token is an end too, no pad can come before it."""
    first = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    return ids[: first + 1]


def _left_pad(prompts: Sequence[list[int]], pad_token_id: int, device: Any) -> dict[str, torch.Tensor]:
    width = max(len(prompt) for prompt in prompts)
    ids = [[pad_token_id] * (width - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return {
        "input_ids": torch.tensor(ids, device=device),
        "attention_mask": torch.tensor(mask, device=device),
    }
