"""How much of the penalty's strength counts at a point of training: all, then less, then nothing."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

Anneal: TypeAlias = Sequence[float]


def check_anneal(name: str, value: Anneal | None) -> tuple[float, float] | None:
    """Two shares of training, 0 <= from <= until <= 1; None for None and for from = 1, as both are alpha throughout.

    Raises:
        ValueError: anything else.
    """
    if value is None:
        return None
    numbers = tuple(value) if isinstance(value, Sequence) else ()
    if len(numbers) != 2 or not all(_is_number(number) for number in numbers):
        raise ValueError(
            f"{name} must be None or two shares of training, such as [0.333, 0.666]; got {value!r}."
        )
    begin, end = float(numbers[0]), float(numbers[1])
    if not 0 <= begin <= end <= 1:
        raise ValueError(
            f"{name} must be two shares of training in order, 0 <= from <= until <= 1; got {value!r}."
        )
    return None if begin == 1 else (begin, end)


def check_progress(value: float | None, anneal: tuple[float, float] | None) -> float | None:
    """The share of training that is done, 0 to 1; needed where alpha is annealed.

    Raises:
        ValueError: it is missing or out of range.
    """
    if value is None:
        if anneal is not None:
            raise ValueError(
                f"anneal={list(anneal)} lets alpha fall in the course of training: shape needs progress, the share of "
                "training that is done, 0 to 1; got None"
            )
        return None
    if not _is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"progress must be the share of training that is done, 0 to 1; got {value!r}")
    return float(value)


def strength(anneal: tuple[float, float] | None, progress: float | None) -> float:
    """Share of alpha that counts: 1 up to `anneal`'s first share of training, 0 after its second, linear between.

    Example:
        >>> [strength((0.25, 0.75), done) for done in (0.0, 0.25, 0.5, 0.75, 1.0)]
        [1.0, 1.0, 0.5, 0.0, 0.0]
        >>> strength((1.0, 1.0), 1.0), strength(None, None)
        (1.0, 1.0)
    """
    if anneal is None or progress is None or progress <= anneal[0]:
        return 1.0
    return max(0.0, (anneal[1] - progress) / (anneal[1] - anneal[0])) if anneal[1] > anneal[0] else 0.0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
