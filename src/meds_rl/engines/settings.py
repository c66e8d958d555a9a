"""Every setting of the training engines: name, type, bound, meaning, and its value in the two presets.

Everything else is made from the table `SETTINGS`: the fields and help of TRL's ``MEDSConfig``, the ``meds:`` section of
verl, error messages, and the page ``docs/settings.md``:

    python -m meds_rl.engines.settings > docs/settings.md
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from meds_rl.fingerprint.locate import MARKER_NAMES, WORDING, is_wording
from meds_rl.memory.clustering import Clustering, HDBSCANClustering, equal_vectors
from meds_rl.memory.memory import ErrorMemory
from meds_rl.shaping.advantage import (
    AdvantageFunction,
    f_grpo_advantages,
    maxrl_advantages,
    pass_at_k_advantages,
    undivided_advantages,
)
from meds_rl.shaping.penalty import check_anneal
from meds_rl.shaping.shaper import PenaltyFunction, RewardShaper
from meds_rl.tasks.grading import RIGHT_ABOVE as RIGHT_ABOVE

Engine = Literal["trl", "verl"]


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        kind: type of the value, or the allowed names; list is a pair of numbers.
        paper: its value as published or released. If this is None, None is allowed.
        meaning: in a sentence or two.
        recommended: its value with the preset "recommended", if it differs. The default is then None: by preset.
        least, above, most: bounds of a number; `above` itself is not allowed.
        words: the allowed values, if kind and bounds do not give them; of names, what is allowed beside them.
        also: whether a text that is none of the names is allowed.
    """

    kind: type | tuple[str, ...]
    paper: Any
    meaning: str
    recommended: Any = ...
    least: float = -math.inf
    above: float = -math.inf
    most: float = math.inf
    words: str = ""
    also: Callable[[str], bool] | None = None

    def value(self, preset: str) -> Any:
        """Its value with a preset; a list is a copy."""
        return deepcopy(self.recommended if preset == "recommended" and self.differs else self.paper)

    @property
    def differs(self) -> bool:
        """Whether the presets have different values."""
        return self.recommended is not ...

    @property
    def allowed(self) -> str:
        """The allowed values, in words."""
        if isinstance(self.kind, tuple):
            words = f"one of {', '.join(self.kind)}" + (f", or {self.words}" if self.words else "")
        elif self.words:
            words = self.words
        elif self.most < math.inf:
            words = f"{self.least:g} to {self.most:g}"
        else:
            words = _WORDS[self.kind]
            words += f" above {self.above:g}" if self.above > -math.inf else ""
            words += f" of at least {self.least:g}" if self.least > -math.inf else ""
        return f"None or {words}" if self.paper is None else words

    def allows(self, value: Any) -> bool:
        """Whether a value is allowed."""
        if value is None:
            return self.paper is None
        if isinstance(self.kind, tuple):
            return isinstance(value, str) and (value in self.kind or (self.also is not None and self.also(value)))
        if self.kind in (bool, str):
            return isinstance(value, self.kind)
        if isinstance(value, bool) or not isinstance(value, int if self.kind is int else int | float):
            return False
        return math.isfinite(value) and self.least <= value <= self.most and self.above < value


_WORDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    list: "two shares of training in order, 0 to 1",
    str: "a path",
}

_MEMORY: dict[str, Setting] = {
    "alpha": Setting(float, 0.1, "Strength of the penalty, min(alpha * ln(|C| + 1), beta).", least=0),
    "beta": Setting(float, 0.2, "Cap of the penalty, the paper's beta.", 2.0, least=0),
    "target": Setting(("wrong", "right", "both"), "wrong", "Which completions are penalised and remembered."),
    "noise": Setting(("cluster", "free"), "cluster", "Noise points count together as a cluster, or cost nothing."),
    "all_wrong": Setting(
        ("skip", "center", "shape"),
        "skip",
        "Groups without a right answer: left alone; penalised, with advantages that are not divided by the group's "
        "deviation; or penalised like any other group.",
        "center",
    ),
    "anneal": Setting(
        list, [1.0, 1.0], "The penalty falls to 0 between these shares of training; [1, 1]: never.", [0.333, 0.666]
    ),
    "no_answer": Setting(("cluster", "free"), "cluster", "Missing answers form a cluster, or are free (as released)."),
    "n_neighbors": Setting(int, 3, "Nearest remembered completions that vote for the cluster.", least=1),
    "max_distance": Setting(
        float,
        None,
        "Remembered completions further away (Euclidean distance of unit vectors) do not vote; without a voter the "
        "error is new and costs nothing. None or 2: no bound.",
        0.25,
        least=0,
        most=2,
    ),
    "min_cluster_size": Setting(int, 2, "Smallest cluster of HDBSCAN.", least=2),
    "cluster_selection_epsilon": Setting(
        float, 0.0, "Clusters of HDBSCAN that split at less than this distance are one.", 0.2, least=0
    ),
    "capacity": Setting(
        int, None, "Most completions remembered of a prompt, wrong and right apart. None: no bound.", least=1
    ),
    "half_life": Setting(
        float, None, "Batches after which a remembered completion counts half in |C|. None: never.", above=0
    ),
}
_SHARED: dict[str, Setting] = {
    "preset": Setting(
        ("paper", "recommended"),
        "paper",
        "Sets the settings that are left at None. The published fingerprint, layer_logits, hardly separates errors on "
        "the pocket task.",
    ),
    "fingerprint": Setting(
        (
            *("layer_logits", "layer_logits_diff", "pooled_logits", "answer_states", "working_states"),
            *("answer_string", "steps", "text", "outcome"),
        ),
        "layer_logits",
        "What completions are compared by: states of the model; the answer, the steps or the wording of the text; or "
        "the outcome that a grader reports (counted, without HDBSCAN).",
        "working_states",
    ),
    "fingerprint_layers": Setting(
        int,
        None,
        "layer_logits: how many of the last layers, -1 for all, None for half of them. pooled_logits and "
        "working_states: the layer to pool, None for the middle one or for two thirds of the way.",
        least=-1,
        words="-1 (all) or at least 1",
    ),
    "fingerprint_width": Setting(
        int,
        None,
        "Largest size of a fingerprint of the states. A fixed random matrix projects larger ones. None: no limit.",
        128,
        least=1,
    ),
    "answer_marker": Setting(
        MARKER_NAMES,
        "boxed",
        "How an answer is marked: `\\boxed{...}`, `<answer>...</answer>`, `####` or another text in front, or a fenced "
        "block of code.",
        words=WORDING,
        also=is_wording,
    ),
    "correct_above": Setting(
        float,
        None,
        "A completion is right if the reward function that says right or wrong returns more than this (verl: its acc, "
        f"or its score where there is no acc). None: {RIGHT_ABOVE}; in TRL the function must then return only 0 and 1.",
    ),
    "scale_rewards": Setting(
        ("group", "batch", "none"),
        "group",
        "Divide rewards less the group's mean by the deviation of the group, of the batch (TRL only), or not at all. "
        "In TRL a field of GRPOConfig. In verl the preset paper keeps algorithm.norm_adv_by_std_in_grpo.",
        "none",
    ),
    "advantage": Setting(
        ("trl", "undivided", "maxrl", "pass_at_k", "f_grpo"),
        "trl",
        "How advantages are made from rewards (docs/method.md). trl: by TRL, in verl by verl; scale_rewards acts only "
        "with it.",
    ),
    "advantage_k": Setting(int, 4, "k of pass_at_k, at most the group's size.", least=1),
    "entropy_advantage": Setting(
        float,
        0.0,
        "a in A += min(a * H, |A| / 2), with the token's entropy H. 0: no entropy advantage.",
        0.4,
        least=0,
    ),
}
_TRL: dict[str, Setting] = {
    "method": Setting(
        ("trl", "grpo", "grpo-entropy", "dapo", "meds"),
        "trl",
        "The training method; it sets the fields listed below. trl: your own recipe with a memory.",
    ),
    "fingerprint_from": Setting(
        ("policy", "reference"), "policy", "The model that is read: the policy, or the model before training."
    ),
    "meds_recall": Setting(
        int,
        0,
        "Most groups in a row without a right answer that take in an earlier right completion of their prompt. "
        "0: none.",
        least=0,
    ),
    "dynamic_sampling": Setting(bool, True, "Replace groups of raw accuracy 0 or 1 by groups of new prompts."),
    "max_generation_batches": Setting(int, 10, "Most rounds of generation to fill one batch.", least=1),
    "overlong_buffer": Setting(
        int,
        512,
        "Tokens before max_completion_length over which the overlong punishment grows from 0 to 1; 0 turns it off. "
        "A method sets at most a quarter of max_completion_length.",
        least=0,
    ),
    "log_rollouts": Setting(
        bool, True, "Write training completions to output_dir/rollouts, one parquet file per generation batch."
    ),
}
_VERL: dict[str, Setting] = {
    "memory": Setting(str, None, "File of a memory to start with; a checkpoint's own memory wins."),
}

SETTINGS = _MEMORY | _SHARED | _TRL | _VERL
"""By name. In TRL the names of `MEMORY_SETTINGS` have ``meds_`` in front."""

MEMORY_SETTINGS = tuple(_MEMORY)
"""What `make_memory` and `make_shaper` need."""

_DIFFERING = [name for name, setting in SETTINGS.items() if setting.differs]
PRESETS: dict[str, dict[str, Any]] = {
    preset: {name: SETTINGS[name].value(preset) for name in _DIFFERING} for preset in ("paper", "recommended")
}
"""By preset: the settings in which the presets differ."""

_BY_PRESET = "by preset"
_TRL_DEFAULT = "TRL's default"
_BY_METHOD: dict[str, tuple[Any, ...]] = {
    "preset": ("recommended", "paper", "paper", "paper", "paper"),
    "loss_type": (_TRL_DEFAULT, "grpo", "grpo", "dapo", "dapo"),
    "beta": (_TRL_DEFAULT, 0.001, 0.001, 0.0, 0.0),
    "epsilon": (_TRL_DEFAULT, 0.2, 0.2, 0.2, 0.2),
    "epsilon_high": (_TRL_DEFAULT, 0.2, 0.2, 0.28, 0.28),
    # TRL's two-sided clipping with delta is the dual clip: for A < 0 both give max(min(ratio, delta), 1 - epsilon) * A.
    "delta": (_TRL_DEFAULT, None, None, 10.0, 10.0),
    "scale_rewards": (_TRL_DEFAULT, "group", "group", "group", _BY_PRESET),
    "dynamic_sampling": (False, False, False, True, True),
    "overlong_buffer": (0, 0, 0, 512, 512),
    "entropy_advantage": (0.0, 0.0, 0.4, 0.0, _BY_PRESET),
}
METHODS: dict[str, dict[str, Any]] = {
    method: {name: row[i] for name, row in _BY_METHOD.items() if row[i] not in (_BY_PRESET, _TRL_DEFAULT)}
    for i, method in enumerate(("trl", "grpo", "grpo-entropy", "dapo", "meds"))
}
"""By method: fields of TRL's MEDSConfig. Those that are missing are set by the preset, or keep TRL's default."""


def name_in(engine: Engine, name: str) -> str:
    """The name of a setting for the user of an engine.

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
    """The default of a setting; None if the method or the preset sets it."""
    by_method = engine == "trl" and name_in(engine, name) in _BY_METHOD
    return None if by_method or name in _DIFFERING else SETTINGS[name].value("paper")


def field_of(engine: Engine, name: str) -> Any:
    """A dataclass field with the default and the help of a setting: its meaning, bound and default."""
    setting, default = SETTINGS[name], default_of(engine, name)
    sources = ["method"] if engine == "trl" and name_in(engine, name) in _BY_METHOD else []
    sources += ["preset"] if name in _DIFFERING else []
    shown = f"by {' and '.join(sources)}" if sources else default
    text = f"{setting.meaning} Allowed: {setting.allowed}. Default: {shown}."
    return dataclasses.field(default=default, metadata={"help": text})


def check_values(engine: Engine, values: Mapping[str, Any]) -> None:
    """Check settings to which the preset is already applied.

    Args:
        values: name in `SETTINGS` -> value.

    Raises:
        ValueError: a value is not allowed; the message names the setting as the engine does, and what is allowed.
    """
    for name, value in values.items():
        if SETTINGS[name].kind is list:
            check_anneal(name_in(engine, name), value)
        elif not SETTINGS[name].allows(value):
            raise ValueError(f"{name_in(engine, name)} must be {SETTINGS[name].allowed}; got {value!r}.")
    layers, name = values.get("fingerprint_layers"), name_in(engine, "fingerprint_layers")
    if layers == 0:
        raise ValueError(f"{name} must be -1 (all) or at least 1; got 0.")
    if layers == -1 and values["fingerprint"] == "pooled_logits":
        raise ValueError(f"{name}=-1 (all) is for layer_logits; pooled_logits reads one layer, 1 to L.")


# ---- Made from the settings.


def shapes_all_wrong(values: Mapping[str, Any]) -> bool:
    """Whether a group without a right answer can have signal, so that dynamic sampling must keep it."""
    return bool(values["all_wrong"] != "skip" and values["target"] != "right")


def make_hdbscan(values: Mapping[str, Any]) -> HDBSCANClustering:
    """HDBSCAN with `min_cluster_size` and `cluster_selection_epsilon`."""
    return HDBSCANClustering(
        min_cluster_size=values["min_cluster_size"], cluster_selection_epsilon=values["cluster_selection_epsilon"]
    )


def make_memory(values: Mapping[str, Any]) -> ErrorMemory:
    """An empty memory that clusters by HDBSCAN. Outcomes are counted: HDBSCAN calls the first equal ones noise."""
    counts = values.get("fingerprint") == "outcome"
    clustering: Clustering = equal_vectors if counts else make_hdbscan(values)
    return ErrorMemory(clustering, capacity=values["capacity"], half_life=values["half_life"])


def make_shaper(
    values: Mapping[str, Any], memory: ErrorMemory | None = None, penalty: PenaltyFunction | None = None
) -> RewardShaper:
    """A reward shaper with the settings in `MEMORY_SETTINGS`; a given memory or penalty replaces its settings."""
    names = ("alpha", "beta", "target", "noise", "all_wrong", "no_answer", "n_neighbors", "max_distance", "anneal")
    memory = make_memory(values) if memory is None else memory
    return RewardShaper(**{name: values[name] for name in names}, memory=memory, penalty=penalty)


def make_advantage(values: Mapping[str, Any]) -> AdvantageFunction | None:
    """The function of a named advantage; None for the trainer's own.

    Example:
        >>> make_advantage({"advantage": "maxrl", "advantage_k": 4}).__name__
        'maxrl_advantages'
    """
    functions: dict[str, AdvantageFunction | None] = {
        "trl": None,
        "undivided": undivided_advantages,
        "maxrl": maxrl_advantages,
        "pass_at_k": partial(pass_at_k_advantages, k=values["advantage_k"]),
        "f_grpo": f_grpo_advantages,
    }
    return functions[values["advantage"]]


# ---- The page of settings.

_PAGE = """# Settings

Every setting of the two engines, made from the table in `src/meds_rl/engines/settings.py` by `make settings`. A value
that you give always wins. If the two presets differ in a setting, its default is `None`: by preset.

## In TRL and verl

`meds_*` acts only with `method: trl` and `method: meds`.

{shared}
## In TRL only

In `MEDSConfig`, besides every field of TRL's `GRPOConfig`.

{trl}
## In verl only

In TRL a memory is an argument of `MEDSTrainer`.

{verl}
## What a method sets in TRL

`beta` is TRL's KL coefficient; the paper's beta is `meds_beta`.

{methods}"""


def page() -> str:
    """``docs/settings.md``, in Markdown."""
    head = ["setting", "allowed", "meaning", "default"]
    return _PAGE.format(
        shared=_table(
            ["TRL", "verl, under `meds:`", "allowed", "meaning", "paper", "recommended"],
            [
                [f"`{name_in('trl', name)}`", f"`{name}`", *_cells(setting)]
                for name, setting in (_SHARED | _MEMORY).items()
            ],
        ),
        trl=_table(head, [[f"`{name}`", *_cells(setting)[:2], _default(name)] for name, setting in _TRL.items()]),
        verl=_table(head, [[f"`{name}`", *_cells(setting)[:3]] for name, setting in _VERL.items()]),
        methods=_table(
            ["field", *(f"`{method}`" for method in METHODS)],
            [[f"`{name}`", *map(_value, row)] for name, row in _BY_METHOD.items()],
        ),
    )


def _default(name: str) -> str:
    """The default of a setting that only TRL has."""
    return "by method" if name in _BY_METHOD else _value(SETTINGS[name].value("paper"))


def _cells(setting: Setting) -> list[str]:
    """Allowed values, meaning, and the values in both presets."""
    return [setting.allowed, setting.meaning, *(_value(setting.value(preset)) for preset in PRESETS)]


def _value(value: Any) -> str:
    if value in (_BY_PRESET, _TRL_DEFAULT):
        return str(value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in [head, *rows]]
    lines.insert(1, " | ".join("---" for _ in head))
    return "".join(f"| {line} |\n" for line in lines)


if __name__ == "__main__":
    print(page(), end="")
