"""Every setting of the training engines: name, type, bound, meaning, and its value in the two presets.

Everything else is made from the table `SETTINGS`: the fields and help of TRL's ``MEDSConfig``, the ``meds:`` section of
verl, error messages, and the page ``docs/settings.md``:

    python -m meds_rl.engines.settings > docs/settings.md
"""

import dataclasses
import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

from meds_rl.memory.clustering import HDBSCANClustering
from meds_rl.memory.memory import ErrorMemory
from meds_rl.shaping.penalty import check_anneal
from meds_rl.shaping.shaper import PenaltyFunction, RewardShaper

Engine = Literal["trl", "verl"]

_AS_PAPER = object()


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        kind: type of the value; list is a pair of numbers.
        paper: its value as published or released.
        meaning: in a sentence or two.
        recommended: its value with the preset "recommended"; left out, it is that of the paper. Where the two differ
            the default is None: as the preset says.
        choices: allowed names.
        least, above, most: bounds of a number; `above` itself is not allowed.
        optional: whether None is allowed.
        words: what is allowed, where the bounds do not say it.
    """

    kind: type
    paper: Any
    meaning: str
    recommended: Any = _AS_PAPER
    choices: tuple[str, ...] = ()
    least: float | None = None
    above: float | None = None
    most: float | None = None
    optional: bool = False
    words: str = ""

    def value(self, preset: str) -> Any:
        """Its value with a preset; a list is the caller's own."""
        differs = preset == "recommended" and self.recommended is not _AS_PAPER
        return deepcopy(self.recommended if differs else self.paper)

    @property
    def allowed(self) -> str:
        """What a value may be, in words."""
        if self.words:
            words = self.words
        elif self.choices:
            words = f"one of {', '.join(self.choices)}"
        elif self.most is not None:
            words = f"{self.least:g} to {self.most:g}"
        else:
            words = _WORDS[self.kind]
            words += f" above {self.above:g}" if self.above is not None else ""
            words += f" of at least {self.least:g}" if self.least is not None else ""
        return f"None or {words}" if self.optional else words

    def allows(self, value: Any) -> bool:
        """Whether a value is allowed."""
        if value is None:
            return self.optional
        if self.kind in (bool, str):
            return isinstance(value, self.kind) and (not self.choices or value in self.choices)
        if isinstance(value, bool) or not isinstance(value, int if self.kind is int else int | float):
            return False
        least = float("-inf") if self.least is None else self.least
        most = float("inf") if self.most is None else self.most
        return math.isfinite(value) and least <= value <= most and (self.above is None or value > self.above)


_WORDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    list: "two shares of training in order, 0 <= from <= until <= 1",
    str: "a path",
}

_CLUSTER_OR_FREE = ("cluster", "free")
_MEMORY: dict[str, Setting] = {
    "alpha": Setting(float, 0.1, "Strength of the penalty, min(alpha * ln(|C| + 1), beta).", least=0),
    "beta": Setting(float, 0.2, "Cap of the penalty, the paper's beta.", 2.0, least=0),
    "target": Setting(
        str, "wrong", "Which completions are penalised and remembered.", choices=("wrong", "right", "both")
    ),
    "noise": Setting(
        str,
        "cluster",
        "Remembered completions in no cluster: count together as one cluster, or cost nothing.",
        choices=_CLUSTER_OR_FREE,
    ),
    "all_wrong": Setting(
        str,
        "skip",
        "Groups without a right answer: left alone; penalised, with advantages that are not divided by the group's "
        "deviation; or penalised like any other group.",
        "center",
        choices=("skip", "center", "shape"),
    ),
    "anneal": Setting(
        list,
        [1.0, 1.0],
        "Shares of training between which alpha falls linearly to 0; 1, 1 for no annealing.",
        [0.333, 0.666],
    ),
    "no_answer": Setting(
        str,
        "cluster",
        "Completions without an answer: count together as one cluster, or cost nothing (as released).",
        choices=_CLUSTER_OR_FREE,
    ),
    "n_neighbors": Setting(
        int, 3, "Nearest remembered completions that vote for the cluster of a new one.", least=1
    ),
    "max_distance": Setting(
        float,
        None,
        "Remembered completions further away (Euclidean distance of unit vectors) do not vote; without a voter the "
        "error is new and costs nothing. None or 2: no bound.",
        0.25,
        least=0,
        most=2,
        optional=True,
    ),
    "min_cluster_size": Setting(int, 2, "Smallest cluster of HDBSCAN.", least=2),
    "cluster_selection_epsilon": Setting(
        float,
        0.0,
        "Clusters of HDBSCAN that split at less than this distance (of unit vectors) are one.",
        0.2,
        least=0,
    ),
    "capacity": Setting(
        int,
        None,
        "Most completions remembered of one prompt, wrong and right ones apart; the oldest go first. None: no bound.",
        least=1,
        optional=True,
    ),
    "half_life": Setting(
        float,
        None,
        "Generation batches after which a remembered completion counts half in |C|. None: no decay.",
        above=0,
        optional=True,
    ),
}
_SHARED: dict[str, Setting] = {
    "preset": Setting(
        str,
        "paper",
        "Sets what is left at None: as published, or as this project recommends.",
        choices=("paper", "recommended"),
    ),
    "fingerprint": Setting(
        str,
        "layer_logits",
        "What completions are compared by: read from the model, or answer_string from the text.",
        "working_states",
        choices=(
            *("layer_logits", "layer_logits_diff", "pooled_logits"),
            *("answer_states", "working_states", "answer_string"),
        ),
    ),
    "fingerprint_layers": Setting(
        int,
        None,
        "layer_logits: how many of the last layers, -1 for all, None for half of them. pooled_logits and "
        "working_states: the layer to pool, None for the middle one or for two thirds of the way.",
        least=-1,
        optional=True,
        words="-1 (all) or at least 1",
    ),
    "answer_marker": Setting(
        str,
        "boxed",
        "How a completion marks its answer: \\boxed{...}, <answer>...</answer>, or #### in front.",
        choices=("boxed", "answer_tag", "hashes"),
    ),
    "correct_above": Setting(
        float,
        0.5,
        "A completion is right if the first reward function that grades it returns more than this (verl: its acc, or "
        "its score where there is no acc).",
    ),
    "scale_rewards": Setting(
        str,
        "group",
        "Rewards less the group's mean are divided by the deviation of the group, of the batch (TRL only), or not at "
        "all. In TRL a field of GRPOConfig; group in verl: as algorithm.norm_adv_by_std_in_grpo says.",
        "none",
        choices=("group", "batch", "none"),
    ),
    "entropy_advantage": Setting(
        bool, False, "Add token entropies to the advantages, A += min(a * H, |A| / k).", True
    ),
    "entropy_advantage_coef": Setting(float, 0.4, "a in that formula.", least=0),
    "entropy_advantage_cap": Setting(float, 2.0, "k in that formula.", above=0),
}
_TRL: dict[str, Setting] = {
    "method": Setting(
        str,
        "meds",
        "A training method of the paper. It sets the fields in the last table of this page.",
        choices=("grpo", "grpo-entropy", "dapo", "meds"),
    ),
    "fingerprint_from": Setting(
        str,
        "policy",
        "The model that is read: the policy as it is, or as it was before training.",
        choices=("policy", "reference"),
    ),
    "dynamic_sampling": Setting(
        bool, True, "Drop groups of raw accuracy 0 or 1 and refill the batch from new prompts."
    ),
    "max_generation_batches": Setting(int, 10, "Most rounds of generation to fill one batch.", least=1),
    "overlong_buffer": Setting(
        int,
        512,
        "Tokens before max_completion_length over which the overlong punishment grows from 0 to 1; 0 turns it off. "
        "A method sets at most a quarter of max_completion_length.",
        least=0,
    ),
    "overlong_factor": Setting(float, 1.0, "Weight of the overlong punishment.", least=0),
    "log_rollouts": Setting(
        bool,
        True,
        "Write every training completion to output_dir/rollouts, one parquet file a generation batch.",
    ),
}
_VERL: dict[str, Setting] = {
    "memory": Setting(
        str,
        None,
        "File of a memory to start with; a checkpoint's own memory wins. In TRL an argument of MEDSTrainer.",
        optional=True,
    ),
}

SETTINGS = _MEMORY | _SHARED | _TRL | _VERL
"""By name. In TRL the names of `MEMORY_SETTINGS` have ``meds_`` in front."""

MEMORY_SETTINGS = tuple(_MEMORY)
"""What `make_memory` and `make_shaper` need."""

_DIFFERING = [name for name, setting in SETTINGS.items() if setting.recommended is not _AS_PAPER]
PRESETS: dict[str, dict[str, Any]] = {
    preset: {name: SETTINGS[name].value(preset) for name in _DIFFERING} for preset in ("paper", "recommended")
}
"""By preset: the settings in which the presets differ."""

_GRPO: dict[str, Any] = {
    "loss_type": "grpo",
    "beta": 0.001,
    "epsilon": 0.2,
    "epsilon_high": 0.2,
    "delta": None,
    "scale_rewards": "group",
    "dynamic_sampling": False,
    "overlong_buffer": 0,
    "entropy_advantage": False,
}
_DAPO = _GRPO | {
    "loss_type": "dapo",
    "beta": 0.0,
    "epsilon_high": 0.28,
    "delta": 10.0,  # for A < 0 TRL's two-sided clipping is the dual clip with this constant
    "dynamic_sampling": True,
    "overlong_buffer": 512,
}
METHODS: dict[str, dict[str, Any]] = {
    "grpo": _GRPO,
    "grpo-entropy": _GRPO | {"entropy_advantage": True},
    "dapo": _DAPO,
    "meds": {k: v for k, v in _DAPO.items() if k not in ("scale_rewards", "entropy_advantage")},
}
"""By method: fields of TRL's MEDSConfig. With meds the preset sets the others."""


def name_in(engine: Engine, name: str) -> str:
    """How the user writes a setting.

    Example:
        >>> name_in("trl", "alpha"), name_in("trl", "fingerprint"), name_in("verl", "alpha")
        ('meds_alpha', 'fingerprint', 'meds.alpha')
    """
    if engine == "verl":
        return f"meds.{name}"
    return f"meds_{name}" if name in _MEMORY else name


def settings_of(engine: Engine) -> dict[str, Setting]:
    """The settings that an engine has, by name."""
    return _MEMORY | _SHARED | (_TRL if engine == "trl" else _VERL)


def default_of(engine: Engine, name: str) -> Any:
    """The default of a setting; None where the method or the preset sets it."""
    by_method = engine == "trl" and name_in(engine, name) in _GRPO
    return None if by_method or name in _DIFFERING else SETTINGS[name].value("paper")


def help_of(engine: Engine, name: str) -> str:
    """Meaning, bound and default of a setting, for a command line."""
    sources = ["method"] if engine == "trl" and name_in(engine, name) in _GRPO else []
    sources += ["preset"] if name in _DIFFERING else []
    default = f"by {' and '.join(sources)}" if sources else str(default_of(engine, name))
    setting = SETTINGS[name]
    return f"{setting.meaning} Allowed: {setting.allowed}. Default: {default}."


def field_of(engine: Engine, name: str) -> Any:
    """A dataclass field with the default and the help of a setting."""
    default, metadata = default_of(engine, name), {"help": help_of(engine, name)}
    return dataclasses.field(default=default, metadata=metadata)


def check_values(engine: Engine, values: Mapping[str, Any]) -> None:
    """Check settings, presets applied.

    Args:
        values: name in `SETTINGS` -> value.

    Raises:
        ValueError: one is not allowed; it names the setting as the user writes it and what is allowed.
    """
    for name, value in values.items():
        if SETTINGS[name].kind is list:
            check_anneal(name_in(engine, name), value)
        elif not SETTINGS[name].allows(value):
            raise ValueError(f"{name_in(engine, name)} must be {SETTINGS[name].allowed}; got {value!r}.")
    layers, written = values.get("fingerprint_layers"), name_in(engine, "fingerprint_layers")
    if layers == 0:
        raise ValueError(f"{written} must be -1 (all) or at least 1; got 0.")
    if layers == -1 and values["fingerprint"] == "pooled_logits":
        raise ValueError(f"{written}=-1 (all) is for layer_logits; pooled_logits reads one layer, 1 to L.")


# ---- What the settings make.


def shapes_all_wrong(values: Mapping[str, Any]) -> bool:
    """Whether a group without a right answer can carry signal, so that dynamic sampling must keep it."""
    return bool(values["all_wrong"] != "skip" and values["target"] != "right")


def make_clustering(values: Mapping[str, Any]) -> HDBSCANClustering:
    """The clustering of the memory."""
    return HDBSCANClustering(
        min_cluster_size=values["min_cluster_size"],
        cluster_selection_epsilon=values["cluster_selection_epsilon"],
    )


def make_memory(values: Mapping[str, Any]) -> ErrorMemory:
    """An empty memory."""
    clustering = make_clustering(values)
    return ErrorMemory(clustering, capacity=values["capacity"], half_life=values["half_life"])


def make_shaper(
    values: Mapping[str, Any], memory: ErrorMemory | None = None, penalty: PenaltyFunction | None = None
) -> RewardShaper:
    """What shapes the rewards.

    Args:
        values: the settings in `MEMORY_SETTINGS`.
        memory: instead of an empty one.
        penalty: in place of min(alpha ln(|C| + 1), beta), see `RewardShaper`.
    """
    return RewardShaper(
        alpha=values["alpha"],
        beta=values["beta"],
        target=values["target"],
        noise=values["noise"],
        all_wrong=values["all_wrong"],
        no_answer=values["no_answer"],
        n_neighbors=values["n_neighbors"],
        memory=make_memory(values) if memory is None else memory,
        max_distance=values["max_distance"],
        anneal=values["anneal"],
        penalty=penalty,
    )


# ---- The page of settings.


def page() -> str:
    """``docs/settings.md``, in Markdown."""
    raise NotImplementedError


if __name__ == "__main__":
    print(page(), end="")
