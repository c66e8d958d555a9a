"""Samples completions of prompts from a model of transformers that is already loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tqdm.auto import tqdm

from meds_rl.evaluation.engines import TransformersEngine
from meds_rl.evaluation.sampling import Completion, Prompt, SamplingSettings, chunk_seed, plan


def sample_completions(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    *,
    num_samples: int,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    batch_size: int = 64,
    seed: int = 0,
    description: str | None = None,
) -> list[list[Completion]]:
    """P lists of `num_samples` completions of P prompts (text or chat messages) from a model of transformers.

    The model's mode (train or eval) and the global random state are restored. A progress bar is shown if it has a
    `description`. ValueError for a setting out of range.
    """
    settings = SamplingSettings(max_new_tokens, temperature, top_p)
    engine = TransformersEngine(model, tokenizer)
    ids = [engine.encode(prompt) for prompt in prompts]
    found: list[list[Completion]] = [[] for _ in prompts]
    chunks = plan([len(prompt) for prompt in ids], num_samples, batch_size)
    for number, chunk in enumerate(tqdm(chunks, desc=description, unit="batch", disable=description is None)):
        completions = engine.sample([ids[row.prompt] for row in chunk], settings, chunk_seed(seed, number))
        for row, completion in zip(chunk, completions, strict=True):
            found[row.prompt].append(completion)
    return found
