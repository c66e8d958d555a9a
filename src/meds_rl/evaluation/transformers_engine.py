"""Samples with transformers, batched, without touching anybody's random numbers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch

from meds_rl.evaluation.chat import encode
from meds_rl.evaluation.plain_generation import plain_generation
from meds_rl.evaluation.sampling import Completion, Prompt, SamplingSettings


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
        config = self.model.config.get_text_config()
        # Some configurations have another name for it, which their attribute map leads to: n_positions, for one.
        length = getattr(config, "max_position_embeddings", None)
        return length if isinstance(length, int) and length > 0 else None

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
                plain_generation(model, settings, tokenizer.pad_token_id) as plain,
            ):
                torch.manual_seed(seed)
                output = model.generate(**inputs, generation_config=plain)
        finally:
            model.train(was_training)
        ends = _end_ids(model)
        ids = [_up_to_end(row, ends) for row in output[:, inputs["input_ids"].size(1) :].tolist()]
        texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [Completion(text, row, row[-1] in ends) for text, row in zip(texts, ids, strict=True)]


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
