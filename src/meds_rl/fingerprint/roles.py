"""The result of reading a working: steps, in which each number or name is replaced by its role (a, b, ...; x, y, ...).

`arithmetic`, `code` and `copied` make it, `steps` chooses between them.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

_MASK = (1 << 64) - 1


class Working(NamedTuple):
    """The steps of a completion.

    Attributes:
        name: the steps, for a reader.
        shape: the same, with "∘" where a step has the prompt's own sign; equal for workings with equal keys.
        key: a 64-bit hash of the steps; equal for workings with the same steps.
        parts: 64-bit hashes of the steps and of neighbouring steps; similar workings share many of them.
        unused: names of the prompt's numbers that no step uses, as they are or as a percentage or share.
        written: the steps with their numbers, as "7 + 3 = 10"; only for arithmetic.
        results: the results of these.
        unread: equations that could not be read.
    """

    name: str
    shape: str
    key: int
    parts: tuple[int, ...]
    unused: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    results: tuple[float, ...] = ()
    unread: int = 0


def letter_of(place: int) -> str:
    """The name of a prompt's number: a to w, then n24, n25, ...

    >>> letter_of(0), letter_of(22), letter_of(23)
    ('a', 'w', 'n24')
    """
    return chr(ord("a") + place) if place < 23 else f"n{place + 1}"


def result_letter(place: int) -> str:
    """The name of a step's result: x, y, z, then x4, x5, ...

    >>> result_letter(0), result_letter(3)
    ('x', 'x4')
    """
    return "xyz"[place] if place < 3 else f"x{place + 1}"


def mix(a: int, b: int, c: int = 0) -> int:
    """A 64-bit hash of three numbers, the same on every machine."""
    h = ((a * 0x9E3779B97F4A7C15 + b) * 0xBF58476D1CE4E5B9 + c) & _MASK
    h = ((h ^ (h >> 31)) * 0x94D049BB133111EB) & _MASK
    return h ^ (h >> 29)


def text_hash(text: str) -> int:
    """A 64-bit hash of a text, the same on every machine."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
