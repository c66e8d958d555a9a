"""Which numbers a ``MEDSConfig`` may hold."""

from collections.abc import Mapping
from typing import Any

_WHOLE = (
    "meds_n_neighbors",
    "max_generation_batches",
    "overlong_buffer",
    "meds_min_cluster_size",
    "meds_reencode_age",
    "meds_num_clusters",
    "exploration_dim",
)
_LOWEST = (
    ("correct_above", float("-inf")),
    ("beta", 0),
    ("meds_alpha", 0),
    ("meds_beta", 0),
    ("meds_n_neighbors", 1),
    ("meds_min_cluster_size", 2),
    ("meds_cluster_selection_epsilon", 0),
    ("meds_reencode_age", 1),
    ("meds_num_clusters", 1),
    ("exploration_weight", 0),
    ("exploration_dim", 1),
    ("max_generation_batches", 1),
    ("overlong_buffer", 0),
    ("overlong_factor", 0),
    ("entropy_advantage_coef", 0),
)
_WHOLE_OR_NONE = (("meds_capacity", 1), ("meds_total_capacity", 1), ("meds_reencode_tokens", 0))


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
    for name in _WHOLE:
        if not isinstance(values[name], int):
            raise ValueError(f"{name} must be a whole number; got {values[name]!r}.")
    for name, lowest in _LOWEST:
        value = values[name]
        if not isinstance(value, int | float) or not lowest <= value < float("inf"):
            raise ValueError(f"{name} must be a finite number of at least {lowest}; got {value!r}.")
    for name, least in _WHOLE_OR_NONE:
        value = values[name]
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ValueError(f"{name} must be None or a whole number of at least {least}; got {value!r}.")
    _check_distances(values["meds_max_distance"], values["meds_cluster_distance"])
    weight = values["positive_weight"]
    if weight is not None and not (isinstance(weight, int | float) and 0 <= weight < float("inf")):
        raise ValueError(f"positive_weight must be None or a finite number of at least 0; got {weight!r}.")
    half_life = values["meds_half_life"]
    if half_life is not None and not (isinstance(half_life, int | float) and 0 < half_life < float("inf")):
        raise ValueError(f"meds_half_life must be None or a finite number above 0; got {half_life!r}.")
    if not values["entropy_advantage_cap"] > 0:
        raise ValueError(f"entropy_advantage_cap must be above 0; got {values['entropy_advantage_cap']}.")
    if values["overlong_buffer"] and values["overlong_buffer"] >= values["max_completion_length"]:
        raise ValueError(
            f"overlong_buffer must be below max_completion_length ({values['max_completion_length']}); "
            f"got {values['overlong_buffer']}. 0 turns the overlong punishment off."
        )
    _check_layers(values["fingerprint_layers"], values["fingerprint"])


def _check_distances(furthest: float | None, between: float) -> None:
    if furthest is not None and not (isinstance(furthest, int | float) and 0 <= furthest <= 2):
        raise ValueError(
            f"meds_max_distance must be None or 0 to 2, the distance of unit vectors; got {furthest!r}."
        )
    if not (isinstance(between, int | float) and 0 < between <= 2):
        raise ValueError(
            f"meds_cluster_distance must be above 0 and at most 2, the distance of unit vectors; got {between!r}."
        )


def _check_layers(layers: int | None, fingerprint: str) -> None:
    if layers == -1 and fingerprint == "pooled_logits":
        raise ValueError(
            f"fingerprint_layers=-1 (all) is for layer_logits; {fingerprint} reads one layer, 1 to L."
        )
    if layers is not None and layers != -1 and layers < 1:
        raise ValueError(f"fingerprint_layers must be -1 (all) or at least 1; got {layers}.")
