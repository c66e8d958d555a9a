"""The sampling engines: transformers, and vLLM if it is installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from meds_rl.evaluation.problems import Problem
from meds_rl.evaluation.sampling import (
    Completion,
    Prompt,
    SamplingEngine,
    SamplingSettings,
    chunk_seed,
    encode,
    refuses_system,
)

_KEPT = ("eos_token_id", "bos_token_id", "use_cache", "cache_implementation", "cache_config")


@contextmanager
def plain_generation(model: Any, settings: SamplingSettings, pad_token_id: int) -> Iterator[Any]:
    """A `generation_config` that samples from the model's plain distribution.

    Of the model's own configuration, which may filter and penalise, it has only token ids and the type of cache. It
    also replaces the model's for the time, as transformers fills unset values from there.
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
        pad_token_id=pad_token_id,
        **{name: getattr(own, name) for name in _KEPT},
    )
    # A wrapper may have its own reference to the wrapped model's configuration.
    owners = [module for module in model.modules() if "generation_config" in vars(module)]
    before = [module.generation_config for module in owners]
    try:
        for module in owners:
            module.generation_config = plain
        yield plain
    finally:
        for module, given in zip(owners, before, strict=True):
            module.generation_config = given


class TransformersEngine:
    """A causal language model, and its tokenizer with a pad token, as a `SamplingEngine`; the mode is restored."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer

    @property
    def context_length(self) -> int | None:
        """Most tokens of prompt and completion together; None if the model's configuration does not have it."""
        # Some configurations map this name to another one, such as n_positions.
        length = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return length if isinstance(length, int) and length > 0 else None

    def encode(self, prompt: Prompt) -> list[int]:
        """See `SamplingEngine`."""
        return encode(self.tokenizer, prompt)

    def sample(self, prompt_ids: Sequence[list[int]], settings: SamplingSettings, seed: int) -> list[Completion]:
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
        eos = model.generation_config.eos_token_id
        ends = [eos] if isinstance(eos, int) else eos or []
        ids = []
        for row in output[:, inputs["input_ids"].size(1) :].tolist():
            end = next((place for place, token in enumerate(row) if token in ends), len(row))
            ids.append(row[: end + 1])
        texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [Completion(text, row, row[-1] in ends) for text, row in zip(texts, ids, strict=True)]


def _left_pad(prompts: Sequence[list[int]], pad_token_id: int, device: Any) -> dict[str, torch.Tensor]:
    width = max(len(prompt) for prompt in prompts)
    ids = [[pad_token_id] * (width - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return {"input_ids": torch.tensor(ids, device=device), "attention_mask": torch.tensor(mask, device=device)}


class VLLMEngine:
    """An offline vLLM engine as a `SamplingEngine`; `options` are arguments of `vllm.LLM`, such as `max_model_len`."""

    def __init__(self, location: str, **options: Any) -> None:
        try:
            import vllm
        except ImportError as error:
            raise ImportError("--engine vllm needs vLLM: pip install vllm (or use --engine transformers)") from error
        self._params = vllm.SamplingParams
        self._llm = vllm.LLM(model=location, **options)
        self.tokenizer = self._llm.get_tokenizer()

    def encode(self, prompt: Prompt) -> list[int]:
        """See `SamplingEngine`."""
        return encode(self.tokenizer, prompt)

    def sample(self, prompt_ids: Sequence[list[int]], settings: SamplingSettings, seed: int) -> list[Completion]:
        """See `SamplingEngine`. Each row has its own seed; rounding still depends on how vLLM batches."""
        most, heat, top_p = settings.max_new_tokens, settings.temperature, settings.top_p
        params = [
            self._params(max_tokens=most, temperature=heat, top_p=top_p, seed=chunk_seed(seed, row))
            for row in range(len(prompt_ids))
        ]
        prompts = [{"prompt_token_ids": list(ids)} for ids in prompt_ids]
        outputs = [output.outputs[0] for output in self._llm.generate(prompts, params, use_tqdm=False)]
        return [Completion(output.text, list(output.token_ids), output.finish_reason == "stop") for output in outputs]


def make_engine(location: str, name: str, seed: int) -> SamplingEngine:
    """The engine `name` ("transformers" or "vllm") with its model loaded; the seed is vLLM's own."""
    from meds_rl.tasks.models import load_language_model, model_location

    if name == "vllm":
        return VLLMEngine(model_location(location), seed=seed)
    return TransformersEngine(*load_language_model(location))


def check_context(engine: SamplingEngine, problems: Sequence[Problem], wanted: int) -> None:
    """Raise a ValueError if the longest prompt and `wanted` tokens exceed the model's positions; vLLM checks itself."""
    context = engine.context_length if isinstance(engine, TransformersEngine) else None
    longest = max(len(engine.encode(problem.row["prompt"])) for problem in problems)
    has = f"the model has {context} positions, the longest prompt {longest} tokens"
    if context is not None and longest >= context:
        raise ValueError(f"{has}: nothing is left")
    if context is not None and longest + wanted > context:
        raise ValueError(f"{has}: --max-new-tokens can be at most {context - longest}, got {wanted}")


def notes(engine: SamplingEngine, problems: Sequence[Problem]) -> tuple[str, ...]:
    """How the engine changes the prompts, as sentences for the user."""
    if isinstance(engine, TransformersEngine | VLLMEngine) and any(
        refuses_system(engine.tokenizer, problem.row["prompt"]) for problem in problems
    ):
        return ("The chat template refuses system messages: their text stood before the question.",)
    return ()
