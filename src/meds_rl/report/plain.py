"""Makes data of anything that was read fit for JSON in UTF-8."""

from __future__ import annotations

from typing import Any


def plain(value: Any) -> Any:
    """The same with None for what is no finite number, which JSON does not know, and `encodable` texts.

    Example:
        >>> plain({"a": [float("nan"), "b\\udcff"]})
        {'a': [None, 'b\\\\udcff']}
    """
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, float) and not -float("inf") < value < float("inf"):
        return None
    return value


def encodable(text: str) -> str:
    """The text with half characters (lone surrogates, as of a file name that is no UTF-8) spelled out."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
