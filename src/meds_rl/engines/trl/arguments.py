"""What is checked and added before TRL's trainer is made."""

import copy
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from datasets import Dataset
from trl.rewards import get_soft_overlong_punishment

from meds_rl.engines.settings import SETTINGS, MemorySettings, make_clustering, make_shaper
from meds_rl.engines.trl.config import MEDSConfig
from meds_rl.engines.trl.presets import PRESETS
from meds_rl.engines.trl.reencoding import Reencoding
from meds_rl.engines.trl.rewards import ExplorationBonus, MEDSPenalty
from meds_rl.engines.trl.strategy_labels import StrategyLabels
from meds_rl.engines.trl.text_fingerprints import Source, TextFingerprints
from meds_rl.memory.clustering import HDBSCANClustering
from meds_rl.memory.memory import ErrorMemory
from meds_rl.shaping.shaper import RewardShaper
from meds_rl.tasks.base import check_dataset


def memory_settings(args: MEDSConfig) -> MemorySettings:
    """The fields ``meds_*`` that all engines have."""
    return MemorySettings(**{name: args.__dict__[f"meds_{name}"] for name in SETTINGS})


def shaper_of(args: MEDSConfig, memory: ErrorMemory | None) -> RewardShaper:
    """What shapes the rewards, with the memory handed in if there is one."""
    return make_shaper(memory_settings(args), None if memory is None else _checked_memory(args, memory))


def _checked_memory(args: MEDSConfig, memory: ErrorMemory) -> ErrorMemory:
    """A memory that is handed in keeps its own settings; a field that asks for others would be passed over."""
    own: dict[str, object] = {
        "meds_capacity": memory.capacity,
        "meds_total_capacity": memory.total_capacity,
        "meds_drop_first": memory.drop_first,
        "meds_half_life": memory.half_life,
    }
    if memory.clustering != make_clustering(memory_settings(args)):
        own |= _clustering_fields(memory)
    defaults = {field.name: field.default for field in fields(MEDSConfig)} | dict(PRESETS[args.preset])
    for name, value in own.items():
        wanted = args.__dict__[name]
        if wanted not in (defaults[name], value):
            raise ValueError(
                f"{name} is {wanted!r}, but the memory that was handed in has {value!r}. It keeps its own settings: "
                f"make it with the one you want, or leave {name} out."
            )
    return memory


def _clustering_fields(memory: ErrorMemory) -> dict[str, object]:
    """What the fields that name a clustering are in a memory that was handed in."""
    ours = memory.clustering if isinstance(memory.clustering, HDBSCANClustering) else None
    other = "a clustering of its own"
    return {
        "meds_clustering": "hdbscan" if ours else other,
        "meds_min_cluster_size": ours.min_cluster_size if ours else other,
        "meds_cluster_selection_epsilon": ours.cluster_selection_epsilon if ours else other,
    }


def make_reencoding(args: MEDSConfig, fingerprints: Source) -> Reencoding | None:
    """What takes old fingerprints anew, if anything does."""
    if not args.reencodes or isinstance(fingerprints, TextFingerprints | StrategyLabels):
        return None
    return Reencoding(fingerprints, tokens=args.meds_reencode_tokens or 0, age=args.meds_reencode_age)


def with_own_rewards(args: MEDSConfig, functions: list[Any]) -> tuple[MEDSConfig, list[Any]]:
    """Append the overlong punishment and the penalty's column, with their weights, in a copy of ``args``."""
    args = copy.copy(args)
    weights = [1.0] * len(functions) if args.reward_weights is None else list(args.reward_weights)
    functions = list(functions)
    num_given = len(functions)
    if args.overlong_buffer:
        functions.append(get_soft_overlong_punishment(args.max_completion_length, args.overlong_buffer))
        weights.append(args.overlong_factor)
    if args.uses_memory:
        functions.append(MEDSPenalty())
        weights.append(1.0)
    if args.uses_exploration:
        functions.append(ExplorationBonus())
        weights.append(1.0)
    if args.reward_weights is not None or len(functions) > num_given:
        args.reward_weights = weights
    return args, functions


def check_arguments(
    functions: list[Any], args: MEDSConfig, train_dataset: Dataset | None, trl_arguments: Mapping[str, Any]
) -> None:
    if not functions:
        raise ValueError(
            "MEDSTrainer needs at least one reward function; the first one says right or wrong. Got none."
        )
    if args.reward_weights is not None and len(args.reward_weights) != len(functions):
        raise ValueError(
            f"reward_weights has {len(args.reward_weights)} values for {len(functions)} reward functions (the overlong "
            "punishment and the penalty bring their own)."
        )
    if args.multi_objective_aggregation != "sum_then_normalize" and (
        args.uses_memory or args.uses_exploration
    ):
        raise ValueError(
            f"method {args.method!r} needs multi_objective_aggregation='sum_then_normalize' (the penalty or bonus is "
            f"part of the reward); got {args.multi_objective_aggregation!r}."
        )
    if isinstance(train_dataset, Dataset):
        check_dataset(train_dataset, ["prompt"])
        _check_size(train_dataset, args)
    if args.reencodes and isinstance(train_dataset, Dataset) and _has_images(train_dataset):
        raise ValueError(
            "meds_reencode_tokens cannot be used with images: completions are kept as text. Set it to 0, or use "
            "fingerprint_from='reference'."
        )
    if args.dynamic_sampling:
        _check_dynamic_sampling(train_dataset, trl_arguments)


def _check_size(train_dataset: Dataset, args: MEDSConfig) -> None:
    """TRL drops a last batch that is not full; with no full one it trains nothing and says nothing."""
    needed = args.generation_batch_size // args.num_generations
    if len(train_dataset) < needed:
        raise ValueError(
            f"The training data has {len(train_dataset)} prompts; one generation batch needs {needed} "
            f"({args.generation_batch_size} completions, {args.num_generations} a prompt). Give more prompts, "
            "or lower per_device_train_batch_size, steps_per_generation or generation_batch_size."
        )


def _check_dynamic_sampling(train_dataset: Dataset | None, trl_arguments: Mapping[str, Any]) -> None:
    if train_dataset is None:
        raise ValueError("MEDSTrainer needs a train_dataset; got None.")
    off = "Set dynamic_sampling=False, or use method='grpo'."
    if not isinstance(train_dataset, Dataset):
        raise ValueError(
            f"dynamic_sampling needs a map-style Dataset; got {type(train_dataset).__name__}. {off}"
        )
    if trl_arguments.get("environment_factory") is not None:
        raise ValueError(f"dynamic_sampling cannot be used with environment_factory. {off}")
    if _has_images(train_dataset):
        raise ValueError(f"dynamic_sampling cannot be used with images. {off}")


def _has_images(dataset: Dataset) -> bool:
    return bool({"image", "images"} & set(dataset.column_names))


def as_list(reward_funcs: Any) -> list[Any]:
    if reward_funcs is None:
        return []
    return list(reward_funcs) if isinstance(reward_funcs, list | tuple) else [reward_funcs]


def name_of(model: Any) -> str:
    return str(model if isinstance(model, str) else model.config._name_or_path).split("/")[-1]
