"""verl's synchronous trainer with a memory of past errors, registered as ``meds``.

It overrides verl's methods at these seams and copies none of them:

1. ``_init_resource_pool_mgr`` puts our worker in the place of verl's: its old-log-probability forward gives
   fingerprints.
2. ``_compute_advantage`` is wrapped: here the memory speaks. Scores are shaped before verl normalises them by group,
   and raw again afterwards, so that metrics and dumps show raw scores. The entropy advantage is added last.
3. ``_build_replay_buffer``: dynamic sampling keeps groups without a right answer where they teach.
4. ``_save_checkpoint`` and ``_load_checkpoint`` carry the memory.
5. ``_dump_generations`` writes what the memory said next to each completion.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import ray
import transfer_queue as tq
from numpy.typing import NDArray
from omegaconf import DictConfig, open_dict
from torch import Tensor
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.utils import Role
from verl.trainer.ppo.v1 import PPOTrainerSync, register_trainer
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.utils.config import omega_conf_to_dataclass

from meds_rl.engines.compiling import NOTICED_SECONDS, compile_kernels
from meds_rl.engines.settings import make_shaper
from meds_rl.engines.verl.advantages import add_entropies, write_centered
from meds_rl.engines.verl.batch import Completions, read_completions, write_scores
from meds_rl.engines.verl.checkpoint import (
    KeptMemories,
    folder_resumed,
    folder_to_save,
    other_ranks,
    restore_memory,
    save_memory,
    will_resume,
)
from meds_rl.engines.verl.config import check_config, num_features
from meds_rl.engines.verl.dynamic_sampling import KeepAllWrong
from meds_rl.engines.verl.fingerprints import FEATURES, features_from
from meds_rl.engines.verl.memory_step import MemoryStep
from meds_rl.memory.memory import ErrorMemory
from meds_rl.shaping.result import ShapedBatch

TRAINER = "meds"
_ACTOR_ROLES = (Role.Actor, Role.ActorRollout, Role.ActorRolloutRef)


@register_trainer(TRAINER)
class MEDSTrainer(PPOTrainerSync):
    """Use it with ``trainer.v1.trainer_mode=meds``; settings stand under ``meds:``.

    Args:
        config: verl's configuration.

    Attributes:
        shaper: the :class:`~meds_rl.RewardShaper`.

    Raises:
        ValueError: a setting that is not allowed, or a configuration that cannot work, with what to set instead.
    """

    def __init__(self, config: DictConfig) -> None:
        self._settings = check_config(config)
        with open_dict(config):
            # verl asks by name whether a trainer is synchronous, and takes any unknown name for an asynchronous one.
            config.trainer.v1.trainer_mode = "sync"
        super().__init__(config)
        self.shaper = make_shaper(self._settings)
        self._num_features: int | None = None
        self._kept = KeptMemories(config.trainer.get("max_actor_ckpt_to_keep"))
        self._memory_step: MemoryStep | None = None

    @property
    def memory(self) -> ErrorMemory:
        """The memory of past errors."""
        return self.shaper.memory

    def _build_replay_buffer(self) -> ReplayBuffer:
        buffer = super()._build_replay_buffer()
        if not self._settings.shapes_all_wrong or buffer.filter_groups_metric is None:
            return buffer
        return KeepAllWrong.of(buffer, self._settings.correct_above)

    def _init_tokenizer(self) -> None:
        super()._init_tokenizer()
        self._memory_step = MemoryStep(self.shaper, self._settings, self.tokenizer)
        # What cannot work is told now, not after the first generation.
        hf_config = omega_conf_to_dataclass(self.config.actor_rollout_ref.model).hf_config
        self._num_features = num_features(hf_config, self._settings)
        if self._settings.memory is not None and not will_resume(self.config):
            self.memory.restore(Path(self._settings.memory), n_features=self._num_features)
        if (seconds := compile_kernels()) > NOTICED_SECONDS:
            print(f"Compiling or loading the clustering took {seconds:.0f} s; compiled, it is kept on disk.")

    def _init_resource_pool_mgr(self) -> None:
        super()._init_resource_pool_mgr()
        if self._settings.reads_text:
            return
        from meds_rl.engines.verl.worker import (
            MEDSActorRolloutRefWorker,
        )  # the engines' imports, for workers only

        for role in _ACTOR_ROLES:
            if role in self.role_worker_mapping:
                self.role_worker_mapping[role] = ray.remote(MEDSActorRolloutRefWorker)

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        completions = read_completions(batch, self._settings.correct_above)
        shaped = self._shape(batch, completions, metrics)
        raw = completions.token_scores
        write_scores(
            batch, completions, [_moved(row, by) for row, by in zip(raw, _changes(shaped), strict=True)]
        )
        try:
            batch = super()._compute_advantage(batch, metrics)
        finally:
            write_scores(batch, completions, raw)
        if self.config.algorithm.get("norm_adv_by_std_in_grpo", True):
            write_centered(batch, completions, shaped)
        if self._settings.entropy_advantage:
            add_entropies(batch, self._settings.entropy_advantage_coef, self._settings.entropy_advantage_cap)
        return batch

    def _shape(self, batch: KVBatchMeta, completions: Completions, metrics: dict[str, Any]) -> ShapedBatch:
        if self._memory_step is None:
            raise RuntimeError("the trainer was not set up: call init() before it trains")
        captured = None if self._settings.reads_text else _captured(batch, completions)
        progress = (self.global_steps - 1) / self.total_training_steps  # verl counts from 1
        shaped, figures = self._memory_step.apply(completions, captured, progress=progress)
        metrics.update({f"{TRAINER}/{name}": value for name, value in figures.items()})
        return shaped

    def _save_checkpoint(self) -> None:
        folder = folder_to_save(self.config, self.global_steps)
        # First: verl names a checkpoint the latest when it is whole, and then it must not lack its memory.
        save_memory(self.memory, folder)
        super()._save_checkpoint()
        self._kept.saved(folder)

    def _load_checkpoint(self) -> None:
        try:
            super()._load_checkpoint()
        except Exception as error:
            if self.global_steps and (reason := self._other_ranks()):
                raise ValueError(reason) from error
            raise
        if self.global_steps:
            folder = folder_resumed(self.config, self.global_steps)
            restore_memory(self.memory, folder, n_features=self._num_features)

    def _other_ranks(self) -> str | None:
        trainer = self.config.trainer
        folder = folder_resumed(self.config, self.global_steps)
        return other_ranks(folder, trainer.nnodes * trainer.n_gpus_per_node)

    def _dump_generations(
        self,
        inputs: list[str],
        outputs: list[str],
        gts: list[Any],
        scores: list[float],
        reward_extra_infos_dict: dict[str, list[Any]],
        dump_path: str,
    ) -> None:
        said = (
            {}
            if self._memory_step is None
            else self._memory_step.dumped(reward_extra_infos_dict.get("uid", []))
        )
        super()._dump_generations(
            inputs, outputs, gts, scores, {**reward_extra_infos_dict, **said}, dump_path
        )


def _captured(batch: KVBatchMeta, completions: Completions) -> NDArray[np.float32]:
    """(n, D) what the workers have read of the model."""
    data = tq.kv_batch_get(keys=completions.keys, partition_id=batch.partition_id, select_fields=[FEATURES])
    return features_from(data)


def _changes(shaped: ShapedBatch) -> list[float]:
    """(n,) what the memory adds to each reward; exactly 0 where it says nothing."""
    changes: list[float] = (shaped.rewards - shaped.raw_rewards).tolist()
    return changes


def _moved(token_scores: Tensor, by: float) -> Tensor:
    """Token scores (T,) with the last one, where verl keeps the reward, moved."""
    moved: Tensor = token_scores.clone()
    moved[-1] += by
    return moved
