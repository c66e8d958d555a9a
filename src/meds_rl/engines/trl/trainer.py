"""``MEDSTrainer``: TRL's ``GRPOTrainer`` with a memory of past errors.

It overrides TRL's methods at these seams and copies none of them:

1. ``_generate`` hands back completions that dynamic sampling has already generated, and finds their answers.
2. ``_get_per_token_logps_and_entropies`` is listened to where TRL runs the old-log-probability forward anyway.
3. ``_calculate_rewards`` returns the rewards of all processes just before group normalisation: here the memory speaks.
4. ``_generate_and_score_completions`` is wrapped, for what must happen before or after one generation batch.
5. ``_compute_loss`` is wrapped, for the entropy advantage.
6. ``_save_checkpoint`` and ``_load_optimizer_and_scheduler`` carry the memory; ``_get_train_sampler`` keeps hold of the
   sampler, which a resume must advance.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from trl import GRPOTrainer

from meds_rl.memory.memory import NOTICED_SECONDS, compile_kernels
from meds_rl.shaping.advantage import entropy_advantage
from meds_rl.engines.trl import checkpoint as checkpoints
from meds_rl.engines.trl.arguments import (
    as_list,
    check_arguments,
    make_reencoding,
    name_of,
    shaper_of,
    with_own_rewards,
)
from meds_rl.engines.trl.batch import (
    Batch,
    batch_figures,
    fingerprint_figures,
    prompt_id_of,
    rollout_columns,
    text_of,
)
from meds_rl.engines.trl.config import MEDSConfig
from meds_rl.engines.trl.dynamic_sampling import (
    DynamicSampler,
    Held,
    PromptStream,
    Refilled,
    Rollout,
    slice_of,
    split_generated,
)
from meds_rl.engines.trl.exploration_step import ExplorationStep
from meds_rl.engines.trl.fingerprints import FingerprintSource
from meds_rl.engines.trl.loss_mean import mask_fillers
from meds_rl.engines.trl.memory_step import MemoryStep
from meds_rl.engines.trl.own_advantages import own_advantages
from meds_rl.engines.trl.strategy_labels import StrategyLabels
from meds_rl.engines.trl.text_fingerprints import Source, make_source
from meds_rl.fingerprint import AnswerFinder, Fingerprint
from meds_rl.fingerprint.mean_state import MeanState, every_completion
from meds_rl.memory.memory import ErrorMemory
from meds_rl.rollouts import RunFolder
from meds_rl.shaping.shaper import RewardShaper

StrategyFinder = Callable[[str, Mapping[str, Any]], str | None]


class MEDSTrainer(GRPOTrainer):
    """Trains a language model with GRPO, GRPO with entropy advantage, DAPO or MEDS.

    Use it where you used ``GRPOTrainer``. The first reward function that grades a completion (returns a number, not
    None) says whether it is right (above ``args.correct_above``); further ones enter the raw reward.

    Args:
        model: as in ``GRPOTrainer``.
        reward_funcs: as in ``GRPOTrainer``; at least one.
        args: a :class:`~meds_rl.engines.trl.config.MEDSConfig`.
        train_dataset: as in ``GRPOTrainer``. A ``prompt_id`` column names the prompts in the memory; without it the
            prompt's content does.
        memory: start with this memory instead of an empty one. Its own settings hold (clustering, capacity, half-life);
            fields of ``args`` that ask for others are refused.
        fingerprint: instead of ``args.fingerprint``, an object of your own (the ``Fingerprint`` protocol).
        answer_finder: instead of ``args.answer_marker``, a function of your own.
        strategy: names the way of working of a completion, for the rollouts table.
        **trl_arguments: everything else that ``GRPOTrainer`` takes.

    Attributes:
        shaper: the :class:`~meds_rl.RewardShaper`; None unless ``args.method`` counts errors, as "meds" does.
        memory: its memory; None likewise.

    Raises:
        TypeError: ``args`` is not a ``MEDSConfig``.
        ValueError: no reward function, a data set without prompts, a setting that cannot work.
    """

    # What TRL's model card says of the method.
    _tag_names = ["trl", "grpo", "meds"]  # noqa: RUF012
    _name = "MEDS"
    _paper = {  # noqa: RUF012
        "title": "The Past Is Not Past: Memory-Enhanced Dynamic Reward Shaping",
        "id": "2604.11297",
        "citation": (
            "@article{meds2026, title = {{The Past Is Not Past: Memory-Enhanced Dynamic Reward Shaping}}, "
            "year = 2026, eprint = {arXiv:2604.11297}}"
        ),
    }

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: MEDSConfig | None = None,
        train_dataset: Dataset | None = None,
        *,
        memory: ErrorMemory | None = None,
        fingerprint: Fingerprint | None = None,
        answer_finder: AnswerFinder | None = None,
        strategy: StrategyFinder | None = None,
        **trl_arguments: Any,
    ) -> None:
        if args is None:
            args = MEDSConfig(f"{name_of(model)}-MEDS")
        if not isinstance(args, MEDSConfig):
            raise TypeError(
                f"args must be a MEDSConfig (it has every field of GRPOConfig); got {type(args).__name__}."
            )
        functions = as_list(reward_funcs)
        check_arguments(functions, args, train_dataset, trl_arguments)
        self._num_graders = len(functions)
        args, functions = with_own_rewards(args, functions)
        super().__init__(model, functions, args, train_dataset, **trl_arguments)
        self._memory_step: MemoryStep | None = None
        self._exploration: ExplorationStep | None = None
        self._source: Source | None = None
        if args.uses_exploration:
            states = FingerprintSource(
                self.model, args, MeanState(), every_completion, self._tokenizer, self.ref_model
            )
            self._exploration = ExplorationStep(
                states, weight=args.exploration_weight, dim=args.exploration_dim, seed=args.seed
            )
            self._source = states
        if args.uses_memory:
            source = make_source(
                self.model, args, fingerprint, answer_finder, self._tokenizer, self.ref_model
            )
            self._source = source
            if isinstance(source, StrategyLabels) and strategy is None:
                raise ValueError(
                    "fingerprint='strategy' counts the strategies that a task names; none are named here. Take "
                    "the pocket task, give the trainer a strategy=..., or take another fingerprint."
                )
            self._memory_step = MemoryStep(shaper_of(args, memory), source, make_reencoding(args, source))
            self._memory_step.check()
            if (seconds := compile_kernels()) > NOTICED_SECONDS:
                self.accelerator.print(
                    f"Compiling or loading the clustering took {seconds:.0f} s; compiled, it is kept on disk."
                )
        self._strategy = strategy
        self._stream = PromptStream(self.train_dataset, args.seed) if args.dynamic_sampling else None
        self._run = RunFolder(args.output_dir)
        self._refilled: Refilled | None = None
        self._held: Held | None = None
        self._template: tuple[Sequence[Any], int] = ((), 0)
        self._batches: list[Batch] = []
        self._num_generations_done = 0
        self._train_sampler: Any = None
        self._entropy_inputs: dict[str, Any] | None = None

    @property
    def shaper(self) -> RewardShaper | None:
        """What shapes the rewards; None unless the method counts errors."""
        return None if self._memory_step is None else self._memory_step.shaper

    @property
    def memory(self) -> ErrorMemory | None:
        """The memory of past errors; None unless the method counts errors."""
        return None if self._memory_step is None else self._memory_step.shaper.memory

    # ---- one generation batch ----

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        if not self.model.training:  # evaluation never touches the memory
            return super()._generate_and_score_completions(inputs)
        self._refuse_rollouts_of_another_run()
        if self._stream is not None:
            inputs = self._fill_batch(inputs, self._stream)
        output = super()._generate_and_score_completions(inputs)
        batch = self._batches.pop()
        self._held = self._refilled = None
        self._put_own_advantages(batch, output)
        mask_fillers(batch, output, self.accelerator)
        self._write_rollouts(batch, output)
        return output

    def _refuse_rollouts_of_another_run(self) -> None:
        if self.args.log_rollouts and self._num_generations_done == 0 and self._run.has_rollouts():
            raise FileExistsError(
                f"{self._run.rollouts_path} holds the rollouts of another run; nothing was changed. Name another "
                "output_dir, continue that run with resume_from_checkpoint, or set log_rollouts=False."
            )

    def _generate(self, prompts: list[Any]) -> tuple[Any, ...]:
        generated = super()._generate(prompts) if self._held is None else self._held.generated
        if self._source is not None and self.model.training:
            self._source.expect(prompt_ids=generated[0], completion_ids=generated[1])
        return generated

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        parent = super()._get_per_token_logps_and_entropies
        source = self._source
        if source is not None and self.model.training and not torch.is_grad_enabled() and model is self.model:
            with source.listen(model, attention_mask, logits_to_keep):
                return parent(model, input_ids, attention_mask, logits_to_keep, *args, **kwargs)
        logps, entropies, aux_loss = parent(model, input_ids, attention_mask, logits_to_keep, *args, **kwargs)
        if self._entropy_inputs is not None and torch.is_grad_enabled():
            inputs = self._entropy_inputs
            inputs["advantages"] = entropy_advantage(
                inputs["advantages"],
                entropies,
                self.args.entropy_advantage_coef,
                self.args.entropy_advantage_cap,
            )
        return logps, entropies, aux_loss

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        # TRL computes the tokens' entropies inside this method and reads the advantages after that, so the term
        # can be added in between: in a copy, as the same inputs are used again in the next iteration.
        if not self.args.entropy_advantage:
            return super()._compute_loss(model, inputs)
        self._entropy_inputs = inputs = dict(inputs)
        try:
            return super()._compute_loss(model, inputs)
        finally:
            self._entropy_inputs = None

    # ---- rewards ----

    def _calculate_rewards(
        self,
        inputs: list[dict[str, Any]],
        prompts: list[Any],
        completions: list[Any],
        completion_ids_list: list[Any],
    ) -> torch.Tensor:
        if self._held is None:
            rewards_per_func = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        else:
            rewards_per_func = self._held.rewards.to(self.accelerator.device)
            self._pending_extra_logs.update(self._held.extra)
        # What no user's function graded must stay ungraded: our own columns would make it a 0.
        ungraded = torch.isnan(rewards_per_func[:, : self._num_graders]).all(dim=1)
        rewards_per_func = torch.where(ungraded.unsqueeze(1), torch.nan, rewards_per_func)
        if not self.model.training:
            return rewards_per_func
        batch = self._observe(inputs, prompts, completions, completion_ids_list, rewards_per_func)
        if self._memory_step is not None:
            # A run that is resumed with fewer steps than it has done is given one batch more by transformers.
            progress = min(1.0, self.state.global_step / self.state.max_steps)
            figures = self._memory_step.apply(batch, self.model, self.accelerator, progress=progress)
            self._log_memory(batch, figures, len(completions))
        if self._exploration is not None:
            for name, value in self._exploration.apply(batch, self.model, self.accelerator).items():
                self._metrics["train"][f"exploration/{name}"].append(value)
        if self._memory_step is not None or self._exploration is not None:
            difference = torch.as_tensor(batch.shaped_rewards - batch.rewards, dtype=rewards_per_func.dtype)
            rewards_per_func[:, -1] = difference.to(rewards_per_func.device)
        self._log_figures(batch)
        self._batches.append(batch)
        return rewards_per_func

    def _observe(
        self,
        inputs: Any,
        prompts: list[Any],
        completions: list[Any],
        ids: list[Any],
        rewards_per_func: torch.Tensor,
    ) -> Batch:
        weights = self.reward_weights.to(rewards_per_func.device)
        rewards = (rewards_per_func * weights).nansum(dim=1)
        rewards[torch.isnan(rewards_per_func).all(dim=1)] = torch.nan
        texts = [text_of(completion) for completion in completions]
        finder = self._strategy
        return Batch(
            prompt_ids=gather_object([prompt_id_of(row) for row in inputs]),
            prompts=gather_object(list(prompts)),
            completions=gather_object(texts),
            num_tokens=gather_object([len(row) for row in ids]),
            strategies=gather_object(
                [finder(text, row) if finder else None for text, row in zip(texts, inputs, strict=True)]
            ),
            rewards=rewards.double().cpu().numpy(),
            is_correct=self._is_correct(rewards_per_func).cpu().numpy(),
            group_size=self.num_generations,
            num_fillers=self._refilled.num_fillers * self.num_generations if self._refilled else 0,
        )

    def _is_correct(self, rewards_per_func: torch.Tensor) -> torch.Tensor:
        """(B,) bool from (B, F): what the first function says that grades the row at all (TRL: None, here NaN)."""
        grades = rewards_per_func[:, : self._num_graders]
        first = (~torch.isnan(grades)).int().argmax(dim=1, keepdim=True)
        return grades.gather(1, first).squeeze(1) > self.args.correct_above

    def _log_memory(self, batch: Batch, figures: Mapping[str, float], num_local: int) -> None:
        for name, value in figures.items():
            self._metrics["train"][f"meds/{name}"].append(value)
        local = slice_of(self.accelerator, num_local)
        for column in ("cluster", "cluster_size", "penalty"):
            self._log_completion_extra(column, batch.column(column)[local])

    def _log_figures(self, batch: Batch) -> None:
        """What the batch shows, whatever the method, over all groups that were generated for it."""
        completions, is_correct, graded = batch.completions, batch.is_correct, ~np.isnan(batch.rewards)
        if self._refilled is not None:
            every = self._refilled.every
            completions = [text_of(rollout.generated[3]) for rollout in every]
            grades = torch.stack([rollout.rewards for rollout in every])
            is_correct = self._is_correct(grades).numpy()
            graded = ~torch.isnan(grades[:, : self._num_graders]).all(dim=1).numpy()
        figures = batch_figures(
            completions,
            is_correct,
            graded,
            group_size=self.num_generations,
            marker=self.args.answer_marker,
        )
        if batch.features is not None:
            figures |= fingerprint_figures(batch.features, batch.prompt_ids, batch.scored_wrong)
        for name, value in figures.items():
            self._metrics["train"][name].append(value)

    # ---- dynamic sampling ----

    def _fill_batch(self, inputs: list[dict[str, Any]], stream: PromptStream) -> list[dict[str, Any]]:
        sampler = DynamicSampler(
            generate=self._generate_rollouts,
            is_correct=lambda rollout: bool(self._is_correct(rollout.rewards.unsqueeze(0))),
            prompt_id=prompt_id_of,
            stream=stream,
            group_size=self.num_generations,
            num_processes=self.accelerator.num_processes,
            max_batches=self.args.max_generation_batches,
            keep_all_wrong=self.args.shapes_all_wrong,
        )
        self._held = None
        refilled = self._refilled = sampler.fill(gather_object(list(inputs)))
        self._log_refilled(refilled)
        local = refilled.rollouts[slice_of(self.accelerator, len(inputs))]
        self._held = Held(self._template, refilled.rollouts, local)
        return [dict(rollout.inputs) for rollout in local]

    def _generate_rollouts(self, rows: Sequence[Mapping[str, Any]]) -> list[Rollout]:
        """Generate and grade ``rows`` (of all processes), each process its share; all processes get all rollouts."""
        share = len(rows) // self.accelerator.num_processes
        inputs = [dict(row) for row in rows[slice_of(self.accelerator, share)]]
        prompts = [row["prompt"] for row in inputs]
        generated = super()._generate(prompts)
        self._template = (generated, share)
        rewards = super()._calculate_rewards(inputs, prompts, generated[3], generated[1]).cpu()
        extra = [
            {name: values[i] for name, values in self._pending_extra_logs.items() if len(values) == share}
            for i in range(share)
        ]
        self._pending_extra_logs.clear()
        parts = gather_object(list(zip(inputs, split_generated(generated, share), extra, strict=True)))
        return [
            Rollout(inputs=row, generated=part, rewards=reward, extra=columns)
            for (row, part, columns), reward in zip(parts, rewards, strict=True)
        ]

    def _log_refilled(self, refilled: Refilled) -> None:
        figures = {
            "generation_batches": refilled.num_batches,
            "groups_generated": refilled.num_groups,
            "groups_without_signal": refilled.num_fillers,
            "raw_accuracy": refilled.accuracy,
        }
        for name, value in figures.items():
            self._metrics["train"][f"dynamic_sampling/{name}"].append(float(value))

    # ---- after TRL's part ----

    def _put_own_advantages(self, batch: Batch, output: dict[str, Any]) -> None:
        """Advantages that TRL's group normalisation does not give (`own_advantages`)."""
        ours, values = own_advantages(
            batch, self.args.positive_weight if self.args.uses_own_advantages else None
        )
        if not ours.any():
            return
        logged = self._logs["advantages"]
        for row in np.flatnonzero(ours):
            logged[row - len(batch)] = float(values[row])
        local = slice_of(self.accelerator, len(output["advantages"]))
        mask = torch.as_tensor(ours[local], device=output["advantages"].device)
        own = torch.as_tensor(values[local], dtype=output["advantages"].dtype, device=mask.device)
        output["advantages"] = torch.where(mask, own, output["advantages"])

    def _write_rollouts(self, batch: Batch, output: Mapping[str, Any]) -> None:
        advantages = self.accelerator.gather(output["advantages"]).cpu().numpy()
        if self.args.log_rollouts and self.accelerator.is_main_process:
            columns = rollout_columns(
                batch,
                step=self.state.global_step,
                generation=self._num_generations_done,
                advantages=advantages,
                marker=self.args.answer_marker,
            )
            self._run.write_rollouts(self._num_generations_done, columns)
        self._num_generations_done += 1

    def _get_train_sampler(self, dataset: Dataset | None = None) -> Any:
        self._train_sampler = super()._get_train_sampler(dataset)
        return self._train_sampler

    # ---- checkpoints ----

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # First: a checkpoint that TRL has finished is never without its memory.
        checkpoints.save(self, checkpoints.folder_of(self, trial))
        super()._save_checkpoint(model, trial)

    def _save_rng_state(self, output_dir: str) -> None:
        # What follows marks the checkpoint as whole: not before every process has written its part.
        super()._save_rng_state(output_dir)
        self.accelerator.wait_for_everyone()

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            checkpoints.load(self, checkpoint)
