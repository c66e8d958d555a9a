"""Which numbers a ``MEDSConfig`` may hold."""

from collections.abc import Mapping
from typing import Any

from meds_rl.engines.settings import (
    SETTINGS,
    check_above,
    check_at_least,
    check_flag,
    check_layers,
    check_memory_bounds,
    check_whole,
    check_whole_or_none,
)

_WHOLE = ("max_generation_batches", "overlong_buffer", "meds_reencode_age", "exploration_dim")
_LOWEST = (
    ("correct_above", float("-inf")),
    ("beta", 0),
    ("meds_reencode_age", 1),
    ("exploration_weight", 0),
    ("exploration_dim", 1),
    ("max_generation_batches", 1),
    ("overlong_buffer", 0),
    ("overlong_factor", 0),
    ("entropy_advantage_coef", 0),
)


def check_sizes(values: Mapping[str, Any]) -> None:
    """What TRL divides by, before it does.

    Raises:
        ValueError: one is too small.
    """
    if values["num_generations"] < 2:
        raise ValueError(
            f"num_generations must be at least 2: a group is compared; got {values['num_generations']}."
        )
    for name in ("per_device_train_batch_size", "gradient_accumulation_steps", "max_completion_length"):
        if values[name] < 1:
            raise ValueError(f"{name} must be at least 1; got {values[name]}.")


def check_bounds(values: Mapping[str, Any]) -> None:
    """Our own fields' numbers, by name.

    Raises:
        ValueError: one is out of range or not the right kind of number, with what is allowed.
    """
    check_memory_bounds({name: values[f"meds_{name}"] for name in SETTINGS}, prefix="meds_")
    for name in _WHOLE:
        check_whole(name, values[name])
    for name, lowest in _LOWEST:
        check_at_least(name, values[name], lowest)
    check_whole_or_none("meds_reencode_tokens", values["meds_reencode_tokens"], 0)
    weight = values["positive_weight"]
    if weight is not None and not (isinstance(weight, int | float) and 0 <= weight < float("inf")):
        raise ValueError(f"positive_weight must be None or a finite number of at least 0; got {weight!r}.")
    check_flag("entropy_advantage", values["entropy_advantage"])
    check_above("entropy_advantage_cap", values["entropy_advantage_cap"], 0)
    if values["overlong_buffer"] and values["overlong_buffer"] >= values["max_completion_length"]:
        raise ValueError(
            f"overlong_buffer must be below max_completion_length ({values['max_completion_length']}); "
            f"got {values['overlong_buffer']}. 0 turns the overlong punishment off."
        )
    check_layers("fingerprint_layers", values["fingerprint_layers"], values["fingerprint"])
