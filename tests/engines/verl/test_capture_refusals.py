"""What cannot work in the workers is refused before they start, with what to set instead."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("verl")

from omegaconf import OmegaConf

from meds_rl.engines.verl.config import capture_refusals

pytestmark = pytest.mark.verl


def _config(actor: dict[str, Any] | None = None, model: dict[str, Any] | None = None, **settings: Any) -> Any:
    worker = {
        "actor": {"strategy": "fsdp2", **(actor or {})},
        "model": {
            "use_fused_kernels": False,
            "lora_rank": 0,
            "target_modules": "all-linear",
            **(model or {}),
        },
        "meds": {
            "fingerprint": "layer_logits",
            "fingerprint_layers": None,
            "answer_marker": "boxed",
            **settings,
        },
    }
    return OmegaConf.create({"actor_rollout_ref": worker})


def test_nothing_against_fsdp2() -> None:
    assert capture_refusals(_config()) == []
    assert capture_refusals(_config(model={"lora_rank": 8})) == []
    assert capture_refusals(_config(model={"lora_rank": 8, "target_modules": ["q_proj", "v_proj"]})) == []


@pytest.mark.parametrize("strategy", ["fsdp", "megatron", "veomni", "torchtitan", None])
def test_other_strategies(strategy: str | None) -> None:
    (sentence,) = capture_refusals(_config(actor={"strategy": strategy}))
    assert repr(strategy) in sentence
    assert "set actor_rollout_ref.actor.strategy=fsdp2" in sentence


def test_fused_kernels_and_no_tokenizer() -> None:
    sentences = capture_refusals(_config(model={"use_fused_kernels": True, "load_tokenizer": False}))
    assert ["use_fused_kernels=False" in sentences[0], "load_tokenizer=True" in sentences[1]] == [True, True]


@pytest.mark.parametrize("targets", ["lm_head", ["q_proj", "lm_head"], ["model.lm_head"]])
def test_adapters_on_the_head(targets: Any) -> None:
    model = {"lora_rank": 8, "target_modules": targets}
    (sentence,) = capture_refusals(_config(model=model))
    assert "take lm_head out of it" in sentence
    assert capture_refusals(_config(model=model, fingerprint="answer_states")) == []
    assert capture_refusals(_config(model={**model, "lora_rank": 0})) == []


def test_several_at_once() -> None:
    config = _config(actor={"strategy": "fsdp"}, model={"use_fused_kernels": True})
    assert len(capture_refusals(config)) == 2
