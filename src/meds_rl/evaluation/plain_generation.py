"""Sampling from the model's own distribution, whatever its generation_config.json would have for a chat."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from meds_rl.evaluation.sampling import SamplingSettings


@contextmanager
def plain_generation(model: Any, settings: SamplingSettings, pad_token_id: int) -> Iterator[Any]:
    """A configuration of `generate` that keeps nothing of the model's own but token ids and the kind of cache.

    While it is in use it also stands in place of the model's: transformers fills what is not set from there.

    Args:
        model: of transformers, also behind adapters.
        settings: how to sample.
        pad_token_id: the tokenizer's.

    Yields:
        What to hand to `generate` as `generation_config`.
    """
    from transformers import GenerationConfig

    own = model.generation_config
    plain = GenerationConfig(
        max_new_tokens=settings.max_new_tokens,
        do_sample=True,
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=0,
        num_beams=1,
        disable_compile=True,
        eos_token_id=own.eos_token_id,
        bos_token_id=own.bos_token_id,
        pad_token_id=pad_token_id,
        use_cache=own.use_cache,
        cache_implementation=own.cache_implementation,
        cache_config=own.cache_config,
    )
    # A wrapper may hold a reference of its own to the wrapped model's.
    owners = [module for module in model.modules() if "generation_config" in vars(module)]
    before = [module.generation_config for module in owners]
    try:
        for module in owners:
            module.generation_config = plain
        yield plain
    finally:
        for module, given in zip(owners, before, strict=True):
            module.generation_config = given
