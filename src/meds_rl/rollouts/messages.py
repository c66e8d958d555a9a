"""Prompts and completions of other programs as text: chat messages, tool calls, images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from meds_rl.files import encodable
from meds_rl.tasks.base import prompt_id

Message = dict[str, Any]


def prompt_text(prompt: Any) -> str | None:
    """A prompt as the rollouts have it: text, or chat messages as JSON with a placeholder for each image.

    None for anything else, and for an empty one.

    Example:
        >>> prompt_text([{"role": "user", "content": "2 + 2?", "name": None}])
        '[{"role": "user", "content": "2 + 2?"}]'
    """
    if isinstance(prompt, str):
        return encodable(prompt) or None
    messages = _messages(prompt)
    if not messages:
        return None
    shown = [{**_given(message), "content": _without_images(message.get("content"))} for message in messages]
    try:
        return encodable(json.dumps(shown, ensure_ascii=False, default=lambda value: type(value).__name__))
    except (ValueError, RecursionError):
        return None


def id_of_prompt(text: str) -> str:
    """The prompt id that our trainers compute, from a text or from messages as JSON (`prompt_text`)."""
    messages = _in_json(text)
    try:
        return prompt_id(text if messages is None else messages)
    except (TypeError, ValueError, RecursionError):  # messages without a role or without content
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def completion_text(completion: Any) -> tuple[str, str] | None:
    """A completion as text, and the part that the model wrote itself, where its answer is searched.

    The contents of chat messages are joined; a tool call becomes its name and arguments, an image ``[image]``. None for
    anything but text and chat messages.

    Example:
        >>> turns = [
        ...     {"role": "assistant", "tool_calls": [{"function": {"name": "add", "arguments": '{"a": 2}'}}]},
        ...     {"role": "tool", "content": "4"},
        ...     {"role": "assistant", "content": "It is 4."},
        ... ]
        >>> completion_text(turns)
        ('[tool call] add({"a": 2})\\n[tool] 4\\nIt is 4.', '[tool call] add({"a": 2})\\nIt is 4.')
        >>> completion_text("It is 4.")
        ('It is 4.', 'It is 4.')
    """
    messages = None if isinstance(completion, str) and not completion.startswith("[{") else _messages(completion)
    if messages is None:
        messages = _in_json(completion) if isinstance(completion, str) else None
    if messages is None:
        return (encodable(completion), encodable(completion)) if isinstance(completion, str) else None
    turns = [(message.get("role", "assistant"), _turn(message)) for message in messages]
    everything = "\n".join(text if role == "assistant" else f"[{role}] {text}" for role, text in turns)
    return encodable(everything), encodable("\n".join(text for role, text in turns if role == "assistant"))


def _messages(value: Any) -> list[Message] | None:
    """A list of chat messages, from a message or a list of them; None for anything else."""
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return None
    return list(value) if all(isinstance(one, dict) and _is_message(one) for one in value) else None


def _is_message(value: Message) -> bool:
    return "role" in value or "content" in value


def _in_json(text: str) -> list[Message] | None:
    """Chat messages that are written as JSON; None for any other text."""
    if not text.startswith('[{"'):
        return None
    try:
        return _messages(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _given(message: Message) -> Message:
    return {name: value for name, value in message.items() if value is not None}  # Arrow adds keys of other messages


def _without_images(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [{"type": "image"} if _is_image(part) else part for part in content]


def _is_image(part: Any) -> bool:
    return isinstance(part, dict) and str(part.get("type", "")).startswith("image")


def _turn(message: Message) -> str:
    parts = [_content(message.get("content"))]
    calls = message.get("tool_calls")
    if isinstance(calls, Sequence) and not isinstance(calls, str):
        parts += [_call(call) for call in calls]
    return "\n".join(part for part in parts if part)


def _content(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(filter(None, map(_part, content)))
    return content if isinstance(content, str) else ""


def _part(part: Any) -> str:
    if isinstance(part, dict) and not _is_image(part):
        text = part.get("text")
        return text if isinstance(text, str) else ""
    return "[image]" if isinstance(part, dict) else str(part or "")


def _call(call: Any) -> str:
    """A tool call as text. Some programs write it as JSON, some without the level `function`."""
    if isinstance(call, str):
        try:
            call = json.loads(call)
        except (ValueError, RecursionError):
            return f"[tool call] {call}"
    if not isinstance(call, dict):
        return ""
    function = call.get("function")
    asked = function if isinstance(function, dict) else call
    arguments = asked.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, default=str)
    return f"[tool call] {asked.get('name')}({text})"
