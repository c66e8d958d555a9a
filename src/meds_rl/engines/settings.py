"""The settings of the shaped reward and its memory, as every engine has them under a prefix of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_type_hints

from meds_rl.memory.clustering import Clustering, HDBSCANClustering
from meds_rl.memory.memory import ErrorMemory
from meds_rl.shaping.clusterings import (
    AgglomerativeClusters,
    DBSCANClustering,
    ExactClustering,
    KMeansClustering,
    RandomLabels,
    SingleCluster,
)
from meds_rl.shaping.penalty import check_anneal
from meds_rl.shaping.shaper import RewardShaper

# ---- Which numbers the settings that engines share may hold.

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


# ---- Named sets of defaults: what a setting is where nobody says what it should be. A value given explicitly wins.

_PUBLISHED: Mapping[str, Any] = {
    "target": "wrong",
    "scope": "prompt",
    "penalty_form": "log",
    "clustering": "hdbscan",
}

PRESETS: dict[str, Mapping[str, Any]] = {
    # As published and released.
    "paper": {
        **_PUBLISHED,
        "fingerprint": "layer_logits",
        "cluster_selection_epsilon": 0.0,
        "max_distance": None,
        "all_wrong": "skip",
        "alpha": 0.1,
        "beta": 0.2,
        "anneal": [1.0, 1.0],
    },
    # What this project takes instead (docs/evidence.md): it reads the working, knows a new error when it comes, acts
    # where nothing is right yet, goes on telling often made errors from very often made ones, and ends before training
    # does, so that the last third learns from the plain reward.
    "recommended": {
        **_PUBLISHED,
        "fingerprint": "working_states",
        "cluster_selection_epsilon": 0.2,
        "max_distance": 0.25,
        "all_wrong": "center",
        "alpha": 0.1,
        "beta": 2.0,
        "anneal": [0.333, 0.666],
    },
}
"""By preset: setting of the memory -> value. All presets set the same settings."""

ADVANTAGE: dict[str, Mapping[str, Any]] = {
    "paper": {"entropy_advantage": False, "scale_rewards": "group"},
    "recommended": {"entropy_advantage": True, "scale_rewards": "none"},
}
"""By preset: how MEDS makes advantages of shaped rewards.

That is whether it adds the entropy advantage, and whether rewards less the group's mean are divided by its deviation
("group") or not ("none"). What each is worth: docs/evidence.md.
"""


@dataclass(frozen=True, kw_only=True)
class MemorySettings:
    """What makes a :class:`~meds_rl.RewardShaper` with a memory; each is explained in docs/configuration.md.

    Those without a default are set by a preset (`meds_rl.engines.settings`). Values are checked by
    `meds_rl.engines.settings`.
    """

    alpha: float
    beta: float
    target: Literal["wrong", "right", "both"]
    noise: Literal["cluster", "free"] = "cluster"
    all_wrong: Literal["skip", "center", "shape"]
    mixed: Literal["shape", "remember"] = "shape"
    anneal: Sequence[float] | None
    no_answer: Literal["cluster", "free"] = "cluster"
    n_neighbors: int = 3
    max_distance: float | None
    scope: Literal["prompt", "global", "batch"]
    penalty_form: Literal["log", "inverse_sqrt", "share"]
    clustering: Literal["hdbscan", "exact", "single", "kmeans", "dbscan", "agglomerative", "random"]
    num_clusters: int = 8
    cluster_distance: float = 0.3
    min_cluster_size: int = 2
    cluster_selection_epsilon: float
    capacity: int | None = None
    total_capacity: int | None = None
    drop_first: Literal["oldest", "largest"] = "oldest"
    half_life: float | None = None

    @property
    def shapes_all_wrong(self) -> bool:
        """Whether a group without a right answer can carry signal, so that dynamic sampling must keep it."""
        return self.all_wrong != "skip" and self.target != "right"


SETTINGS = tuple(field.name for field in fields(MemorySettings))


def choices(kind: Any) -> dict[str, tuple[str, ...]]:
    """The settings of a dataclass that are one of a few names: setting -> names.

    Example:
        >>> choices(MemorySettings)["drop_first"]
        ('oldest', 'largest')
    """
    named = {name: get_args(hint) for name, hint in get_type_hints(kind).items()}
    return {name: args for name, args in named.items() if args and all(isinstance(arg, str) for arg in args)}


def check_choices(kind: Any, values: Mapping[str, Any], prefix: str) -> None:
    """Raise a ValueError that names what is allowed where a value is none of the names."""
    for name, allowed in choices(kind).items():
        if values[name] not in allowed:
            raise ValueError(f"{prefix}{name} must be one of {', '.join(allowed)}; got {values[name]!r}.")


def make_clustering(settings: MemorySettings) -> Clustering:
    """What ``clustering`` and the settings that belong to it say."""
    hdbscan = HDBSCANClustering(
        min_cluster_size=settings.min_cluster_size,
        cluster_selection_epsilon=settings.cluster_selection_epsilon,
    )
    if settings.clustering == "exact":
        return ExactClustering()
    if settings.clustering == "single":
        return SingleCluster()
    if settings.clustering == "kmeans":
        return KMeansClustering(settings.num_clusters)
    if settings.clustering == "dbscan":
        return DBSCANClustering(settings.cluster_distance, settings.min_cluster_size)
    if settings.clustering == "agglomerative":
        return AgglomerativeClusters(settings.cluster_distance)
    return RandomLabels(hdbscan) if settings.clustering == "random" else hdbscan


def make_memory(settings: MemorySettings) -> ErrorMemory:
    """An empty memory."""
    return ErrorMemory(
        make_clustering(settings),
        capacity=settings.capacity,
        total_capacity=settings.total_capacity,
        drop_first=settings.drop_first,
        half_life=settings.half_life,
    )


def make_shaper(settings: MemorySettings, memory: ErrorMemory | None = None) -> RewardShaper:
    """The shaper, with the memory handed in or an empty one."""
    return RewardShaper(
        alpha=settings.alpha,
        beta=settings.beta,
        target=settings.target,
        noise=settings.noise,
        all_wrong=settings.all_wrong,
        no_answer=settings.no_answer,
        n_neighbors=settings.n_neighbors,
        max_distance=settings.max_distance,
        scope=settings.scope,
        penalty_form=settings.penalty_form,
        mixed=settings.mixed,
        anneal=settings.anneal,
        memory=make_memory(settings) if memory is None else memory,
    )
