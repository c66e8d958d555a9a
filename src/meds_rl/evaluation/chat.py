"""Prompts as token ids, through a tokenizer's chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meds_rl.evaluation.sampling import Prompt


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
