"""Samples with vLLM, where it is installed: thin, as it can only be tried on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meds_rl.evaluation.chat import encode
from meds_rl.evaluation.sampling import Completion, Prompt, SamplingSettings, chunk_seed

INSTALL = "pip install vllm"


class VLLMEngine:
    """An offline vLLM engine as a `SamplingEngine`.

    Args:
        location: a hub name or a folder.
        options: further arguments of `vllm.LLM`, such as `max_model_len` or `gpu_memory_utilization`.

    Raises:
        ImportError: vLLM is not installed; the message holds the pip command.
    """

    def __init__(self, location: str, **options: Any) -> None:
        try:
            import vllm
        except ImportError as error:
            raise ImportError(
                f"--engine vllm needs vLLM: {INSTALL} (or use --engine transformers)"
            ) from error
        self._params = vllm.SamplingParams
        self._llm = vllm.LLM(model=location, **options)
        self.tokenizer = self._llm.get_tokenizer()

    def encode(self, prompt: Prompt) -> list[int]:
        """See `SamplingEngine`."""
        return encode(self.tokenizer, prompt)

    def sample(
        self, prompt_ids: Sequence[list[int]], settings: SamplingSettings, seed: int
    ) -> list[Completion]:
        """See `SamplingEngine`. Each row has a seed of its own; the bits still depend on what vLLM batches together."""
        params = [
            self._params(
                max_tokens=settings.max_new_tokens,
                temperature=settings.temperature,
                top_p=settings.top_p,
                seed=chunk_seed(seed, row),
            )
            for row in range(len(prompt_ids))
        ]
        prompts = [{"prompt_token_ids": list(ids)} for ids in prompt_ids]
        outputs = [output.outputs[0] for output in self._llm.generate(prompts, params, use_tqdm=False)]
        return [
            Completion(output.text, list(output.token_ids), output.finish_reason == "stop")
            for output in outputs
        ]
