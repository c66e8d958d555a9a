"""What cannot work with a memory of errors in verl, each with what to set instead."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, open_dict

from meds_rl.engines.verl.capture_refusals import capture_refusals
from meds_rl.engines.verl.settings import VerlSettings, read_settings

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
