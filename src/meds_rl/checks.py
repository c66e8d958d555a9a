"""Checks of what callers pass in, before any state changes. Each returns the value in one canonical form."""

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

PromptId: TypeAlias = str | int

LARGEST = 1e100
"""Largest reward, setting or penalty: products of two and sums of squares are finite."""
LARGEST_ID = 2**1024
"""An integer prompt id is smaller: Python writes and reads no integers of more than 4,300 digits."""

# ---- Settings.


def check_non_negative(name: str, value: float) -> float:
    """A finite number >= 0, at most `LARGEST`."""
    if not is_number(value):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:  # an integer such as 10**400
        number = math.copysign(math.inf, value > 0 or -1)
    if number < 0 or not math.isfinite(number):
        raise ValueError(f"{name} must be finite and 0 or more, got {shown(value)}")
    if number > LARGEST:
        raise ValueError(f"{name} must be at most {LARGEST:g}, got {value!r}")
    return number


def shown(value: object) -> str:
    """A value in an error message."""
    is_long = isinstance(value, int) and abs(value) >= LARGEST_ID
    return f"an integer of {int(value).bit_length()} bits" if is_long else repr(value)  # type: ignore[call-overload]


def is_number(value: object) -> bool:
    """Whether a value is an integer or a float, Python's or numpy's; True and False are not numbers."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def check_positive_int(name: str, value: int) -> int:
    """An integer >= 1."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, got {shown(value)}")
    return int(value)


def check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    """One of the allowed names."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def check_bool(name: str, value: bool) -> bool:
    """True or False, Python's or numpy's."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_half_life(value: float | None) -> float | None:
    """A finite number above 0, or None."""
    if value is None:
        return None
    if check_non_negative("half_life", value) == 0:
        raise ValueError(f"half_life must be above 0, or None for no forgetting, got {value!r}")
    return float(value)


def check_max_distance(value: float | None) -> float | None:
    """A distance of unit vectors, 0 to 2, or None."""
    if value is None:
        return None
    if check_non_negative("max_distance", value) > 2:
        raise ValueError(f"max_distance must be 0 to 2, the distance of unit vectors, or None, got {value!r}")
    return float(value)


# ---- Batches.


def check_prompt_id(prompt_id: PromptId) -> PromptId:
    """A str or int (of at most 1024 bits); numpy's own become Python's, so that equal ids are one key."""
    # bool is an int in Python, and True == 1 would silently share the memory of prompt 1.
    if not isinstance(prompt_id, bool):
        if isinstance(prompt_id, str):
            return str(prompt_id)
        if isinstance(prompt_id, (int, np.integer)):
            if abs(int(prompt_id)) >= LARGEST_ID:
                raise ValueError(f"a prompt id must have at most 1024 bits, got {shown(prompt_id)}")
            return int(prompt_id)
    raise TypeError(f"a prompt id must be a str or an int, got {prompt_id!r} ({type(prompt_id).__name__})")


def check_prompt_ids(prompt_ids: Iterable[PromptId], n_rows: int, name: str = "prompt_ids") -> list[PromptId]:
    """B ids, of prompts or, under another name, of groups."""
    if isinstance(prompt_ids, (str, bytes)):
        raise TypeError(f"{name} must be a sequence of ids, got one string: {prompt_ids!r}")
    checked = [check_prompt_id(prompt_id) for prompt_id in prompt_ids]
    _check_length(name, len(checked), n_rows)
    return checked


def check_rewards(rewards: ArrayLike) -> NDArray[np.float64]:
    """(B,) finite numbers, from -`LARGEST` to `LARGEST`."""
    array = np.asarray(rewards)
    if array.ndim != 1:
        raise ValueError(f"rewards must have shape (B,), got {array.shape}")
    if array.size and array.dtype.kind not in "fiu":
        raise TypeError(f"rewards must be numbers, got dtype {array.dtype}")
    with np.errstate(over="ignore"):  # of a wider type: becomes infinite and is refused
        converted = array.astype(np.float64) if array.size else np.zeros(0)  # of nothing any type will do
    if not np.isfinite(converted).all():
        row = int(np.flatnonzero(~np.isfinite(converted))[0])
        raise ValueError(f"rewards must be finite, got {converted[row]} in row {row}")
    if (np.abs(converted) > LARGEST).any():
        row = int(np.argmax(np.abs(converted)))
        raise ValueError(f"rewards must be from {-LARGEST:g} to {LARGEST:g}, got {converted[row]} in row {row}")
    return converted


def check_bools(name: str, values: ArrayLike, n_rows: int) -> NDArray[np.bool_]:
    """(B,) bool. Numbers are refused: rewards passed by mistake must not count as true."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name} must have shape (B,), got {array.shape}")
    if array.size and array.dtype.kind != "b":
        raise TypeError(f"{name} must be bool, got dtype {array.dtype}")
    _check_length(name, array.size, n_rows)
    return array.astype(np.bool_)


def check_features(
    features: ArrayLike, n_rows: int | None = None, *, n_features: int | None = None
) -> NDArray[np.float32]:
    """(B, D) float32, each row finite or, for a completion without an answer, all NaN.

    `n_rows` is B and `n_features` the D of the memory, where they are known.
    """
    array = np.asarray(features)
    if array.size == 0 and array.ndim == 1:
        array = array.reshape(0, 0)  # an empty list: no rows, so no width either
    if array.ndim != 2:
        raise ValueError(f"features must have shape (B, D), got {array.shape}")
    if array.size and array.dtype.kind not in "fiu":
        raise TypeError(f"features must be floating-point numbers, got dtype {array.dtype}")
    if not array.size:  # of nothing any type will do
        array = np.zeros(array.shape, dtype=np.float32)
    if n_rows is not None:
        _check_length("features", array.shape[0], n_rows)
    if array.shape[0] and not array.shape[1]:
        raise ValueError(f"features must have at least one column, got shape {array.shape}")
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite and is refused below
        # Adding 0.0 turns -0.0 into 0.0, so that equal vectors have equal bytes.
        converted = np.ascontiguousarray(array, dtype=np.float32) + np.float32(0.0)
    _check_feature_rows(converted)
    if n_features is not None and array.shape[0] and array.shape[1] != n_features:
        raise ValueError(f"features must have {n_features} columns, as wide as those in memory, got {array.shape[1]}")
    return converted


def _check_feature_rows(features: NDArray[np.float32]) -> None:
    infinite = np.isinf(features).any(axis=1)
    if infinite.any():
        row = int(np.flatnonzero(infinite)[0])
        raise ValueError(f"features must be finite in float32, or a row of NaN, got infinity in row {row}")
    n_missing = np.isnan(features).sum(axis=1)
    partial = (n_missing > 0) & (n_missing < features.shape[1])
    if partial.any():
        row = int(np.flatnonzero(partial)[0])
        raise ValueError(
            f"a row of features must be NaN throughout (no answer) or not at all, got "
            f"{n_missing[row]} NaN of {features.shape[1]} in row {row}"
        )


def has_answer(features: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(B,) bool: which rows of checked features (B, D) are fingerprints, not NaN."""
    if features.shape[1] == 0:
        return np.zeros(features.shape[0], dtype=np.bool_)
    return ~np.isnan(features[:, 0])


def _check_length(name: str, length: int, n_rows: int) -> None:
    if length != n_rows:
        raise ValueError(f"{name} must have one row per reward, {n_rows}, got {length}")
