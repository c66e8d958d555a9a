"""The settings under ``meds:`` in verl's configuration, and which configurations are refused at the start.

`meds_rl.engines.settings` has each setting once, with its bounds, its meaning and its value in each preset. The section
``meds:`` of config/meds_trainer.yaml is made from there: ``python -m meds_rl.engines.verl.config`` prints it.
"""

from __future__ import annotations

import difflib
import json
import textwrap
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from omegaconf import DictConfig, open_dict

from meds_rl.engines.settings import (
    MEMORY_SETTINGS,
    PRESETS,
    RIGHT_ABOVE,
    SETTINGS,
    check_values,
    default_of,
    settings_of,
    shapes_all_wrong,
)
from meds_rl.fingerprint import make_fingerprint
from meds_rl.fingerprint.text import TEXT_FINGERPRINTS

DEFAULTS: dict[str, Any] = {name: default_of("verl", name) for name in settings_of("verl")}
"""By setting: its default; None for what the preset sets."""

_NOT_IN_VERL = {
    "method": "verl's own settings make DAPO or GRPO (docs/start-verl.md); to train without a memory, run verl itself",
    "fingerprint_from": "verl's workers take fingerprints of the policy only",
    "dynamic_sampling": "verl's own setting is algorithm.filter_groups.enable",
    "max_generation_batches": "verl's own setting is algorithm.filter_groups.max_num_gen_batches",
    "overlong_buffer": "verl's own setting is reward.reward_kwargs.overlong_buffer_cfg",
    "log_rollouts": "verl's own setting is trainer.rollout_data_dir",
    "recall": "a recalled completion would need a second forward pass; TRL's trainer can recall (meds_recall)",
}


class MEDSConfig(SimpleNamespace):
    """The settings under ``meds:``, presets applied: one attribute for each setting that verl has.

    `scale_rewards` is None where verl's own ``algorithm.norm_adv_by_std_in_grpo`` decides.
    """

    @property
    def reads_text(self) -> bool:
        """Whether fingerprints are made from the text, in the trainer, and not from the model, in the workers."""
        return self.fingerprint in TEXT_FINGERPRINTS

    @property
    def shapes_all_wrong(self) -> bool:
        """Whether a group without a right answer can carry signal, so that dynamic sampling must keep it."""
        return shapes_all_wrong(vars(self))

    @property
    def capture(self) -> dict[str, Any]:
        """The settings that the workers need."""
        names = ("fingerprint", "fingerprint_layers", "fingerprint_width", "answer_marker")
        return {name: vars(self)[name] for name in names}


def read_settings(given: Mapping[str, Any] | None) -> MEDSConfig:
    """The settings that a configuration gives, completed by the preset.

    Args:
        given: the section ``meds:``; None for an empty one.

    Raises:
        ValueError: an unknown setting, or a value that is not allowed; the message says what is.

    Example:
        >>> settings = read_settings({"preset": "recommended", "alpha": 0.2})
        >>> settings.alpha, settings.beta, settings.fingerprint
        (0.2, 2.0, 'working_states')
    """
    given = dict(given or {})
    for name in given:
        check_name(name)
    values = DEFAULTS | given
    check_values("verl", {"preset": values["preset"]})
    preset = {name: SETTINGS[name].value(values["preset"]) for name in PRESETS["paper"]}
    if preset["scale_rewards"] == "group":  # verl's default, too: its own setting decides
        preset["scale_rewards"] = None
    values |= {name: value for name, value in preset.items() if values[name] is None}
    check_values("verl", {name: value for name, value in values.items() if name != "scale_rewards"})
    if values["scale_rewards"] not in (None, "group", "none"):  # "batch" is TRL's
        raise ValueError(f"meds.scale_rewards must be null, group or none; got {values['scale_rewards']!r}.")
    values["correct_above"] = RIGHT_ABOVE if values["correct_above"] is None else values["correct_above"]
    return MEDSConfig(**values)


def check_name(name: str) -> None:
    """Refuse an unknown setting.

    Raises:
        ValueError: the message lists the settings that are allowed, or says why verl does not have this one of TRL's.
    """
    plain = str(name).removeprefix("meds_")
    if plain in _NOT_IN_VERL:
        raise ValueError(f"meds.{name} is not a setting in verl: {_NOT_IN_VERL[plain]}. Leave it out.")
    if name not in DEFAULTS:
        close = difflib.get_close_matches(plain, DEFAULTS, n=1)
        meant = f", did you mean meds.{close[0]}?" if close else "."
        raise ValueError(f"meds.{name} is no setting{meant} Allowed: {', '.join(sorted(DEFAULTS))}.")


def section() -> str:
    """The section ``meds:`` of config/meds_trainer.yaml, with a comment for each setting."""
    lines = ["meds:"]
    for name in sorted(DEFAULTS, key=MEMORY_SETTINGS.__contains__):  # as on the page of settings
        allowed = "null, group or none" if name == "scale_rewards" else SETTINGS[name].allowed
        comment = f"{SETTINGS[name].meaning} Allowed: {allowed}.".replace("None", "null")
        lines += textwrap.wrap(comment, 118, initial_indent="  # ", subsequent_indent="  # ")
        default = DEFAULTS[name]
        lines.append(f"  {name}: {default if isinstance(default, str) else json.dumps(default)}")
    return "\n".join(lines) + "\n"


# ---- Configurations that cannot work, each with what to set instead.


def check_config(config: DictConfig) -> MEDSConfig:
    """Read the settings of a run, pass theirs to verl and to the workers, and refuse the run if it cannot work.

    Raises:
        ValueError: with one sentence for each thing that cannot work.
    """
    settings = read_settings(config.get("meds"))
    reasons = [*_about_trainer(config, settings), *_about_forward(config, settings), *_about_sampling(config, settings)]
    with open_dict(config):
        if settings.scale_rewards is not None:
            config.algorithm.norm_adv_by_std_in_grpo = settings.scale_rewards == "group"
        if not settings.reads_text:
            config.actor_rollout_ref.meds = settings.capture  # workers get this part of the configuration
            reasons += capture_refusals(config)
    if reasons:
        raise ValueError("meds cannot run with this configuration:\n- " + "\n- ".join(reasons))
    return settings


def _about_trainer(config: Any, settings: MEDSConfig) -> Iterator[str]:
    algorithm, worker = config.algorithm, config.actor_rollout_ref
    if not config.trainer.get("use_v1", True):
        yield "trainer.use_v1=False is verl's older trainer, which has no plug-ins. Set trainer.use_v1=True."
    if algorithm.adv_estimator != "grpo":
        yield (
            f"algorithm.adv_estimator={algorithm.adv_estimator}: the penalty compares the completions of one prompt. "
            "Set algorithm.adv_estimator=grpo."
        )
    if (n := worker.rollout.n) < 2:
        yield f"actor_rollout_ref.rollout.n={n}: a group needs at least two completions. Set it to 2 or more."
    if settings.advantage == "pass_at_k" and settings.advantage_k > n:
        yield f"meds.advantage_k={settings.advantage_k} is more than actor_rollout_ref.rollout.n={n}. Lower it."
    if algorithm.use_kl_in_reward:
        yield (
            "algorithm.use_kl_in_reward=True mixes the KL term into the reward that the memory shapes. "
            "Set it to False and, for a KL term, actor_rollout_ref.actor.use_kl_loss=True."
        )
    if not worker.get("hybrid_engine", True):
        yield (
            "actor_rollout_ref.hybrid_engine=False belongs to verl's asynchronous trainers, and a memory needs whole "
            "groups of one policy. Set it to True."
        )


def _about_forward(config: Any, settings: MEDSConfig) -> Iterator[str]:
    """The old-log-probability forward, in which fingerprints and entropies are taken."""
    if config.get("model_engine", "dp") != "dp" and not settings.reads_text:
        yield (
            f"model_engine={config.model_engine}: fingerprints are captured with FSDP2 only. Set model_engine=dp and "
            "actor_rollout_ref.actor.strategy=fsdp2."
        )
    needed = [] if settings.reads_text else ["fingerprints"]
    needed += ["the entropies of meds.entropy_advantage"] if settings.entropy_advantage else []
    if needed and (config.algorithm.get("rollout_correction") or {}).get("bypass_mode", False):
        yield (
            "algorithm.rollout_correction.bypass_mode=True leaves out the old-log-probability forward, in which "
            f"{' and '.join(needed)} are taken. Set it to False"
            + (", or meds.entropy_advantage=0." if settings.reads_text else ".")
        )


def _about_sampling(config: Any, settings: MEDSConfig) -> Iterator[str]:
    filter_groups = config.algorithm.get("filter_groups")
    if filter_groups is None or not filter_groups.get("enable", False):
        return
    metric = filter_groups.get("metric")
    if metric not in ("acc", "score", "reward"):  # verl's metrics that can be raw accuracy
        yield (
            f"algorithm.filter_groups.metric={metric}: groups are dropped by raw accuracy. "
            "Set algorithm.filter_groups.metric=acc."
        )
    overlong = (config.reward.get("reward_kwargs") or {}).get("overlong_buffer_cfg") or {}
    if metric == "reward" and overlong.get("enable", False):
        yield (
            "algorithm.filter_groups.metric=reward has the overlong punishment in it, which is not raw accuracy. "
            "Set algorithm.filter_groups.metric=acc."
        )
    sampler = config.trainer.v1.sampler.get("custom_sampler") or {}
    if settings.shapes_all_wrong and sampler.get("path"):
        yield (
            f"meds.all_wrong={settings.all_wrong} keeps groups without a right answer, and what "
            "trainer.v1.sampler.custom_sampler.path keeps is not known. Leave that out, or set meds.all_wrong=skip."
        )


def capture_refusals(config: Mapping[str, Any]) -> list[str]:
    """Sentences about why fingerprints cannot be captured in the workers; empty if they can.

    Example:
        >>> actor = {"strategy": "megatron"}
        >>> capture_refusals({"actor_rollout_ref": {"actor": actor, "model": {}}})[0][:50]
        "actor_rollout_ref.actor.strategy is 'megatron'; fi"
    """
    worker = config["actor_rollout_ref"]
    return list(_about_capture(worker["actor"], worker["model"], worker.get("meds") or {}))


def _about_capture(actor: Mapping[str, Any], model: Mapping[str, Any], meds: Mapping[str, Any]) -> Iterator[str]:
    strategy, fingerprint = actor.get("strategy"), meds.get("fingerprint")
    if strategy != "fsdp2":
        yield (
            f"actor_rollout_ref.actor.strategy is {strategy!r}; fingerprints are captured with FSDP2 only: set "
            "actor_rollout_ref.actor.strategy=fsdp2"
        )
    if model.get("use_fused_kernels"):
        yield (
            "actor_rollout_ref.model.use_fused_kernels is on; it is not tested together with fingerprints: set "
            "actor_rollout_ref.model.use_fused_kernels=False"
        )
    if not model.get("load_tokenizer", True):
        yield (
            "actor_rollout_ref.model.load_tokenizer is off; workers need the tokenizer to find answers: set "
            "actor_rollout_ref.model.load_tokenizer=True"
        )
    reads_head = fingerprint in ("layer_logits", "layer_logits_diff", "pooled_logits")
    if reads_head and _adapts_head(model):
        yield (
            f"actor_rollout_ref.model.target_modules puts an adapter on lm_head, which {fingerprint} reads: take "
            "lm_head out of it, or set meds.fingerprint=answer_states or working_states, which do not read lm_head"
        )


def _adapts_head(model: Mapping[str, Any]) -> bool:
    """Whether LoRA changes lm_head."""
    targets = model.get("target_modules") or []
    names = [targets] if isinstance(targets, str) else list(targets)
    return bool(model.get("lora_rank")) and any(str(name).rpartition(".")[2] == "lm_head" for name in names)


def num_features(hf_config: Any, settings: MEDSConfig) -> int:
    """D, the width of a run's fingerprints, from the model's configuration of transformers.

    Raises:
        ValueError: the model reads more than text, or has too few layers for the fingerprint.

    Example:
        >>> from transformers import Qwen3Config
        >>> config = Qwen3Config(num_hidden_layers=28, hidden_size=2048)
        >>> [num_features(config, read_settings({"preset": name})) for name in ("paper", "recommended")]
        [14, 128]
    """
    if hf_config is not hf_config.get_text_config():
        raise ValueError(
            f"the model ({type(hf_config).__name__}) reads more than text, and meds is tested with text-only models. "
            "Set actor_rollout_ref.model.path to one."
        )
    if settings.reads_text:
        return TEXT_FINGERPRINTS[settings.fingerprint]
    fingerprint = make_fingerprint(settings.fingerprint, settings.fingerprint_layers, settings.fingerprint_width)
    fingerprint.layers(hf_config.num_hidden_layers)
    return fingerprint.num_features(hf_config.num_hidden_layers, hf_config.hidden_size)


if __name__ == "__main__":
    print(section(), end="")
