"""What the fingerprint's capture in verl's workers cannot work with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
