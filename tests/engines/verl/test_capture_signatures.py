"""What the capture overrides or asks of verl is as it was written for, so that a new verl fails here first."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import pytest

pytest.importorskip("verl")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # verl warns of engines that are not installed
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngine, FSDPEngineWithLMHead
    from verl.workers.engine_workers import ActorRolloutRefWorker, TrainingWorker

    from meds_rl.engines.verl.worker import CapturingWorker, MEDSActorRolloutRefWorker

pytestmark = pytest.mark.verl


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (TrainingWorker.__init__, ["self", "config"]),
        (TrainingWorker.reset, ["self"]),
        (TrainingWorker.infer_batch, ["self", "data"]),
        (ActorRolloutRefWorker.__init__, ["self", "config", "role", "distillation_config", "kwargs"]),
        (FSDPEngineWithLMHead.forward_step, ["self", "micro_batch", "loss_function", "forward_only"]),
    ],
)
def test_parameters(function: Any, parameters: list[str]) -> None:
    assert list(inspect.signature(function).parameters) == parameters


@pytest.mark.parametrize(
    ("function", "needle"),
    [
        # Where the hybrid worker makes its actor and asks it for log-probabilities, in its own process.
        (
            ActorRolloutRefWorker.init_model,
            "self.actor = self.actor_worker_cls(config=actor_training_config)",
        ),
        (ActorRolloutRefWorker.init_model, "self.actor.reset()"),
        (ActorRolloutRefWorker.compute_log_prob, "self.actor.infer_batch(data)"),
        # Where an engine's output goes.
        (TrainingWorker.infer_batch, "self.engine.infer_batch(data, loss_function=loss_function)"),
        (TrainingWorker.infer_batch, 'key="no_lora_adapter"'),
        (FSDPEngine.forward_backward_batch, "self.forward_step(micro_batch, loss_function=loss_function"),
        # What the layouts are made of.
        (FSDPEngine._get_packed_pad_size, "ceildiv(packed_length, bucket) * bucket - packed_length"),
        (FSDPEngineWithLMHead.prepare_model_inputs, 'key="use_remove_padding"'),
    ],
)
def test_the_source_still_says(function: Any, needle: str) -> None:
    assert needle in inspect.getsource(function)


def test_the_hybrid_worker_has_verls_methods() -> None:
    """They carry the dispatch that Ray's worker groups look for."""
    for name in ("init_model", "compute_log_prob", "compute_ref_log_prob", "update_actor", "save_checkpoint"):
        assert getattr(MEDSActorRolloutRefWorker, name) is getattr(ActorRolloutRefWorker, name)
    assert ActorRolloutRefWorker.actor_worker_cls is TrainingWorker
    assert issubclass(CapturingWorker, TrainingWorker)
