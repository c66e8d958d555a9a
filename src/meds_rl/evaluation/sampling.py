"""What sampling is: settings, a completion, what an engine can do, and the order of the work."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

Prompt: TypeAlias = str | Sequence[dict[str, Any]]


@dataclass(frozen=True)
class SamplingSettings:
    """How completions are sampled. The defaults are the paper's.

    Attributes:
        max_new_tokens: longest completion, in tokens.
        temperature: above 0, finite.
        top_p: nucleus, in (0, 1].

    Raises:
        ValueError: a setting is out of range.
    """

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
    """One sampled completion.

    Attributes:
        text: without special tokens.
        token_ids: with the end of the sequence, if it came to one.
        finished: whether it did; else it was cut off at the length limit.
    """

    text: str
    token_ids: list[int]
    finished: bool


class SamplingEngine(Protocol):
    """What samples: transformers or vLLM here, a stand-in in tests."""

    def encode(self, prompt: Prompt) -> list[int]:
        """The prompt's token ids; chat messages go through the chat template."""
        ...

    def sample(
        self, prompt_ids: Sequence[list[int]], settings: SamplingSettings, seed: int
    ) -> list[Completion]:
        """One completion for each prompt, in order. The same seed gives the same ones; no global state is touched."""
        ...


class Row(NamedTuple):
    """One completion to sample: which prompt, and which of its samples."""

    prompt: int
    sample: int


def plan(lengths: Sequence[int], num_samples: int, chunk_size: int) -> list[list[Row]]:
    """All completions in chunks of at most `chunk_size`, those of long prompts first.

    Prompts of about the same length share a chunk, so that little is padded; memory runs out early if it does.

    Args:
        lengths: P lengths of the prompts, in tokens.
        num_samples: completions of each.
        chunk_size: completions in a chunk.

    Raises:
        ValueError: num_samples or chunk_size below 1.

    Example:
        >>> [[tuple(row) for row in chunk] for chunk in plan([3, 5], 2, 3)]
        [[(1, 0), (1, 1), (0, 0)], [(0, 1)]]
    """
    for name, value in (("num_samples", num_samples), ("batch_size", chunk_size)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1; got {value}.")
    order = sorted(
        range(len(lengths)), key=lambda prompt: -lengths[prompt]
    )  # stable: equal ones stay in order
    rows = [Row(prompt, sample) for prompt in order for sample in range(num_samples)]
    return [rows[start : start + chunk_size] for start in range(0, len(rows), chunk_size)]


def chunk_seed(seed: int, chunk: int) -> int:
    """The seed of a chunk's own random state: chunks are the same whichever were sampled before.

    Raises:
        ValueError: a negative seed.
    """
    if seed < 0:
        raise ValueError(f"seed must be 0 or more; got {seed}.")
    return int(np.random.SeedSequence([seed, chunk]).generate_state(1)[0])


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
    """Sample ``num_samples`` completions of each prompt with transformers.

    Args:
        model: a causal language model of transformers. Put back into its mode (train or eval) afterwards.
        tokenizer: its tokenizer.
        prompts: P prompts, each text or chat messages.
        num_samples: completions per prompt.
        max_new_tokens, temperature, top_p: see `SamplingSettings`.
        batch_size: completions sampled at once.
        seed: of random states of its own; the global one is put back.
        description: of the progress bar; none is shown without it.

    Returns:
        P lists of ``num_samples`` completions.

    Raises:
        ValueError: a setting is out of range.
    """
    from tqdm.auto import tqdm

    from meds_rl.evaluation.engines import TransformersEngine

    settings = SamplingSettings(max_new_tokens, temperature, top_p)
    engine = TransformersEngine(model, tokenizer)
    ids = [engine.encode(prompt) for prompt in prompts]
    found: list[list[Completion]] = [[] for _ in prompts]
    total = len(prompts) * num_samples
    with tqdm(total=total, desc=description, unit="sample", disable=description is None) as bar:
        for number, chunk in enumerate(plan([len(prompt) for prompt in ids], num_samples, batch_size)):
            completions = engine.sample(
                [ids[row.prompt] for row in chunk], settings, chunk_seed(seed, number)
            )
            for row, completion in zip(chunk, completions, strict=True):
                found[row.prompt].append(completion)
            bar.update(len(chunk))
    return found


# ---- Prompts as token ids, through a tokenizer's chat template.


def encode(tokenizer: Any, prompt: Prompt) -> list[int]:
    """A prompt's token ids; chat messages go through the tokenizer's chat template.

    Where the template refuses a system message, its text stands at the beginning of the user's first message.

    Raises:
        ValueError: messages, and the tokenizer has no chat template or one that refuses them.
    """
    if isinstance(prompt, str):
        ids: list[int] = tokenizer(prompt)["input_ids"]
        return ids
    from jinja2 import TemplateError

    if tokenizer.chat_template is None:
        raise ValueError(
            "the prompts are chat messages, and the tokenizer has no chat template: evaluate a chat model, or save "
            "a template with the tokenizer"
        )
    try:
        return _token_ids(tokenizer, prompt)
    except TemplateError as error:
        if not refuses_system(tokenizer, prompt):
            raise ValueError(f"the tokenizer's chat template refuses the prompt: {error}") from None
        return _token_ids(tokenizer, _folded(prompt))


def _token_ids(tokenizer: Any, messages: Sequence[Mapping[str, Any]]) -> list[int]:
    ids: list[int] = tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=True, tokenize=True, return_dict=True
    )["input_ids"]
    return ids


def refuses_system(tokenizer: Any, prompt: Prompt) -> bool:
    """Whether the chat template refuses the system message at the beginning of a prompt, and nothing else of it."""
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
    """Without the system message, whose text begins the user's first one."""
    system, rest = messages[0]["content"], [dict(message) for message in messages[1:]]
    if rest:
        rest[0]["content"] = f"{system}\n\n{rest[0]['content']}"
    return rest or [dict(message) for message in messages]
