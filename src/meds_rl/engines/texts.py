"""Turns the prompts and completions that trainers pass to reward functions into texts and prompt ids."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from meds_rl.fingerprint.outcome import outcome_text
from meds_rl.tasks.base import prompt_id

OUTCOME = "outcome"
"""Name under which reward functions report outcomes; also their column in the rollouts."""


def prompt_id_of(row: Mapping[str, Any], prompt: Any = None) -> str | int:
    """The prompt's key in the memory: the column `prompt_id`, or a hash of the prompt.

    Args:
        row: a row of the data set.
        prompt: the prompt with its images and with what an environment's `reset` has added. Default: the row's.
    """
    if "prompt_id" in row:
        given: str | int = row["prompt_id"]
        return given
    return prompt_id(row["prompt"] if prompt is None else prompt)


def text_of(completion: str | list[dict[str, Any]]) -> str:
    """A completion as text; of chat messages, only the assistant's, each with its reasoning first."""
    if isinstance(completion, str):
        return completion
    written = [message for message in completion if message.get("role", "assistant") == "assistant"]
    # If the tokenizer has a response template, TRL moves the reasoning out of the content.
    parts = (message.get(name) for message in written for name in ("reasoning_content", "content"))
    return "".join(map(_content_text, parts))


def _content_text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(
            str(part.get("text") or "") if isinstance(part, Mapping) else str(part or "") for part in content
        )
    return str(content or "")


def prompt_text(prompt: str | list[dict[str, Any]]) -> str:
    """A prompt as text; chat messages as JSON, with a placeholder for each image."""
    if isinstance(prompt, str):
        return prompt
    messages = [{**message, "content": _without_images(message.get("content"))} for message in prompt]
    return json.dumps(messages, default=lambda value: type(value).__name__)


def has_images(prompt: str | list[dict[str, Any]]) -> bool:
    """Whether a message of the prompt contains an image."""
    contents = [] if isinstance(prompt, str) else [message.get("content") for message in prompt]
    return any(_is_image(part) for content in contents if isinstance(content, list) for part in content)


def _without_images(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [{"type": "image"} if _is_image(part) else part for part in content]


def _is_image(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "image"


def outcome_texts(values: Sequence[Any], num_rows: int) -> list[str | None]:
    """The outcomes of a batch as texts, for the log, the rollouts and the fingerprint (`outcome_text`).

    Raises:
        TypeError: an outcome is not hashable.
        ValueError: there is not one for each row.
    """
    if len(values) != num_rows:
        raise ValueError(
            f"outcome has {len(values)} values for {num_rows} completions: only one function may report outcomes, "
            "one value for each completion, None for no outcome"
        )
    return [outcome_text(value) for value in values]
