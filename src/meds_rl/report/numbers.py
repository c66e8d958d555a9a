"""Numbers of files that anyone may have written."""

from __future__ import annotations

LARGEST = 1e100
"""A larger figure is damage; sums and charts of such numbers overflow."""


def finite(value: object) -> float | None:
    """The value as a float; None where it is no number, not finite, or beyond `LARGEST`.

    Example:
        >>> finite(3), finite(float("nan")), finite("3"), finite(10**400)
        (3.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -LARGEST <= value <= LARGEST else None
