"""Fingerprints of outcomes. An outcome is what a grader reports of a completion, such as one item per test."""

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
"""Between the items of an outcome's text. No item has it: `_line` removes the space after its own commas."""


def outcome_vectors(outcomes: Sequence[Hashable | None], num_features: int = NUM_FEATURES) -> NDArray[np.float32]:
    """Unit vectors (B, D) float32 that are equal for equal outcomes; a row of NaN for no outcome (None).

    A tuple is read item by item, and so is the text that `outcome_text` makes of it. Any other value is one item.

    The vector is a + b, scaled to length 1. Each item and its place are hashed to random signs (1 or -1), and a is the
    unit vector of their sum; b is the unit vector of the signs of the whole outcome. Two outcomes of n items that
    differ in m of them are about sqrt(1 + m / n) apart, so within the recommended `max_distance` of .25 only equal
    outcomes count together. Without b, programs that fail all of many tests would be one error
    (lab/evidence/fingerprints.md, "Programs"). Items are hashed as texts, so a vector is the same on every machine.

    Raises:
        TypeError: an outcome is not hashable, or its class has no `__repr__`.
        ValueError: D is no multiple of 64.

    Example:
        >>> a, b, c = outcome_vectors([("ok", "IndexError"), ("ok", "got 5"), "lost by timeout"])
        >>> round(float(a @ a), 3), bool(a @ b > a @ c)
        (1.0, True)
    """
    hashes: dict[tuple[int, str], int] = {}
    rows = [
        None if outcome is None else [hashes.setdefault(pair, _hash(*pair)) for pair in _pairs(outcome)]
        for outcome in outcomes
    ]
    of_hash = signs(np.array(list(hashes.values()), dtype=np.uint64), num_features).astype(np.int32)
    place_of = {value: place for place, value in enumerate(hashes.values())}
    vectors = np.full((len(rows), num_features), np.nan, dtype=np.float32)
    for row, found in enumerate(rows):
        if found is not None:
            *items, whole = (place_of[value] for value in found)
            vectors[row] = _unit(_unit(of_hash[items].sum(axis=0)) + _unit(of_hash[whole]))
    return vectors


def _pairs(outcome: Hashable) -> list[tuple[int, str]]:
    """What is hashed: each item with its place, and the whole outcome with place -1."""
    items = _items(outcome)
    return [*enumerate(items), (-1, SEPARATOR.join(items))]


def _unit(vector: NDArray[Any]) -> NDArray[np.float64]:
    """Of length 1; a vector of zeros unchanged, as the signs of two items may cancel out."""
    return np.asarray(vector / max(np.linalg.norm(vector), np.finfo(np.float64).tiny))


def outcome_text(outcome: Hashable | None) -> str | None:
    """The text of an outcome in the rollouts: its items, at most `MAX_ITEMS` of `MAX_CHARACTERS` each; None for None.

    The text and the outcome have the same vector (`outcome_vectors`). The text of a text is the text itself.

    Raises:
        TypeError: it is not hashable, or its class has no `__repr__`.

    Example:
        >>> outcome_text(("ok", "IndexError", "got [1, 2]"))
        'ok, IndexError, got [1,2]'
    """
    return None if outcome is None else SEPARATOR.join(_items(outcome))


def _items(outcome: Hashable) -> list[str]:
    """The items as texts, at least one."""
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
    """One line of at most `MAX_CHARACTERS`, without `SEPARATOR`."""
    line = " ".join(text.split()).replace(SEPARATOR, ",")[:MAX_CHARACTERS].rstrip()
    return line.encode("utf-8", "replace").decode()  # half a surrogate pair can neither be hashed nor written


def _canonical(value: Any) -> str:
    """A text that is the same in every process: with sorted sets and no addresses."""
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
