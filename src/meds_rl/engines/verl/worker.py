"""verl's hybrid worker, whose actor takes fingerprints while it computes old log-probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from verl.utils import tensordict_utils as tu
from verl.workers.config import TrainingWorkerConfig
from verl.workers.engine_workers import ActorRolloutRefWorker, TrainingWorker

from meds_rl.engines.verl.fingerprints import FingerprintSource
from meds_rl.fingerprint import answer_finder, make_fingerprint


class CapturingWorker(TrainingWorker):
    """The actor's worker; `infer_batch` returns `meds_features` next to the log-probabilities.

    It does so for log-probabilities of the policy only: a forward with the adapters off is the reference's.

    Args:
        config: verl's.
        settings: `fingerprint`, `fingerprint_layers`, `fingerprint_width` and `answer_marker` of the section ``meds:``.
    """

    def __init__(self, config: TrainingWorkerConfig, settings: Mapping[str, Any]) -> None:
        super().__init__(config=config)
        self._source = FingerprintSource(
            self.engine,
            make_fingerprint(settings["fingerprint"], settings["fingerprint_layers"], settings["fingerprint_width"]),
            answer_finder(settings["answer_marker"]),
            self.model_config.tokenizer,
        )

    def reset(self) -> None:
        """Build the model, and check at once that the fingerprint can be read of it."""
        super().reset()
        self._source.check()

    def infer_batch(self, data: Any) -> Any:
        """As verl's. The hybrid worker calls it in its own process, so it needs no dispatch of its own."""
        if tu.get(data, key="no_lora_adapter", default=False):
            return super().infer_batch(data)
        with self._source.recording(data):
            return super().infer_batch(data)


class MEDSActorRolloutRefWorker(ActorRolloutRefWorker):
    """verl's worker with a `CapturingWorker` as its actor; its settings are at `config.meds`."""

    def __init__(self, config: Any, role: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, role, *args, **kwargs)
        self.actor_worker_cls = partial(CapturingWorker, settings=config.meds)
