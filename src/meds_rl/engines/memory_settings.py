"""The settings of the shaped reward and its memory, as every engine has them under a prefix of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_type_hints

from meds_rl.shaping.clustering import Clustering, HDBSCANClustering
from meds_rl.shaping.clusterings import (
    AgglomerativeClusters,
    DBSCANClustering,
    ExactClustering,
    KMeansClustering,
    RandomLabels,
    SingleCluster,
)
from meds_rl.shaping.memory import ErrorMemory
from meds_rl.shaping.shaper import RewardShaper


@dataclass(frozen=True, kw_only=True)
class MemorySettings:
    """What makes a :class:`~meds_rl.RewardShaper` with a memory; each is explained in docs/configuration.md.

    Those without a default are set by a preset (`meds_rl.engines.presets`). Values are checked by
    `meds_rl.engines.bounds`.
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
