"""``MEDSTrainer``: verl's synchronous trainer with a memory of past errors, registered as ``meds``.

It overrides verl's methods at these seams and copies none of them:

1. ``_build_replay_buffer``: dynamic sampling keeps groups without a right answer where they carry signal.
2. ``_init_resource_pool_mgr`` replaces verl's worker by ours, whose old-log-probability forward gives fingerprints.
3. ``_compute_advantage`` is wrapped: scores are shaped before verl normalises them by group, and raw again afterwards,
   so that metrics and dumps show raw scores. Then come named advantages, and the entropy advantage is added last.
4. ``_dump_generations`` writes cluster, penalty and reason next to each completion.
5. ``_save_checkpoint`` and ``_load_checkpoint`` carry the memory.

The trainer is one process: it alone holds the memory.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import ray
from omegaconf import DictConfig, open_dict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.utils import Role
from verl.trainer.ppo.v1 import PPOTrainerSync, register_trainer
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.utils.config import omega_conf_to_dataclass

from meds_rl.engines.settings import make_advantage, make_shaper
from meds_rl.engines.texts import OUTCOME
from meds_rl.engines.verl.batch import (
    COLUMNS,
    Batch,
    Features,
    add_entropies,
    read_batch,
    read_fields,
    shaped_scores,
    write_advantages,
)
from meds_rl.engines.verl.checkpoint import (
    KeptMemories,
    folder_of,
    folder_resumed,
    other_ranks,
    restore_memory,
    save_memory,
    will_resume,
)
from meds_rl.engines.verl.config import check_config, num_features
from meds_rl.engines.verl.dynamic_sampling import KeepAllWrong
from meds_rl.engines.verl.fingerprints import FEATURES, features_from
from meds_rl.fingerprint import extract_answer
from meds_rl.fingerprint.text import text_fingerprints
from meds_rl.memory.memory import NOTICED_SECONDS, ErrorMemory, compile_kernels

TRAINER = "meds"
_ACTOR_ROLES = (Role.Actor, Role.ActorRollout, Role.ActorRolloutRef)


@register_trainer(TRAINER)
class MEDSTrainer(PPOTrainerSync):
    """Trains with MEDS. Set ``trainer.v1.trainer_mode=meds``; its settings are under ``meds:``.

    Args:
        config: verl's configuration.

    Attributes:
        shaper: the :class:`~meds_rl.RewardShaper`.

    Raises:
        ValueError: a setting that is not allowed, or a configuration that cannot work; the message says what to set.
    """

    def __init__(self, config: DictConfig) -> None:
        self._settings = check_config(config)
        with open_dict(config):
            # verl takes a trainer for asynchronous unless its name is "sync".
            config.trainer.v1.trainer_mode = "sync"
        super().__init__(config)
        self.shaper = make_shaper(vars(self._settings))
        self._num_features: int | None = None
        self._kept = KeptMemories(config.trainer.get("max_actor_ckpt_to_keep"))
        self._columns: dict[str, tuple[Any, ...]] = {}  # of the last batch, for its dump

    @property
    def memory(self) -> ErrorMemory:
        """The memory of past errors."""
        return self.shaper.memory

    def _init_tokenizer(self) -> None:
        super()._init_tokenizer()
        # Errors that can be known before the first generation are raised here.
        hf_config = omega_conf_to_dataclass(self.config.actor_rollout_ref.model).hf_config
        self._num_features = num_features(hf_config, self._settings)
        if self._settings.memory is not None and not will_resume(self.config):
            self.memory.restore(Path(self._settings.memory), n_features=self._num_features)
        if (seconds := compile_kernels()) > NOTICED_SECONDS:
            print(f"Compiling or loading the clustering took {seconds:.0f} s; compiled, it is kept on disk.")

    # ---- one step: sampling, fingerprints, rewards, advantages ----

    def _build_replay_buffer(self) -> ReplayBuffer:
        buffer = super()._build_replay_buffer()
        if not self._settings.shapes_all_wrong or buffer.filter_groups_metric is None:
            return buffer
        return KeepAllWrong.of(buffer, self._settings.correct_above)

    def _init_resource_pool_mgr(self) -> None:
        super()._init_resource_pool_mgr()
        if self._settings.reads_text:
            return
        # Imports verl's engines, which the trainer's process does not need otherwise.
        from meds_rl.engines.verl.worker import MEDSActorRolloutRefWorker

        for role in _ACTOR_ROLES:
            if role in self.role_worker_mapping:
                self.role_worker_mapping[role] = ray.remote(MEDSActorRolloutRefWorker)

    def _features(self, meta: KVBatchMeta, batch: Batch) -> Features:
        if self._settings.reads_text:
            decode, marker = self.tokenizer.decode, self._settings.answer_marker
            texts = [decode(ids.tolist(), skip_special_tokens=True) for ids in batch.completion_ids]
            answers = [extract_answer(text, marker) for text in texts]
            name, outcomes = self._settings.fingerprint, batch.outcomes
            if name == OUTCOME and outcomes is None:
                raise ValueError(
                    "meds.fingerprint=outcome needs outcomes, and the reward function reports none. Return a dict with "
                    "score, acc and outcome for each completion: a text (meds_rl.fingerprint.outcome_text) or None."
                )
            features = text_fingerprints(
                name, prompts=batch.prompts, completions=texts, answers=answers, outcomes=outcomes
            )
        else:
            features = features_from(read_fields(meta, batch.keys, [FEATURES]))
        return lambda _: features

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        needs_outcomes = self._settings.fingerprint == OUTCOME
        completions = read_batch(batch, self._settings.correct_above, needs_outcomes=needs_outcomes)
        features = self._features(batch, completions)
        start = time.perf_counter()
        self.shape(completions, features)
        self._log_memory(completions, metrics, seconds=time.perf_counter() - start)
        with shaped_scores(batch, completions):
            batch = super()._compute_advantage(batch, metrics)
        advantage = make_advantage(vars(self._settings))
        if advantage is not None or self.config.algorithm.get("norm_adv_by_std_in_grpo", True):
            write_advantages(batch, completions.advantages(advantage))
        if self._settings.entropy_advantage:
            add_entropies(batch, self._settings.entropy_advantage)
        return batch

    def shape(self, batch: Batch, features: Features) -> None:
        """Score a batch against the memory, then remember it: the method for a subclass to override.

        What the subclass puts into `batch.shaped_rewards` is what the policy is trained on.
        """
        batch.shape(self.shaper, features, progress=self._progress)

    @property
    def _progress(self) -> float:
        """Share of training that is done."""
        return (self.global_steps - 1) / self.total_training_steps  # verl counts steps from 1

    def _log_memory(self, batch: Batch, metrics: dict[str, Any], seconds: float) -> None:
        figures = batch.metrics()
        if self.shaper.anneal is not None:
            figures["alpha"] = self.shaper.alpha_at(self._progress)
        figures["raw_accuracy"] = float(batch.is_correct.mean()) if len(batch) else 0.0
        figures["memory_size"] = float(len(self.memory))
        figures["memory_ms"] = 1000 * seconds
        metrics.update({f"{TRAINER}/{name}": value for name, value in figures.items()})
        self._columns = batch.columns()

    def _dump_generations(
        self,
        inputs: list[str],
        outputs: list[str],
        gts: list[Any],
        scores: list[float],
        reward_extra_infos_dict: dict[str, list[Any]],
        dump_path: str,
    ) -> None:
        extra = dict(reward_extra_infos_dict)
        keys = extra.get("uid", [])
        if any(key in self._columns for key in keys):  # otherwise a dump of validation
            rows = [self._columns.get(key, (None,) * len(COLUMNS)) for key in keys]
            extra |= {name: list(values) for name, values in zip(COLUMNS, zip(*rows, strict=True), strict=True)}
        super()._dump_generations(inputs, outputs, gts, scores, extra, dump_path)

    # ---- checkpoints ----

    def _save_checkpoint(self) -> None:
        folder = folder_of(self.config, self.global_steps)
        # First: a checkpoint that verl calls the latest is never without its memory.
        save_memory(self.memory, folder)
        super()._save_checkpoint()
        self._kept.saved(folder)

    def _load_checkpoint(self) -> None:
        num_ranks = self.config.trainer.nnodes * self.config.trainer.n_gpus_per_node
        try:
            super()._load_checkpoint()
        except Exception as error:
            folder = folder_resumed(self.config, self.global_steps)
            if self.global_steps and (reason := other_ranks(folder, num_ranks)):
                raise ValueError(reason) from error
            raise
        if self.global_steps:
            folder = folder_resumed(self.config, self.global_steps)
            restore_memory(self.memory, folder, n_features=self._num_features)
