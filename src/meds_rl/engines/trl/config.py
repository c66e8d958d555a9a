"""``MEDSConfig``, and what ``MEDSTrainer`` checks and adds before TRL's own ``__init__``: memory, reward functions."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from datasets import Dataset
from trl import GRPOConfig
from trl.rewards import get_soft_overlong_punishment

from meds_rl.engines.settings import (
    METHODS,
    PRESETS,
    check_values,
    default_of,
    field_of,
    make_memory,
    make_shaper,
    name_in,
    settings_of,
    shapes_all_wrong,
)
from meds_rl.memory.clustering import HDBSCANClustering
from meds_rl.memory.memory import ErrorMemory
from meds_rl.shaping.shaper import PenaltyFunction, RewardShaper
from meds_rl.tasks.base import check_dataset


@dataclass
class MEDSConfig(GRPOConfig):
    """Configuration of :class:`~meds_rl.engines.trl.trainer.MEDSTrainer`: every field of ``GRPOConfig``, and 28 more.

    ``method`` and ``preset`` set the fields whose default is None; a value given explicitly always wins. What a field
    means and which values are allowed is in ``docs/settings.md`` and ``meds_rl.engines.settings``. ``meds_*`` fields
    act only with method "meds".

    Note:
        ``beta`` is TRL's KL coefficient. The cap of the penalty, the paper's beta, is ``meds_beta``.

    Raises:
        ValueError: a value that is not allowed, with what is.

    Example:
        >>> args = MEDSConfig("run", preset="recommended", meds_beta=1.0, use_cpu=True, bf16=False)
        >>> args.fingerprint, args.meds_beta, args.meds_all_wrong, args.dynamic_sampling
        ('working_states', 1.0, 'center', True)
    """

    method: Literal["grpo", "grpo-entropy", "dapo", "meds"] = field_of("trl", "method")
    preset: Literal["paper", "recommended"] = field_of("trl", "preset")

    # Fields of GRPOConfig that a method sets.
    loss_type: str | None = field(default=None, metadata={"help": "TRL's loss type. Default: by method."})
    beta: float | None = field(default=None, metadata={"help": "TRL's KL coefficient. Default: by method."})
    epsilon: float | None = field(default=None, metadata={"help": "Lower clip range. Default: by method."})
    scale_rewards: str | None = field_of("trl", "scale_rewards")

    meds_alpha: float = field_of("trl", "alpha")
    meds_beta: float | None = field_of("trl", "beta")
    meds_target: Literal["wrong", "right", "both"] = field_of("trl", "target")
    meds_noise: Literal["cluster", "free"] = field_of("trl", "noise")
    meds_all_wrong: Literal["skip", "center", "shape"] | None = field_of("trl", "all_wrong")
    meds_anneal: list[float] | None = field_of("trl", "anneal")  # noqa: RUF009
    meds_no_answer: Literal["cluster", "free"] = field_of("trl", "no_answer")
    meds_n_neighbors: int = field_of("trl", "n_neighbors")
    meds_max_distance: float | None = field_of("trl", "max_distance")
    meds_min_cluster_size: int = field_of("trl", "min_cluster_size")
    meds_cluster_selection_epsilon: float | None = field_of("trl", "cluster_selection_epsilon")
    meds_capacity: int | None = field_of("trl", "capacity")
    meds_half_life: float | None = field_of("trl", "half_life")

    fingerprint: (
        Literal[
            "layer_logits",
            "layer_logits_diff",
            "pooled_logits",
            "answer_states",
            "working_states",
            "answer_string",
        ]
        | None
    ) = field_of("trl", "fingerprint")
    fingerprint_layers: int | None = field_of("trl", "fingerprint_layers")
    fingerprint_from: Literal["policy", "reference"] = field_of("trl", "fingerprint_from")
    answer_marker: Literal["boxed", "answer_tag", "hashes"] = field_of("trl", "answer_marker")
    correct_above: float = field_of("trl", "correct_above")

    dynamic_sampling: bool | None = field_of("trl", "dynamic_sampling")
    max_generation_batches: int = field_of("trl", "max_generation_batches")
    overlong_buffer: int | None = field_of("trl", "overlong_buffer")
    overlong_factor: float = field_of("trl", "overlong_factor")
    entropy_advantage: bool | None = field_of("trl", "entropy_advantage")
    entropy_advantage_coef: float = field_of("trl", "entropy_advantage_coef")
    entropy_advantage_cap: float = field_of("trl", "entropy_advantage_cap")

    log_rollouts: bool = field_of("trl", "log_rollouts")

    def __post_init__(self) -> None:
        check_values("trl", {"method": self.method, "preset": self.preset})
        if self.num_generations < 2:
            raise ValueError(f"num_generations must be at least 2: a group is compared; got {self.num_generations}.")
        for name in ("per_device_train_batch_size", "gradient_accumulation_steps", "max_completion_length"):
            if self.__dict__[name] < 1:  # TRL divides by them unchecked
                raise ValueError(f"{name} must be at least 1; got {self.__dict__[name]}.")
        given: Any = self.scale_rewards  # TRL takes True for "group" and False for "none"
        if isinstance(given, bool):
            self.scale_rewards = "group" if given else "none"
        method = dict(METHODS[self.method])
        method["overlong_buffer"] = min(method["overlong_buffer"], self.max_completion_length // 4)
        self._fill(method)
        self._fill({name_in("trl", name): value for name, value in PRESETS[self.preset].items()})
        check_values("trl", self.settings)
        if not isinstance(self.beta, int | float) or not 0 <= self.beta < float("inf"):
            raise ValueError(f"beta must be a finite number of at least 0; got {self.beta!r}.")
        if self.overlong_buffer and self.overlong_buffer >= self.max_completion_length:
            raise ValueError(
                f"overlong_buffer must be below max_completion_length ({self.max_completion_length}); "
                f"got {self.overlong_buffer}. 0 turns the overlong punishment off."
            )
        super().__post_init__()

    def _fill(self, defaults: Mapping[str, Any]) -> None:
        for name, value in defaults.items():
            if self.__dict__[name] is None:
                setattr(self, name, copy.deepcopy(value))  # a list belongs to this configuration alone

    @property
    def settings(self) -> dict[str, Any]:
        """The settings by their names in `meds_rl.engines.settings.SETTINGS`."""
        return {name: self.__dict__[name_in("trl", name)] for name in settings_of("trl")}

    @property
    def uses_memory(self) -> bool:
        """Whether the method has a memory of errors."""
        return self.method == "meds"

    @property
    def shapes_all_wrong(self) -> bool:
        """Whether a group without a right answer can carry signal, so that dynamic sampling keeps it."""
        return self.uses_memory and shapes_all_wrong(self.settings)


# ---- The memory.


def make_trainers_shaper(
    args: MEDSConfig, memory: ErrorMemory | None = None, penalty: PenaltyFunction | None = None
) -> RewardShaper:
    """The shaper of a trainer.

    Raises:
        ValueError: a field asks for another setting than the given memory has.
    """
    if memory is not None:
        _check_memory(args, memory)
    return make_shaper(args.settings, memory, penalty)


def _check_memory(args: MEDSConfig, memory: ErrorMemory) -> None:
    """Refuse fields that would be ignored, as a given memory keeps its own settings."""
    own: dict[str, object] = {"capacity": memory.capacity, "half_life": memory.half_life}
    clustering = memory.clustering
    if clustering != make_memory(args.settings).clustering:
        for name in ("min_cluster_size", "cluster_selection_epsilon"):
            is_hdbscan = isinstance(clustering, HDBSCANClustering)
            own[name] = getattr(clustering, name) if is_hdbscan else "a clustering of its own"
    for name, value in own.items():
        wanted = args.settings[name]
        default = PRESETS[args.preset].get(name, default_of("trl", name))
        if wanted not in (default, value):
            raise ValueError(
                f"{name_in('trl', name)} is {wanted!r}, but the given memory has {value!r}. It keeps its "
                f"own settings: make it with the one you want, or leave {name_in('trl', name)} out."
            )


# ---- Reward functions.


class MEDSPenalty:
    """A reward function of zeros: ``MEDSTrainer._calculate_rewards`` writes the penalty into its column.

    So TRL logs the penalty as it logs other rewards. In evaluation the column stays zero.
    """

    __name__ = "meds_penalty"

    def __call__(self, completions: Sequence[Any], **_: Any) -> list[float]:
        return [0.0] * len(completions)


def add_rewards(args: MEDSConfig, functions: list[Any]) -> tuple[MEDSConfig, list[Any]]:
    """Append the overlong punishment and the penalty's column to the user's functions, with their weights.

    Returns:
        A copy of ``args`` with all weights, and all functions.
    """
    args, num_given = copy.copy(args), len(functions)
    weights = [1.0] * num_given if args.reward_weights is None else list(args.reward_weights)
    functions = list(functions)
    if args.overlong_buffer:
        functions.append(get_soft_overlong_punishment(args.max_completion_length, args.overlong_buffer))
        weights.append(args.overlong_factor)
    if args.uses_memory:
        functions.append(MEDSPenalty())
        weights.append(1.0)
    if args.reward_weights is not None or len(functions) > num_given:
        args.reward_weights = weights
    return args, functions


# ---- Arguments that cannot work.


def check_arguments(
    functions: list[Any], args: MEDSConfig, train_dataset: Dataset | None, trl_arguments: Mapping[str, Any]
) -> None:
    """Refuse arguments of the trainer that cannot work together.

    Raises:
        ValueError: with what to give instead.
    """
    if not functions:
        raise ValueError("MEDSTrainer needs at least one reward function; the first one says right or wrong. Got none.")
    if args.reward_weights is not None and len(args.reward_weights) != len(functions):
        raise ValueError(
            f"reward_weights has {len(args.reward_weights)} values for {len(functions)} reward functions (the overlong "
            "punishment and the penalty bring their own)."
        )
    if args.multi_objective_aggregation != "sum_then_normalize" and args.uses_memory:
        raise ValueError(
            f"method {args.method!r} needs multi_objective_aggregation='sum_then_normalize' (the penalty is part of "
            f"the reward); got {args.multi_objective_aggregation!r}."
        )
    if isinstance(train_dataset, Dataset):
        check_dataset(train_dataset, ["prompt"])
        # TRL drops a last batch that is not full; with no full one it trains on nothing, silently.
        needed = args.generation_batch_size // args.num_generations
        if len(train_dataset) < needed:
            raise ValueError(
                f"The training data has {len(train_dataset)} prompts; one generation batch needs {needed} "
                f"({args.generation_batch_size} completions, {args.num_generations} a prompt). Give more prompts, "
                "or lower per_device_train_batch_size, steps_per_generation or generation_batch_size."
            )
    if args.dynamic_sampling:
        _check_dynamic_sampling(train_dataset, trl_arguments)


def _check_dynamic_sampling(train_dataset: Dataset | None, trl_arguments: Mapping[str, Any]) -> None:
    if train_dataset is None:
        raise ValueError("MEDSTrainer needs a train_dataset; got None.")
    off = "Set dynamic_sampling=False, or use method='grpo'."
    if not isinstance(train_dataset, Dataset):
        raise ValueError(f"dynamic_sampling needs a map-style Dataset; got {type(train_dataset).__name__}. {off}")
    if trl_arguments.get("environment_factory") is not None:
        raise ValueError(f"dynamic_sampling cannot be used with environment_factory. {off}")
    if {"image", "images"} & set(train_dataset.column_names):
        raise ValueError(f"dynamic_sampling cannot be used with images. {off}")
