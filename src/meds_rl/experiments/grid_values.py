"""The plain values of a grid's file: names, numbers, lists and pairs of methods."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any


class GridError(ValueError):
    """A grid cannot be read, or says what it cannot say."""


def check_names(names: Iterable[str], allowed: Sequence[str], where: str) -> None:
    """Refuse a name that is not allowed.

    Raises:
        GridError: with the nearest names that are.
    """
    for name in names:
        if name not in allowed:
            close = difflib.get_close_matches(str(name), allowed, n=3)
            listed = ", ".join(allowed) if len(allowed) < 20 else "the fields of docs/configuration.md"
            hint = f"Did you mean {' or '.join(close)}?" if close else f"Allowed: {listed}."
            raise GridError(f"{where}: unknown name {name!r}. {hint}")


def seeds(given: Any) -> tuple[int, ...]:
    """A number of seeds from 0, or a list of seeds.

    Raises:
        GridError: neither, or one comes twice.

    Example:
        >>> seeds(3), seeds([7, 1])
        ((0, 1, 2), (7, 1))
    """
    listed = list(range(given)) if _is_int(given) and given > 0 else given
    if not isinstance(listed, list) or not listed or not all(_is_int(seed) and seed >= 0 for seed in listed):
        raise GridError(f"seeds must be a number of seeds, or a list of whole numbers from 0; got {given!r}.")
    if len(set(listed)) != len(listed):
        raise GridError(f"seeds must not repeat: each repetition would count twice; got {given!r}.")
    return tuple(listed)


def positive(given: Any, where: str) -> int | None:
    """A whole number from 1, or None.

    Raises:
        GridError: anything else.
    """
    if given is None:
        return None
    if not _is_int(given) or given < 1:
        raise GridError(f"{where} must be a whole number from 1; got {given!r}.")
    return int(given)


def texts(given: Any, where: str) -> tuple[str, ...]:
    """One text or a list of them; empty where nothing is given.

    Raises:
        GridError: anything else.
    """
    listed = [given] if isinstance(given, str) else given or []
    if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
        raise GridError(f"{where} must be a list of names; got {given!r}.")
    return tuple(listed)


def pairs(given: Any, methods: Sequence[str], baseline: str) -> tuple[tuple[str, str], ...]:
    """Pairs [method, other method] that are compared besides every method with the baseline.

    Raises:
        GridError: no list of pairs, an unknown method, a method with itself, or a pair that is compared already.

    Example:
        >>> pairs([["meds", "count"]], ["dapo", "count", "meds"], "dapo")
        (('meds', 'count'),)
    """
    listed = given or []
    if not isinstance(listed, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in listed):
        raise GridError(f"also must be a list of pairs [method, other method]; got {given!r}.")
    found: list[tuple[str, str]] = []
    for method, other in listed:
        check_names([method, other], methods, "also")
        if method == other:
            raise GridError(f"also: [{method}, {other}] compares a method with itself.")
        if baseline in (method, other):
            raise GridError(
                f"also: [{method}, {other}] is in the tables as it is: every method is compared with {baseline}."
            )
        if (method, other) in found or (other, method) in found:
            raise GridError(f"also: {method} and {other} come twice.")
        found.append((method, other))
    return tuple(found)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
