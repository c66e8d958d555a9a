"""Sampling completions: settings, the protocol of engines, chunks and seeds, chat templates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

Prompt: TypeAlias = str | Sequence[dict[str, Any]]


@dataclass(frozen=True)
class SamplingSettings:
    """How completions are sampled, by default at temperature 1 as in the paper. ValueError for a value out of range."""

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1; got {self.max_new_tokens}.")
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ValueError(f"temperature must be above 0 and finite; got {self.temperature}.")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie in (0, 1]; got {self.top_p}.")


class Completion(NamedTuple):
    """A completion."""

    text: str  # without special tokens
    token_ids: list[int]  # with the end-of-sequence token if there is one
    finished: bool  # within the length limit


class SamplingEngine(Protocol):
    """What generates: Transformers, vLLM, or an engine of one's own."""

    def encode(self, prompt: Prompt) -> list[int]:
        """The prompt's token ids; chat messages go through the chat template."""

    def sample(self, prompt_ids: Sequence[list[int]], settings: SamplingSettings, seed: int) -> list[Completion]:
        """One completion for each prompt, in order. The same seed gives the same ones; global state is restored."""


class Row(NamedTuple):
    """One completion to sample: the indices of its prompt, and of the sample of that prompt."""

    prompt: int
    sample: int


def plan(lengths: Sequence[int], num_samples: int, chunk_size: int) -> list[list[Row]]:
    """`num_samples` of each prompt in chunks of at most `chunk_size`, longest prompts first.

    Prompts of similar length (in tokens) share a chunk, which saves padding; a lack of memory shows at once.

    Example:
        >>> [[tuple(row) for row in chunk] for chunk in plan([3, 5], 2, 3)]
        [[(1, 0), (1, 1), (0, 0)], [(0, 1)]]
    """
    for name, value in (("num_samples", num_samples), ("batch_size", chunk_size)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1; got {value}.")
    order = sorted(range(len(lengths)), key=lambda prompt: -lengths[prompt])  # stable
    rows = [Row(prompt, sample) for prompt in order for sample in range(num_samples)]
    return [rows[start : start + chunk_size] for start in range(0, len(rows), chunk_size)]


def chunk_seed(seed: int, chunk: int) -> int:
    """The seed of one chunk, so that a chunk does not depend on which others were sampled before."""
    if seed < 0:
        raise ValueError(f"seed must be 0 or more; got {seed}.")
    return int(np.random.SeedSequence([seed, chunk]).generate_state(1)[0])


def encode(tokenizer: Any, prompt: Prompt) -> list[int]:
    """A prompt's token ids; chat messages go through the tokenizer's chat template.

    If the template refuses a system message, its text is put at the beginning of the user's first message. ValueError
    if there is no template, or if it refuses the messages anyway.
    """
    if isinstance(prompt, str):
        return list(tokenizer(prompt)["input_ids"])
    from jinja2 import TemplateError

    if tokenizer.chat_template is None:
        what = "the prompts are chat messages, and the tokenizer has no chat template"
        raise ValueError(f"{what}: evaluate a chat model, or save a template with the tokenizer")
    messages = _folded(prompt) if refuses_system(tokenizer, prompt) else list(prompt)
    try:
        chat = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=True)
    except TemplateError as error:
        raise ValueError(f"the tokenizer's chat template refuses the prompt: {error}") from None
    return list(chat["input_ids"])


def refuses_system(tokenizer: Any, prompt: Prompt) -> bool:
    """Whether the chat template refuses the prompt only because of its system message."""
    if isinstance(prompt, str) or tokenizer.chat_template is None or prompt[0]["role"] != "system":
        return False
    return _refuses(tokenizer, prompt) and not _refuses(tokenizer, _folded(prompt))


def _refuses(tokenizer: Any, messages: Sequence[Mapping[str, Any]]) -> bool:
    from jinja2 import TemplateError

    try:
        tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
    except TemplateError:
        return True
    return False


def _folded(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages with the system message's text at the beginning of the user's first one."""
    system, rest = messages[0]["content"], [dict(message) for message in messages[1:]]
    if rest:
        rest[0]["content"] = f"{system}\n\n{rest[0]['content']}"
    return rest or [dict(message) for message in messages]
