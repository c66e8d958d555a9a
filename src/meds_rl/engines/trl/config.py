"""``MEDSConfig``, and what ``MEDSTrainer.__init__`` needs: the shaper, added rewards, checks of arguments."""

import copy
import difflib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
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
from meds_rl.engines.texts import has_images
from meds_rl.memory.clustering import HDBSCANClustering
from meds_rl.memory.memory import ErrorMemory
from meds_rl.shaping.shaper import PenaltyFunction, RewardShaper
from meds_rl.tasks.base import check_dataset


@dataclass
class MEDSConfig(GRPOConfig):
    """Configuration of :class:`~meds_rl.engines.trl.trainer.MEDSTrainer`: every field of ``GRPOConfig``, and 29 more.

    ``method`` and ``preset`` set the fields whose default is None; a value given explicitly always wins. What a field
    means and which values are allowed is in ``docs/settings.md`` and ``meds_rl.engines.settings``. ``meds_*`` fields
    act only with the methods "trl" and "meds".

    Method "trl" keeps every default of ``GRPOConfig`` and takes the settings of the memory from the preset, which is
    "recommended" with it; with the other methods it is "paper".

    Note:
        ``beta`` is TRL's KL coefficient. The cap of the penalty, the paper's beta, is ``meds_beta``. ``epsilon_high``
        and ``delta`` may be None, TRL's value for "as epsilon" and "no upper clip"; their default NaN: by method.

    Attributes:
        set_against_trl: fields that the method or the preset, and not the caller, has set to another value than TRL's
            default; name -> value.
        left_open: names of all fields that the method or the preset has set.

    Raises:
        ValueError: a value that is not allowed, with what is.

    Example:
        >>> args = MEDSConfig("run", meds_beta=1.0, use_cpu=True, bf16=False)
        >>> args.fingerprint, args.meds_beta, args.loss_type, args.set_against_trl
        ('working_states', 1.0, 'dapo', {})
        >>> MEDSConfig("run", method="grpo", use_cpu=True, bf16=False).set_against_trl
        {'loss_type': 'grpo', 'beta': 0.001, 'epsilon_high': 0.2}
    """

    method: Literal["trl", "grpo", "grpo-entropy", "dapo", "meds"] = field_of("trl", "method")
    preset: Literal["paper", "recommended"] | None = field_of("trl", "preset")

    # Fields of GRPOConfig that a method sets.
    loss_type: str | None = field(default=None, metadata={"help": "TRL's loss type. Default: by method."})
    beta: float | None = field(default=None, metadata={"help": "TRL's KL coefficient. Default: by method."})
    epsilon: float | None = field(default=None, metadata={"help": "Lower clip range. Default: by method."})
    epsilon_high: float | None = field(
        default=math.nan, metadata={"help": "Upper clip range; None: epsilon. Default: by method."}
    )
    delta: float | None = field(
        default=math.nan, metadata={"help": "Upper clip of two-sided clipping; None: none. Default: by method."}
    )
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
    meds_recall: int = field_of("trl", "meds_recall")

    fingerprint: (
        Literal[
            "layer_logits",
            "layer_logits_diff",
            "pooled_logits",
            "answer_states",
            "working_states",
            "answer_string",
            "steps",
            "text",
            "outcome",
        ]
        | None
    ) = field_of("trl", "fingerprint")
    fingerprint_layers: int | None = field_of("trl", "fingerprint_layers")
    fingerprint_width: int | None = field_of("trl", "fingerprint_width")
    fingerprint_from: Literal["policy", "reference"] = field_of("trl", "fingerprint_from")
    answer_marker: str = field_of("trl", "answer_marker")
    correct_above: float | None = field_of("trl", "correct_above")

    dynamic_sampling: bool | None = field_of("trl", "dynamic_sampling")
    max_generation_batches: int = field_of("trl", "max_generation_batches")
    overlong_buffer: int | None = field_of("trl", "overlong_buffer")
    advantage: Literal["trl", "undivided", "maxrl", "pass_at_k", "f_grpo"] = field_of("trl", "advantage")
    advantage_k: int = field_of("trl", "advantage_k")
    entropy_advantage: float | None = field_of("trl", "entropy_advantage")

    log_rollouts: bool = field_of("trl", "log_rollouts")

    def __new__(cls, *_: Any, **given: Any) -> "MEDSConfig":
        """Names the field that a misspelt one may mean; Python's own error follows for all others."""
        known = inspect.signature(cls.__init__).parameters
        if all(one.kind is not inspect.Parameter.VAR_KEYWORD for one in known.values()):
            for name in given.keys() - known.keys():
                if close := difflib.get_close_matches(name, known, n=1):
                    raise TypeError(f"{cls.__name__} has no field {name!r}; did you mean {close[0]!r}?")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        self._resolve()
        super().__post_init__()

    @classmethod
    def of(cls, config: GRPOConfig) -> "MEDSConfig":
        """A copy of a configuration of ``GRPOTrainer``, with the method "trl" and a memory.

        An instance of a user's subclass stays one.
        """
        args = copy.copy(config)
        theirs: Any = type(config)
        args.__class__ = cls if theirs is GRPOConfig else _joined(theirs)
        for one in fields(cls):
            if one.name not in args.__dict__:
                setattr(args, one.name, one.default)
        args._resolve()
        return args

    def _resolve(self) -> None:
        """Fill the open fields by method and preset, and check all settings."""
        check_values("trl", {"method": self.method})
        self.preset = self.preset or METHODS[self.method]["preset"]
        check_values("trl", {"preset": self.preset})
        if self.num_generations < 2:
            raise ValueError(f"num_generations must be at least 2: a group is compared; got {self.num_generations}.")
        for name in ("per_device_train_batch_size", "gradient_accumulation_steps", "max_completion_length"):
            value = self.__dict__[name]
            if value is not None and value < 1:  # TRL divides by them unchecked
                raise ValueError(f"{name} must be at least 1; got {value}.")
        given: Any = self.scale_rewards  # TRL takes True for "group" and False for "none"
        if isinstance(given, bool):
            self.scale_rewards = "group" if given else "none"
        method = {name: value for name, value in METHODS[self.method].items() if name != "preset"}
        longest = self.max_completion_length or 0  # TRL takes None for no limit: nothing is overlong
        method["overlong_buffer"] = min(method["overlong_buffer"], longest // 4)
        trl = {one.name: one.default for one in fields(GRPOConfig) if one.name in _BY_METHOD_IN_TRL}
        by_us = self._fill(method)
        if self.method == "trl":
            self._fill(trl)
        by_us |= self._fill({name_in("trl", name): value for name, value in PRESETS[self.preset].items()})
        neutral = METHODS["trl"] | trl
        self.left_open = frozenset(by_us)
        self.set_against_trl = {
            name: value for name, value in by_us.items() if name in neutral and value != neutral[name]
        }
        check_values("trl", self.settings)
        if not isinstance(self.beta, int | float) or not 0 <= self.beta < float("inf"):
            raise ValueError(f"beta must be a finite number of at least 0; got {self.beta!r}.")
        if self.advantage == "pass_at_k" and self.advantage_k > self.num_generations:
            raise ValueError(
                f"advantage_k must be at most num_generations ({self.num_generations}) with advantage='pass_at_k'; "
                f"got {self.advantage_k}."
            )
        if self.overlong_buffer and self.overlong_buffer >= longest:
            raise ValueError(
                f"overlong_buffer must be below max_completion_length ({self.max_completion_length}); "
                f"got {self.overlong_buffer}. 0 turns the overlong punishment off."
            )

    def _fill(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """Set the fields that the caller left open, and return them."""
        open_fields = {name: value for name, value in defaults.items() if _is_open(name, self.__dict__[name])}
        for name, value in open_fields.items():
            setattr(self, name, copy.deepcopy(value))  # no two configurations share a list
        return open_fields

    @property
    def settings(self) -> dict[str, Any]:
        """The settings by their names in `meds_rl.engines.settings.SETTINGS`."""
        return {name: self.__dict__[name_in("trl", name)] for name in settings_of("trl")}

    @property
    def uses_memory(self) -> bool:
        """Whether the method has a memory of errors."""
        return self.method in ("trl", "meds")

    @property
    def needs_correctness(self) -> bool:
        """Whether training needs a function that says right or wrong.

        Dynamic sampling, the penalties of "meds", recall, and advantages by the share of right answers need one.
        """
        by_share = self.advantage not in ("trl", "undivided")
        return bool(self.dynamic_sampling) or self.method == "meds" or self.recalls or by_share

    @property
    def recalls(self) -> bool:
        """Whether groups without a right answer take in recalled ones."""
        return self.uses_memory and self.meds_recall > 0

    @property
    def penalises_sums(self) -> bool:
        """Whether TRL adds the rewards before it normalises them, so that a penalty keeps its size."""
        return bool(self.multi_objective_aggregation == "sum_then_normalize")

    @property
    def shapes_all_wrong(self) -> bool:
        """Whether a group without a right answer can carry signal, so that dynamic sampling keeps it."""
        return self.uses_memory and shapes_all_wrong(self.settings)


@cache
def _joined(theirs: Any) -> type[MEDSConfig]:
    """A class that is a ``MEDSConfig`` and the user's, whose methods and properties are kept."""
    # Checkpoints pickle the arguments, and no module has this class.
    members = {"__reduce__": lambda args: (_restored, (theirs, args.__dict__))}
    joined: type[MEDSConfig] = dataclass(type(theirs.__name__, (MEDSConfig, theirs), members))
    return joined


def _restored(theirs: Any, values: Mapping[str, Any]) -> MEDSConfig:
    args = object.__new__(_joined(theirs))
    args.__dict__.update(values)
    return args


_NULLABLE = ("epsilon_high", "delta")
_BY_METHOD_IN_TRL = ("loss_type", "beta", "epsilon", "scale_rewards", *_NULLABLE)


def _is_open(name: str, value: Any) -> bool:
    """Whether the caller left a field to the method or the preset."""
    return isinstance(value, float) and math.isnan(value) if name in _NULLABLE else value is None


# ---- The memory.


def make_trainers_shaper(
    args: MEDSConfig, memory: ErrorMemory | None = None, penalty: PenaltyFunction | None = None
) -> RewardShaper:
    """The shaper of a trainer.

    Raises:
        TypeError: ``memory`` is no ``ErrorMemory``.
        ValueError: a field asks for another setting than the given memory has.
    """
    if memory is not None:
        if not isinstance(memory, ErrorMemory):
            raise TypeError(f"memory must be an ErrorMemory (ErrorMemory.load reads a file); got {memory!r}.")
        _check_memory(args, memory)
    return make_shaper(args.settings, memory, penalty)


def _check_memory(args: MEDSConfig, memory: ErrorMemory) -> None:
    """Refuse fields that differ from the settings of a given memory, which would be used instead."""
    own: dict[str, object] = {"capacity": memory.capacity, "half_life": memory.half_life}
    clustering = memory.clustering
    if clustering != make_memory(args.settings).clustering:
        for name in ("min_cluster_size", "cluster_selection_epsilon"):
            is_hdbscan = isinstance(clustering, HDBSCANClustering)
            own[name] = getattr(clustering, name) if is_hdbscan else "a clustering of its own"
    for name, value in own.items():
        wanted = args.settings[name]
        default = PRESETS[str(args.preset)].get(name, default_of("trl", name))
        if wanted not in (default, value):
            raise ValueError(
                f"{name_in('trl', name)} is {wanted!r}, but the given memory has {value!r}. It keeps its "
                f"own settings: make it with the one you want, or leave {name_in('trl', name)} out."
            )


# ---- Reward functions.


@dataclass(frozen=True)
class AddedRewards:
    """What `MEDSTrainer` adds to the rewards (B, F) of the user's functions.

    Attributes:
        columns: name -> weight of our columns in training: the overlong punishment and the penalty, if any.
        punishment: the overlong punishment, a function of ``completion_ids``; None without it.
        correctness: the user's functions that say right or wrong and are no rewards; their weight is 0.
    """

    columns: dict[str, float]
    punishment: Callable[..., list[float]] | None
    correctness: list[Callable[..., Any]]


def add_rewards(
    args: MEDSConfig, functions: list[Any], correctness: Sequence[Any]
) -> tuple[MEDSConfig, list[Any], AddedRewards]:
    """Append the functions that only say right or wrong to the user's reward functions, and make our own columns.

    Args:
        args: not changed.
        functions: the user's reward functions.
        correctness: names and functions, as the user gave them.

    Returns:
        A copy of ``args`` with the weights of all functions, all functions, and what was added.
    """
    args = copy.copy(args)
    columns: dict[str, float] = {}
    punishment = None
    if args.overlong_buffer:
        punishment = get_soft_overlong_punishment(args.max_completion_length, args.overlong_buffer)
        columns[punishment.__name__] = 1.0
    if args.uses_memory:
        columns["meds_penalty"] = 1.0
    own = [one for one in correctness if callable(one) and not any(one is given for given in functions)]
    if own:
        weights = [1.0] * len(functions) if args.reward_weights is None else args.reward_weights
        args.reward_weights = [*weights, *(0.0 for _ in own)]
    return args, [*functions, *own], AddedRewards(columns, punishment, own)


# ---- Arguments that cannot work.

NO_REWARD = (
    "No reward source provided: MEDSTrainer needs at least one reward function, or an environment with get_reward."
)


def check_arguments(
    functions: list[Any], args: MEDSConfig, train_dataset: Dataset | None, trl_arguments: Mapping[str, Any]
) -> None:
    """Refuse arguments of the trainer that cannot work together.

    Raises:
        ValueError: with what to give instead.
    """
    if not functions and trl_arguments.get("environment_factory") is None:
        raise ValueError(NO_REWARD)
    if args.reward_weights is not None and len(args.reward_weights) != len(functions):
        raise ValueError(
            f"reward_weights has {len(args.reward_weights)} values for {len(functions)} reward functions (the overlong "
            "punishment and the penalty have their own)."
        )
    if args.multi_objective_aggregation != "sum_then_normalize" and args.method == "meds":
        raise ValueError(
            f"method {args.method!r} needs multi_objective_aggregation='sum_then_normalize' (the penalty is part of "
            f"the reward); got {args.multi_objective_aggregation!r}. With method='trl' the memory watches such a run."
        )
    if args.multi_objective_aggregation != "sum_then_normalize" and args.advantage != "trl":
        raise ValueError(
            f"advantage={args.advantage!r} is made from the sum of all rewards; "
            f"multi_objective_aggregation={args.multi_objective_aggregation!r} is not. Set it to 'sum_then_normalize', "
            "or advantage='trl'."
        )
    if isinstance(train_dataset, Dataset):
        if "prompt" in train_dataset.column_names or trl_arguments.get("environment_factory") is None:
            check_dataset(train_dataset, ["prompt"])
        # TRL drops a last batch that is not full; with no full one it trains on nothing, silently.
        needed = args.generation_batch_size // args.num_generations
        if len(train_dataset) < needed:
            raise ValueError(
                f"The training data has {len(train_dataset)} prompts; one generation batch needs {needed} "
                f"({args.generation_batch_size} completions, {args.num_generations} a prompt). Give more prompts, "
                "or lower per_device_train_batch_size, steps_per_generation or generation_batch_size."
            )
        if args.uses_memory and "prompt_id" in train_dataset.column_names:
            _check_prompt_ids(train_dataset)
    if args.uses_memory and args.fingerprint_from == "reference" and isinstance(train_dataset, Dataset):
        check_reference_sees(_has_images(train_dataset))
    if args.dynamic_sampling:
        _check_dynamic_sampling(train_dataset, trl_arguments)
    if args.recalls:
        _check_recall(args, train_dataset, trl_arguments)


def _check_prompt_ids(train_dataset: Dataset) -> None:
    """Refuse a column `prompt_id` that cannot name prompts, before a batch is generated."""
    kind = str(getattr(train_dataset.features["prompt_id"], "dtype", "list"))
    if kind.startswith(("int", "uint", "string", "large_string")):
        has_nulls = train_dataset.data.column("prompt_id").null_count  # also of rows that are not selected
        if not has_nulls or None not in train_dataset["prompt_id"]:
            return
        kind = f"{kind} with None"
    raise ValueError(
        "The column prompt_id of the training data names prompts in the memory, by a text or a whole number; it has "
        f"{kind}. Change it, or rename it: without it prompts are named by content."
    )


def check_reference_sees(images: bool) -> None:
    """Refuse to read images by a reference model; TRL's forward, which passes them, runs the policy."""
    if images:
        raise ValueError(
            "fingerprint_from='reference' cannot be used with images. Set fingerprint_from='policy', or "
            "fingerprint='answer_string'."
        )


def _check_dynamic_sampling(train_dataset: Dataset | None, trl_arguments: Mapping[str, Any]) -> None:
    off = "Set dynamic_sampling=False, or use method='trl' or 'grpo'."
    if train_dataset is None:
        raise ValueError(f"dynamic_sampling needs a train_dataset, from which it draws new prompts; got None. {off}")
    if not isinstance(train_dataset, Dataset):
        raise ValueError(f"dynamic_sampling needs a map-style Dataset; got {type(train_dataset).__name__}. {off}")
    if trl_arguments.get("environment_factory") is not None:
        raise ValueError(f"dynamic_sampling cannot be used with environment_factory. {off}")
    if _has_images(train_dataset):
        raise ValueError(f"dynamic_sampling cannot be used with images. {off}")


def _check_recall(args: MEDSConfig, train_dataset: Dataset | None, trl_arguments: Mapping[str, Any]) -> None:
    """Refuse what a recalled row cannot bring along, or how its advantage is not known."""
    off = "Set meds_recall=0."
    for name in ("tools", "environment_factory"):
        if trl_arguments.get(name):
            raise ValueError(f"meds_recall cannot be used with {name}: the memory keeps one turn of the policy. {off}")
    if isinstance(train_dataset, Dataset) and _has_images(train_dataset):
        raise ValueError(f"meds_recall cannot be used with images, which the memory does not keep. {off}")
    if args.multi_objective_aggregation != "sum_then_normalize":
        raise ValueError(
            "meds_recall needs multi_objective_aggregation='sum_then_normalize', as the memory keeps one reward of a "
            f"completion; got {args.multi_objective_aggregation!r}. {off}"
        )


def _has_images(dataset: Dataset) -> bool:
    """Whether the prompts have images, in a column or in the messages of the first one."""
    in_column = bool({"image", "images"} & set(dataset.column_names))
    return in_column or ("prompt" in dataset.column_names and has_images(dataset[0]["prompt"]))


# ---- What is printed at the start of training.


def opening_line(args: MEDSConfig) -> str:
    """What method and preset have set against TRL's defaults, and how to override it."""
    changed = ", ".join(f"{name}={value!r}" for name, value in args.set_against_trl.items())
    if not changed:
        return f"meds-rl: method {args.method!r} keeps your settings and TRL's defaults."
    return (
        f"meds-rl: method {args.method!r} has set, against TRL's defaults: {changed}. A value of your own in "
        "MEDSConfig wins; method='trl' keeps TRL's."
    )


def memory_line(args: MEDSConfig, *, knows_right: bool, max_steps: int) -> str:
    """What the memory does to the rewards; known once the first batch is graded.

    Args:
        args: of a method with a memory.
        knows_right: whether a reward function says right or wrong.
        max_steps: of this training.
    """
    watches = {
        "as meds_alpha is 0": args.meds_alpha == 0,
        "until a reward function says right or wrong (correctness)": not knows_right,
        "as multi_objective_aggregation is not 'sum_then_normalize'": not args.penalises_sums,
    }
    why = next((reason for reason, holds in watches.items() if holds), None)
    effect = f"only watches, {why}"
    if why is None:
        first, last = (round(share * max_steps) for share in args.meds_anneal or (1, 1))
        fades = f", which fades between steps {first} and {last} of {max_steps}" if first < max_steps else ""
        effect = f"penalises repeated errors by at most meds_beta={args.meds_beta:g}{fades}; meds_alpha=0 only watches"
    if args.recalls:
        effect += f"; {args.meds_recall} groups in a row without a right answer may take in an earlier one"
    return f"meds-rl: the memory (preset {args.preset!r}, fingerprint {args.fingerprint!r}) {effect}."
