"""Fingerprints of outcomes: what a grader reports of a completion, such as one item for each test of a program."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meds_rl.fingerprint.steps import signs

NUM_FEATURES = 128

MAX_ITEMS, MAX_CHARACTERS = 1_000, 200
"""Items of an outcome that are read, and characters of each."""

SEPARATOR = ", "
"""Stands between the items of a text, and in no item: an item's own commas have no space after them."""


def outcome_vectors(outcomes: Sequence[Hashable | None], num_features: int = NUM_FEATURES) -> NDArray[np.float32]:
    """Unit vectors (B, D) float32 that are equal for equal outcomes; a row of NaN for no outcome (None).

    A tuple has items, a text those that `outcome_text` has written, any other value is one item. The vector is the sum
    over items of the random signs (1 or -1) of hash(place, item), divided by its length. Two outcomes of n items that
    differ in m of them are about sqrt(2 m / n) apart. Items are compared as texts (`outcome_text`), so a vector is the
    same on every machine.

    Raises:
        TypeError: an outcome is not hashable, or has no text of its own.
        ValueError: D is no multiple of 64.

    Example:
        >>> a, b, c = outcome_vectors([("ok", "IndexError"), ("ok", "got 5"), "lost by timeout"])
        >>> round(float(a @ a), 3), bool(a @ b > a @ c)
        (1.0, True)
    """
    places: dict[tuple[int, str], int] = {}  # (place, item) -> row of `of_item`; a batch has the same few many times
    rows = [
        None if outcome is None else [places.setdefault(pair, len(places)) for pair in enumerate(_items(outcome))]
        for outcome in outcomes
    ]
    hashes = np.array([_hash(*pair) for pair in places], dtype=np.uint64)
    of_item = signs(hashes, num_features).astype(np.int32)
    vectors = np.full((len(rows), num_features), np.nan, dtype=np.float32)
    for row, found in enumerate(rows):
        if found is not None:
            total = of_item[found].sum(axis=0)
            vectors[row] = total / np.linalg.norm(total)
    return vectors


def outcome_text(outcome: Hashable | None) -> str | None:
    """An outcome in the rollouts table: its items, at most `MAX_ITEMS` of `MAX_CHARACTERS`; None for None.

    The text has the vector of the outcome (`outcome_vectors`), and is its own text.

    Raises:
        TypeError: it is not hashable, or has no text of its own.

    Example:
        >>> outcome_text(("ok", "IndexError", "got [1, 2]"))
        'ok, IndexError, got [1,2]'
    """
    return None if outcome is None else SEPARATOR.join(_items(outcome))


def _items(outcome: Hashable) -> list[str]:
    """At least one item."""
    try:
        hash(outcome)
    except TypeError:
        raise TypeError(
            f"an outcome must be hashable (text, a number, a tuple of them); got {type(outcome).__name__} "
            f"{repr(outcome)[:80]}"
        ) from None
    items: Sequence[Any] = (outcome,)
    if isinstance(outcome, str):
        items = outcome[: MAX_ITEMS * (MAX_CHARACTERS + len(SEPARATOR))].split(SEPARATOR)
    elif isinstance(outcome, tuple) and outcome:
        items = outcome
    return [_item(item) for item in items[:MAX_ITEMS]]


def _item(item: Any) -> str:
    return _line(item[: 4 * MAX_CHARACTERS] if isinstance(item, str) else _canonical(item)[: 4 * MAX_CHARACTERS])


@lru_cache(maxsize=4096)
def _line(text: str) -> str:
    line = " ".join(text.split()).replace(SEPARATOR, ",")[:MAX_CHARACTERS].rstrip()
    return line.encode("utf-8", "replace").decode()  # half a surrogate pair can neither be hashed nor written


def _canonical(value: Any) -> str:
    """A text that is the same in every process: sets in order, no address in it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, frozenset):
        return "{" + SEPARATOR.join(sorted(map(_canonical, value))) + "}"
    if isinstance(value, tuple):
        return "(" + SEPARATOR.join(map(_canonical, value[:MAX_ITEMS])) + ")"
    if type(value) is int and value.bit_length() > 8 * MAX_CHARACTERS:
        return hex(value)  # Python refuses to write very long numbers in decimals
    if "__repr__" not in {name for kind in type(value).__mro__[:-1] for name in vars(kind)}:
        raise TypeError(f"an outcome must have a text of its own; got a {type(value).__name__} without __repr__")
    return repr(value)


def _hash(place: int, item: str) -> int:
    return int.from_bytes(blake2b(f"{place}:{item}".encode(), digest_size=8).digest(), "little")
