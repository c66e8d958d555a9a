"""The settings under ``meds:`` in verl's configuration."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from omegaconf import DictConfig, open_dict

from meds_rl.checks import check_something_penalised
from meds_rl.engines.settings import (
    ADVANTAGE,
    PRESETS,
    MemorySettings,
    check_above,
    check_at_least,
    check_choices,
    check_flag,
    check_layers,
    check_memory_bounds,
)
from meds_rl.fingerprint.by_name import make_fingerprint
from meds_rl.fingerprint.text import text_features

TEXT_FINGERPRINTS = ("answer_string", "text_embedding")
"""Fingerprints that read the text and not the model: they are made by the trainer, not in the workers."""

_NOT_IN_VERL = {
    "method": "verl's own settings make DAPO or GRPO (docs/verl.md); to train without a memory, run verl itself",
    "fingerprint_from": "verl's workers take fingerprints of the policy only",
    "reencode_tokens": "fingerprints of remembered completions are not taken anew in verl",
    "reencode_age": "fingerprints of remembered completions are not taken anew in verl",
}


@dataclass(frozen=True, kw_only=True)
class VerlSettings(MemorySettings):
    """Everything under ``meds:``.

    Attributes:
        preset: "paper" or "recommended": sets what the user leaves at null.
        fingerprint: of the model, captured in the workers, or of the text (`TEXT_FINGERPRINTS`).
        fingerprint_layers: last layers to read, -1 for all; or the layer to pool. None: the fingerprint's own choice.
        answer_marker: where the final answer is: "boxed", "answer_tag" or "hashes".
        correct_above: a completion is right if its `acc` (or its score, where the reward gives no `acc`) is above.
        scale_rewards: whether rewards are divided by the "group"'s deviation or not, "none"; by preset. None: as verl's
            own ``algorithm.norm_adv_by_std_in_grpo`` says.
        entropy_advantage: add token entropies to the advantages, A += min(a * H, |A| / k); by preset.
        entropy_advantage_coef, entropy_advantage_cap: a and k.
        memory: file of a memory to start with; a checkpoint's own memory goes before it. None: an empty one.
    """

    preset: Literal["paper", "recommended"] = "paper"
    fingerprint: Literal[
        "layer_logits",
        "layer_logits_diff",
        "pooled_logits",
        "answer_states",
        "working_states",
        "answer_string",
        "text_embedding",
    ]
    fingerprint_layers: int | None = None
    answer_marker: Literal["boxed", "answer_tag", "hashes"] = "boxed"
    correct_above: float = 0.5
    scale_rewards: Literal["group", "none"] | None = None
    entropy_advantage: bool
    entropy_advantage_coef: float = 0.4
    entropy_advantage_cap: float = 2.0
    memory: str | None = None

    @property
    def reads_text(self) -> bool:
        """Whether the fingerprint needs no model."""
        return self.fingerprint in TEXT_FINGERPRINTS

    @property
    def capture(self) -> dict[str, Any]:
        """What the workers must know."""
        return {name: asdict(self)[name] for name in ("fingerprint", "fingerprint_layers", "answer_marker")}


DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(VerlSettings)} | dict.fromkeys(
    [*PRESETS["paper"], "entropy_advantage"]
)
"""By setting: its default; None for what the preset sets."""


def read_settings(given: Mapping[str, Any] | None) -> VerlSettings:
    """The settings that a configuration gives, completed by its preset.

    Args:
        given: what stands under ``meds:``; None for nothing.

    Raises:
        ValueError: an unknown setting, or a value that is not allowed, with what is.

    Example:
        >>> settings = read_settings({"preset": "recommended", "alpha": 0.2})
        >>> settings.alpha, settings.beta, settings.fingerprint
        (0.2, 2.0, 'working_states')
    """
    given = dict(given or {})
    for name in given:
        check_name(name)
    values = DEFAULTS | given
    if not isinstance(values["preset"], str) or values["preset"] not in PRESETS:
        raise ValueError(f"meds.preset must be one of {', '.join(PRESETS)}; got {values['preset']!r}.")
    preset = {**PRESETS[values["preset"]], **ADVANTAGE[values["preset"]]}
    if preset["scale_rewards"] == "group":  # verl's own default: its own setting has the say
        preset["scale_rewards"] = None
    values |= {name: deepcopy(value) for name, value in preset.items() if values[name] is None}
    check_choices(VerlSettings, values, prefix="meds.")
    check_memory_bounds(values, prefix="meds.")
    check_something_penalised(
        mixed=values["mixed"], all_wrong=values["all_wrong"], target=values["target"], prefix="meds."
    )
    check_at_least("meds.correct_above", values["correct_above"], float("-inf"))
    if values["scale_rewards"] not in ("group", "none", None):
        raise ValueError(f"meds.scale_rewards must be null, group or none; got {values['scale_rewards']!r}.")
    check_flag("meds.entropy_advantage", values["entropy_advantage"])
    check_at_least("meds.entropy_advantage_coef", values["entropy_advantage_coef"], 0)
    check_above("meds.entropy_advantage_cap", values["entropy_advantage_cap"], 0)
    check_layers("meds.fingerprint_layers", values["fingerprint_layers"], values["fingerprint"])
    if values["memory"] is not None and not isinstance(values["memory"], str):
        raise ValueError(f"meds.memory must be null or the path of a memory; got {values['memory']!r}.")
    return VerlSettings(**values)


def check_name(name: str) -> None:
    """Refuse a setting that there is not.

    Raises:
        ValueError: with the settings that there are, or why this one of the TRL adapter's is not among them.
    """
    plain = str(name).removeprefix("meds_")
    if plain in _NOT_IN_VERL:
        raise ValueError(f"meds.{name} is not a setting in verl: {_NOT_IN_VERL[plain]}. Leave it out.")
    if name not in DEFAULTS:
        close = difflib.get_close_matches(plain, DEFAULTS, n=1)
        meant = f", did you mean meds.{close[0]}?" if close else ""
        raise ValueError(f"meds.{name} is no setting{meant} Allowed: {', '.join(sorted(DEFAULTS))}.")


# ---- What the fingerprint's capture in verl's workers cannot work with.

_READS_HEAD = ("layer_logits", "layer_logits_diff", "pooled_logits")


def capture_refusals(config: Mapping[str, Any]) -> list[str]:
    """Why fingerprints cannot be captured in the workers of a run with this configuration, one sentence a reason.

    Args:
        config: verl's whole configuration, with the capture's settings at `actor_rollout_ref.meds`.

    Returns:
        Sentences that say what is set and what to set instead; none if all is well.

    Example:
        >>> actor = {"strategy": "megatron"}
        >>> capture_refusals({"actor_rollout_ref": {"actor": actor, "model": {}}})[0][:50]
        "actor_rollout_ref.actor.strategy is 'megatron'; fi"
    """
    worker = config["actor_rollout_ref"]
    checks = [_strategy(worker["actor"]), _fused_kernels(worker["model"]), _tokenizer(worker["model"])]
    checks.append(_adapter_on_head(worker["model"], worker.get("meds") or {}))
    return [sentence for sentence in checks if sentence]


def _strategy(actor: Mapping[str, Any]) -> str | None:
    strategy = actor.get("strategy")
    if strategy == "fsdp2":
        return None
    return (
        f"actor_rollout_ref.actor.strategy is {strategy!r}; fingerprints are captured with FSDP2 only: set "
        "actor_rollout_ref.actor.strategy=fsdp2"
    )


def _fused_kernels(model: Mapping[str, Any]) -> str | None:
    if not model.get("use_fused_kernels"):
        return None
    return (
        "actor_rollout_ref.model.use_fused_kernels is on; capture beside them is untested: set "
        "actor_rollout_ref.model.use_fused_kernels=False"
    )


def _tokenizer(model: Mapping[str, Any]) -> str | None:
    if model.get("load_tokenizer", True):
        return None
    return (
        "actor_rollout_ref.model.load_tokenizer is off; workers need the tokenizer to find answers: set "
        "actor_rollout_ref.model.load_tokenizer=True"
    )


def _adapter_on_head(model: Mapping[str, Any], settings: Mapping[str, Any]) -> str | None:
    fingerprint = settings.get("fingerprint")
    targets = model.get("target_modules")
    if not model.get("lora_rank") or fingerprint not in _READS_HEAD or not targets:
        return None
    names = [targets] if isinstance(targets, str) else list(targets)
    if not any(str(name).rpartition(".")[2] == "lm_head" for name in names):
        return None
    return (
        f"actor_rollout_ref.model.target_modules puts an adapter on lm_head, which {fingerprint} reads: take lm_head "
        "out of it, or set meds.fingerprint=answer_states or working_states, which do not read lm_head"
    )


# ---- What cannot work with a memory of errors in verl, each with what to set instead.

ACCURACIES = ("acc", "score", "reward")
"""Metrics of verl's group filter that can be raw accuracy."""


def check_config(config: DictConfig) -> VerlSettings:
    """Read the settings of a run, hand verl and the workers theirs, and refuse the run if it cannot work.

    Args:
        config: verl's whole configuration.

    Raises:
        ValueError: with one sentence for everything that stands in the way.
    """
    settings = read_settings(config.get("meds"))
    if settings.scale_rewards is not None:
        with open_dict(config):
            config.algorithm.norm_adv_by_std_in_grpo = settings.scale_rewards == "group"
    reasons = refusals(config, settings)
    if not settings.reads_text:
        with open_dict(config):
            config.actor_rollout_ref.meds = (
                settings.capture
            )  # workers are given this part of the configuration
        reasons += capture_refusals(config)
    if reasons:
        raise ValueError("meds cannot run with this configuration:\n- " + "\n- ".join(reasons))
    return settings


def refusals(config: Any, settings: VerlSettings) -> list[str]:
    """Sentences about what the trainer cannot do; empty if it can do all that is asked for."""
    algorithm, rollout = config.algorithm, config.actor_rollout_ref.rollout
    reasons = []
    if not config.trainer.get("use_v1", True):
        reasons.append(
            "trainer.use_v1=False is verl's older trainer, which knows no plug-in. Set trainer.use_v1=True."
        )
    if config.get("model_engine", "dp") != "dp" and not settings.reads_text:
        reasons.append(
            f"model_engine={config.model_engine}: fingerprints are captured with FSDP2 only. Set model_engine=dp and "
            "actor_rollout_ref.actor.strategy=fsdp2."
        )
    if algorithm.adv_estimator != "grpo":
        reasons.append(
            f"algorithm.adv_estimator={algorithm.adv_estimator}: the penalty compares the completions of one prompt. "
            "Set algorithm.adv_estimator=grpo."
        )
    if rollout.n < 2:
        reasons.append(
            f"actor_rollout_ref.rollout.n={rollout.n}: a group needs at least two completions. Set it to 2 or more."
        )
    if algorithm.use_kl_in_reward:
        reasons.append(
            "algorithm.use_kl_in_reward=True mixes the KL term into the reward that the memory shapes. "
            "Set it to False and, for a KL term, actor_rollout_ref.actor.use_kl_loss=True."
        )
    needed = [] if settings.reads_text else ["fingerprints"]
    needed += ["the entropies of meds.entropy_advantage"] if settings.entropy_advantage else []
    if (algorithm.get("rollout_correction") or {}).get("bypass_mode", False) and needed:
        reasons.append(
            "algorithm.rollout_correction.bypass_mode=True leaves out the old-log-probability forward, in which "
            f"{' and '.join(needed)} are taken. Set it to False"
            + (", or meds.entropy_advantage=false." if settings.reads_text else ".")
        )
    if not config.actor_rollout_ref.get("hybrid_engine", True):
        reasons.append(
            "actor_rollout_ref.hybrid_engine=False belongs to verl's asynchronous trainers, and a memory needs whole "
            "groups of one policy. Set it to True."
        )
    return reasons + _about_sampling(config, settings)


def _about_sampling(config: Any, settings: VerlSettings) -> list[str]:
    filter_groups = config.algorithm.get("filter_groups")
    if filter_groups is None or not filter_groups.get("enable", False):
        return []
    metric, reasons = filter_groups.get("metric"), []
    if metric not in ACCURACIES:
        reasons.append(
            f"algorithm.filter_groups.metric={metric}: groups are dropped by raw accuracy. "
            "Set algorithm.filter_groups.metric=acc."
        )
    if metric == "reward" and _has_overlong_part(config):
        reasons.append(
            "algorithm.filter_groups.metric=reward has the overlong punishment in it, which is not raw accuracy. "
            "Set algorithm.filter_groups.metric=acc."
        )
    sampler = config.trainer.v1.sampler.get("custom_sampler") or {}
    if settings.shapes_all_wrong and sampler.get("path"):
        reasons.append(
            f"meds.all_wrong={settings.all_wrong} keeps groups without a right answer, and what "
            "trainer.v1.sampler.custom_sampler.path keeps is not known. Leave that out, or set meds.all_wrong=skip."
        )
    return reasons


def _has_overlong_part(config: Any) -> bool:
    buffer = (config.reward.get("reward_kwargs") or {}).get("overlong_buffer_cfg") or {}
    return bool(buffer.get("enable", False))


# ---- How wide the fingerprints of a run will be, known before anything is generated.


def num_features(hf_config: Any, settings: VerlSettings) -> int:
    """D, the width of the fingerprints.

    Args:
        hf_config: the model's configuration, of transformers.
        settings: of the run.

    Raises:
        ValueError: the model reads more than text, or has too few layers for the fingerprint.
        ImportError: the package of a text's fingerprint is missing.

    Example:
        >>> from transformers import Qwen3Config
        >>> from meds_rl.engines.verl.config import read_settings
        >>> config = Qwen3Config(num_hidden_layers=28, hidden_size=2048)
        >>> [num_features(config, read_settings({"preset": name})) for name in ("paper", "recommended")]
        [14, 2048]
    """
    if hf_config is not hf_config.get_text_config():
        raise ValueError(
            f"the model ({type(hf_config).__name__}) reads more than text, and meds is tested with text-only models. "
            "Set actor_rollout_ref.model.path to one."
        )
    if settings.reads_text:
        return text_features(settings.fingerprint, [""], settings.answer_marker).shape[1]
    fingerprint = make_fingerprint(settings.fingerprint, settings.fingerprint_layers)
    fingerprint.layers(hf_config.num_hidden_layers)
    return fingerprint.num_features(hf_config.num_hidden_layers, hf_config.hidden_size)
