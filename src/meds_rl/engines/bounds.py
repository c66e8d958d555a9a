"""Which numbers the settings that engines share may hold."""

from collections.abc import Mapping
from typing import Any

from meds_rl.shaping.annealing import check_anneal

_WHOLE = ("n_neighbors", "min_cluster_size", "num_clusters")
_LOWEST = (
    ("alpha", 0),
    ("beta", 0),
    ("n_neighbors", 1),
    ("min_cluster_size", 2),
    ("cluster_selection_epsilon", 0),
    ("num_clusters", 1),
)
_WHOLE_OR_NONE = (("capacity", 1), ("total_capacity", 1))


def check_memory_bounds(values: Mapping[str, Any], prefix: str) -> None:
    """The numbers among the settings of `MemorySettings`.

    Args:
        values: setting -> value.
        prefix: what stands before a setting's name where the user writes it: ``meds_`` or ``meds.``.

    Raises:
        ValueError: one is out of range or not the right kind of number, with what is allowed.
    """
    for name in _WHOLE:
        check_whole(f"{prefix}{name}", values[name])
    for name, lowest in _LOWEST:
        check_at_least(f"{prefix}{name}", values[name], lowest)
    for name, least in _WHOLE_OR_NONE:
        check_whole_or_none(f"{prefix}{name}", values[name], least)
    furthest, between, half_life = values["max_distance"], values["cluster_distance"], values["half_life"]
    check_anneal(f"{prefix}anneal", values["anneal"])
    if furthest is not None and not (isinstance(furthest, int | float) and 0 <= furthest <= 2):
        raise ValueError(
            f"{prefix}max_distance must be None or 0 to 2, the distance of unit vectors; got {furthest!r}."
        )
    if not (isinstance(between, int | float) and 0 < between <= 2):
        raise ValueError(
            f"{prefix}cluster_distance must be above 0 and at most 2, the distance of unit vectors; got {between!r}."
        )
    if half_life is not None and not (isinstance(half_life, int | float) and 0 < half_life < float("inf")):
        raise ValueError(f"{prefix}half_life must be None or a finite number above 0; got {half_life!r}.")


def check_whole(name: str, value: Any) -> None:
    """Raise a ValueError unless it is a whole number."""
    if not isinstance(value, int):
        raise ValueError(f"{name} must be a whole number; got {value!r}.")


def check_at_least(name: str, value: Any, lowest: float) -> None:
    """Raise a ValueError unless it is a finite number and not below `lowest`."""
    if not isinstance(value, int | float) or not lowest <= value < float("inf"):
        raise ValueError(f"{name} must be a finite number of at least {lowest}; got {value!r}.")


def check_flag(name: str, value: Any) -> None:
    """Raise a ValueError unless it is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false; got {value!r}.")


def check_above(name: str, value: Any, bound: float) -> None:
    """Raise a ValueError unless it is a number above `bound`."""
    if not isinstance(value, int | float) or not value > bound:
        raise ValueError(f"{name} must be above {bound}; got {value!r}.")


def check_whole_or_none(name: str, value: Any, least: int) -> None:
    """Raise a ValueError unless it is None or a whole number of at least `least`."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise ValueError(f"{name} must be None or a whole number of at least {least}; got {value!r}.")


def check_layers(name: str, layers: int | None, fingerprint: str) -> None:
    """Raise a ValueError where a number of layers cannot be meant for this fingerprint."""
    if layers == -1 and fingerprint == "pooled_logits":
        raise ValueError(f"{name}=-1 (all) is for layer_logits; {fingerprint} reads one layer, 1 to L.")
    if layers is not None and layers != -1 and (not isinstance(layers, int) or layers < 1):
        raise ValueError(f"{name} must be -1 (all) or at least 1; got {layers}.")
