"""``MEDSTrainer``: TRL's ``GRPOTrainer`` with a memory of past errors.

TRL calls ``_generate_and_score_completions`` once for each generation batch and ``_compute_loss`` once for each update.
The overridden methods in the order of the calls; none copies TRL's code:

1. ``_generate_and_score_completions``: dynamic sampling comes first, advantages and the rollouts table come last.
2. ``_generate`` returns the completions of dynamic sampling if it made any.
3. ``_get_per_token_logps_and_entropies``: fingerprints are recorded if TRL runs the old-log-probability forward.
4. ``_calculate_rewards`` returns the rewards of all processes. They are shaped here, just before TRL normalises them
   by group; ``shape`` computes the fingerprints by a forward of our own if 3 recorded none.
5. ``_compute_loss``: the entropy advantage is added.
6. ``_save_checkpoint``, ``_save_rng_state``, ``_load_optimizer_and_scheduler``: the memory is part of a checkpoint.
   ``_get_train_sampler`` keeps the sampler, which a resumed run must advance.

``train`` opens the run folder around all of this.
"""

import inspect
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from numpy.typing import NDArray
from trl import GRPOConfig, GRPOTrainer

from meds_rl.checks import PromptId
from meds_rl.engines.figures import batch_figures
from meds_rl.engines.settings import make_advantage
from meds_rl.engines.texts import OUTCOME, has_images, prompt_id_of, prompt_text, text_of
from meds_rl.engines.trl import checkpoint as checkpoints
from meds_rl.engines.trl.batch import (
    Batch,
    Features,
    all_wrong_has_signal,
    cluster_words,
    fingerprint_figures,
    on_main_process,
    rollout_columns,
    slice_of,
    warn_of_first_batch,
    warn_of_rows_without_reward,
)
from meds_rl.engines.trl.config import (
    NO_REWARD,
    MEDSConfig,
    add_rewards,
    check_arguments,
    make_trainers_shaper,
    memory_line,
    opening_line,
)
from meds_rl.engines.trl.correctness import Correctness, Given, as_list, find_columns
from meds_rl.engines.trl.dynamic_sampling import (
    COMPLETION_IDS,
    COMPLETIONS,
    EXTRA_FIELDS,
    IMAGES,
    PROMPT_IDS,
    TOOL_MASK,
    DynamicSampler,
    FilledBatch,
    PromptStream,
    Rollout,
    mask_fillers,
    split_generated,
)
from meds_rl.engines.trl.fingerprints import FingerprintFunction, Source, answer_of, make_source
from meds_rl.engines.trl.outcomes import LoggedOutcomes
from meds_rl.engines.trl.recall import RECALLED, check_kept, recall_into
from meds_rl.engines.trl.reference import copy_as_reference
from meds_rl.engines.trl.run import RunFiles, open_run
from meds_rl.fingerprint import AnswerFinder, Fingerprint, TextAnswerFinder
from meds_rl.memory.memory import NOTICED_SECONDS, ErrorMemory, compile_kernels
from meds_rl.rollouts import RunFolder
from meds_rl.shaping.advantage import AdvantageFunction, entropy_advantage
from meds_rl.shaping.recall import can_recall
from meds_rl.shaping.shaper import PenaltyFunction, RewardShaper

StrategyFinder = Callable[[str, Mapping[str, Any]], str | None]


class MEDSTrainer(GRPOTrainer):
    """``GRPOTrainer`` with a memory of past errors; also trains with GRPO + entropy advantage, DAPO and MEDS.

    Use it in place of ``GRPOTrainer``. With the method "trl", the default, it keeps your settings and TRL's defaults;
    the memory lowers the rewards of repeated errors, or only watches (``meds_alpha=0``).

    A completion is right if the function that ``correctness`` names returns more than ``args.correct_above``. If none
    is named, it is the only reward function, or the only one that returns nothing but 0 and 1 in the first batch. If
    there is none, the memory only watches, with a warning; methods that need one raise an error.

    With several processes the first one owns the memory: it shapes the rewards and sends the result to the others,
    whose ``memory`` is not used.

    A subclass may override `shape`. ``docs/seams.md`` has an example of everything that can be replaced.

    Args:
        model: as in ``GRPOTrainer``.
        reward_funcs: as in ``GRPOTrainer``. All of them add to the raw reward.
        args: a :class:`~meds_rl.engines.trl.config.MEDSConfig`; a ``GRPOConfig`` has the method "trl".
        train_dataset: as in ``GRPOTrainer``. The memory keys prompts by the column ``prompt_id``, without it by their
            content: text, images, and what the ``reset`` of an environment adds.
        *trl_positional: as in ``GRPOTrainer``, from ``eval_dataset`` on.
        correctness: what says right or wrong: a reward function, its name, a function of your own that is called like a
            reward function and adds nothing to the reward, or several of them (the first that returns a number counts).
        memory: start with this memory instead of an empty one. It keeps its own settings (clustering, capacity,
            half-life); fields of ``args`` that ask for others are refused.
        fingerprint: instead of ``args.fingerprint``. An object with the members of ``Fingerprint``, whose features
            ``args.fingerprint_width`` projects. Or a function that is called like a reward function, in each process
            with its rows: f(prompts=, completions=, answers=, **columns of the data set) -> (B, D). Completions and
            answers are texts. An answer may be None; return a row of NaN for it. If a reward function logs outcomes by
            ``log_extra("outcome", ...)``, their texts are the column ``outcome``.
        penalty: instead of min(alpha ln(|C| + 1), beta): a function (cluster_sizes (B,), group_sizes (B,)) -> (B,),
            see :class:`~meds_rl.RewardShaper`.
        advantage: instead of ``args.advantage`` and ``scale_rewards``: a function (rewards (B,), group_ids (B,),
            is_correct (B,)) -> (B,), called with the shaped, finite rewards of all processes. If it gives a
            group of wrong answers with equal rewards advantages other than 0, dynamic sampling keeps such groups.
        answer_finder: your function instead of ``args.answer_marker``: from a completion's text to its answer, or from
            token ids to its position (:func:`~meds_rl.fingerprint.answer_finder`).
        strategy: your function (completion as text, row of the data set) -> name, for the rollouts table.
        **trl_arguments: everything else that ``GRPOTrainer`` takes.

    Attributes:
        shaper: the :class:`~meds_rl.RewardShaper`; None unless the method is "trl" or "meds".
        memory: its memory; None likewise.

    Raises:
        TypeError: ``args`` is neither a ``MEDSConfig`` nor a ``GRPOConfig``.
        ValueError: no reward, a data set without prompts, a setting that cannot work.
    """

    # For TRL's model card.
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

    reward_funcs: list[Any]
    reward_func_names: list[str]
    reward_weights: torch.Tensor
    _source: Source | None = None
    _filled: FilledBatch | None = None  # by dynamic sampling; TRL gets it instead of generating

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: MEDSConfig | GRPOConfig | None = None,
        train_dataset: Dataset | None = None,
        *trl_positional: Any,
        memory: ErrorMemory | None = None,
        fingerprint: Fingerprint | FingerprintFunction | None = None,
        penalty: PenaltyFunction | None = None,
        advantage: AdvantageFunction | None = None,
        correctness: Given = None,
        answer_finder: AnswerFinder | TextAnswerFinder | None = None,
        strategy: StrategyFinder | None = None,
        **trl_arguments: Any,
    ) -> None:
        if args is None:
            name = str(model if isinstance(model, str) else model.config._name_or_path).split("/")[-1]
            args = MEDSConfig(f"{name}-MEDS")
        if not isinstance(args, GRPOConfig):
            raise TypeError(f"args must be a MEDSConfig or a GRPOConfig; got {type(args).__name__}.")
        args = args if isinstance(args, MEDSConfig) else MEDSConfig.of(args)
        given = list(reward_funcs) if isinstance(reward_funcs, list | tuple) else [reward_funcs]
        functions = [] if reward_funcs is None else given
        names = list(inspect.signature(GRPOTrainer.__init__).parameters)[5:]  # after self and the four above
        trl_arguments |= dict(zip(names, trl_positional, strict=False))
        check_arguments(functions, args, train_dataset, trl_arguments)
        chosen = as_list(correctness)
        args, all_functions, self._added = add_rewards(args, functions, chosen)
        _add_processing_classes(trl_arguments, len(all_functions) - len(functions))
        with copy_as_reference(model):
            super().__init__(model, all_functions, args, train_dataset, **trl_arguments)
        self._set_correctness(chosen)
        self._finder = args.answer_marker if answer_finder is None else answer_finder
        self.shaper: RewardShaper | None = None
        if args.uses_memory:
            self._make_memory(memory, penalty, fingerprint)
        self._advantage = make_advantage(args.settings) if advantage is None else advantage
        self._strategy = strategy or (lambda _text, _row: None)
        self._stream = PromptStream(self.train_dataset, args.seed) if args.dynamic_sampling else None
        self._run = RunFolder(args.output_dir)  # of the training in progress; `open_run` sets it
        self._run_files = RunFiles()
        self.add_callback(self._run_files)
        self._num_generations_done = 0
        needs_outcomes = args.uses_memory and fingerprint is None and args.fingerprint == OUTCOME
        self._outcomes = LoggedOutcomes(required=needs_outcomes)
        self._train_sampler: Any = None
        # Of the generation batch in progress.
        self._template: tuple[Sequence[Any], int] = ((), 0)  # what TRL's _generate returned, for how many rows
        self._written: Sequence[Sequence[int] | None] = []  # TRL's tool mask of this process's rows
        self._batch: Batch
        self._fingerprint_seconds = 0.0
        self._loss_inputs: dict[str, Any] | None = None  # of the update in progress

    def _make_memory(
        self,
        memory: ErrorMemory | None,
        penalty: PenaltyFunction | None,
        fingerprint: Fingerprint | FingerprintFunction | None,
    ) -> None:
        """Set the shaper and the source of fingerprints."""
        self.shaper = make_trainers_shaper(self.args, memory, penalty)
        self._source = make_source(self.model, self.args, fingerprint, self._finder, self._tokenizer, self.ref_model)
        width = self.shaper.memory.n_features
        if None not in (width, self.num_features) and width != self.num_features:
            raise ValueError(
                f"The memory contains fingerprints of {width} features; this model and fingerprint give "
                f"{self.num_features}. Take the memory of a run with the same model, fingerprint and "
                "fingerprint_width, or start with an empty one."
            )
        if self.args.recalls:
            check_kept(self, self.shaper.memory)
        if (seconds := compile_kernels()) > NOTICED_SECONDS:
            self.accelerator.print(f"Compiling or loading the clustering took {seconds:.0f} s; it is kept on disk.")

    def _set_correctness(self, given: Sequence[Any]) -> None:
        """Find the columns of rewards, and those that say right or wrong: the given ones, or by the first batch."""
        no_rewards = {id(function) for function in self._added.correctness}
        for column, function in enumerate(self.reward_funcs):
            if id(function) in no_rewards:
                self._make_name_unique(column)
        columns = dict(enumerate(self.reward_func_names))
        self._reward_columns = [column for column in columns if id(self.reward_funcs[column]) not in no_rewards]
        if not self._reward_columns:
            raise ValueError(NO_REWARD)
        chosen = find_columns(given, self.reward_funcs, columns) if given else None
        names = {column: columns[column] for column in (*self._reward_columns, *(chosen or []))}
        self._correctness = Correctness(names, chosen, self.args.correct_above, required=self.args.needs_correctness)

    def _make_name_unique(self, column: int) -> None:
        """Give a function that is no reward a name of its own: TRL logs the mean over all columns of one name."""
        name, number = self.reward_func_names[column], 1
        while self.reward_func_names.count(self.reward_func_names[column]) > 1:
            number += 1
            self.reward_func_names[column] = f"{name}_{number}"

    @property
    def memory(self) -> ErrorMemory | None:
        """The memory of past errors."""
        return None if self.shaper is None else self.shaper.memory

    @property
    def num_features(self) -> int | None:
        """D, the width of fingerprints; None without a memory, and for a user's function of texts."""
        return None if self._source is None else self._source.num_features

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """As in ``GRPOTrainer``; also writes the run folder ``output_dir`` (`meds_rl.rollouts.folder`).

        If the folder contains a run, this one gets ``output_dir/run-2``, and a warning says so.

        Raises:
            FileExistsError: another training writes to ``output_dir``; it contains another run than the checkpoint's.
            OSError: it cannot be written to.
            ValueError: a checkpoint that cannot be resumed.
        """
        with open_run(self, resume_from_checkpoint) as checkpoint:
            output = super().train(checkpoint, *args, **kwargs)
            checkpoints.save_memory(self, self._run.path)
        return output

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """As in ``Trainer``, and nothing after the last step: it trains one step more after a resume from that step."""
        if self.state.global_step >= self.state.max_steps:
            return [], None
        return super().get_batch_samples(*args, **kwargs)

    # ---- generate ----

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        if not self.model.training:  # evaluation never touches the memory
            return super()._generate_and_score_completions(inputs)
        if self._num_generations_done == 0:
            self.accelerator.print(opening_line(self.args))
        if self._stream is not None:
            self._filled = self._fill_batch(inputs, self._stream)
            inputs = self._filled.inputs(slice_of(self.accelerator, len(inputs)))
        original = self.reward_funcs, self.reward_func_names, self.reward_weights
        try:
            output = super()._generate_and_score_completions(inputs)  # _calculate_rewards sets self._batch
        finally:
            self.reward_funcs, self.reward_func_names, self.reward_weights = original
            self._filled, self.num_iterations = None, self.args.num_iterations
        if self._num_generations_done == 0:
            if self.args.uses_memory:
                knows_right, max_steps = self._batch.knows_right, self.state.max_steps
                self.accelerator.print(memory_line(self.args, knows_right=knows_right, max_steps=max_steps))
            reads_answers = not self._outcomes.required and self.args.fingerprint != "text"
            warn_of_first_batch(self._batch, reads_answers=reads_answers)
        if self.args.recalls and self.memory is not None:
            recall_into(self, self.memory, output)
        self._replace_advantages(self._batch, output)
        mask_fillers(self._batch, output, self.accelerator)
        self._write_rollouts(self._batch, output)
        return output

    def _fill_batch(self, inputs: list[dict[str, Any]], stream: PromptStream) -> FilledBatch:
        sampler = DynamicSampler(
            generate=self._generate_rollouts,
            is_correct=lambda rollout: bool(self._correctness.is_correct(rollout.rewards.unsqueeze(0))),
            prompt_id=prompt_id_of,
            stream=stream,
            group_size=self.num_generations,
            num_processes=self.accelerator.num_processes,
            max_batches=self.args.max_generation_batches,
            keep_all_wrong=self.args.shapes_all_wrong or all_wrong_has_signal(self._advantage, self.num_generations),
            can_recall=self._can_recall(),
        )
        filled = sampler.fill(gather_object(list(inputs)))
        self._log("dynamic_sampling/", filled.metrics())
        return filled

    def _can_recall(self) -> Collection[PromptId]:
        memory, most = self.memory, self.args.meds_recall
        if memory is None or not most:
            return ()
        return on_main_process(self.accelerator, lambda: can_recall(memory, most))

    def _generate_rollouts(self, rows: Sequence[Mapping[str, Any]]) -> list[Rollout]:
        """Generate and grade ``rows`` (of all processes), each process its part; all processes get all rollouts."""
        size = len(rows) // self.accelerator.num_processes
        inputs = [dict(row) for row in rows[slice_of(self.accelerator, size)]]
        prompts = [row["prompt"] for row in inputs]
        self._set_tools(size)
        generated = super()._generate(prompts)
        self._template = (generated, size)
        rollouts = split_generated(generated, size)
        for row, rollout in zip(inputs, rollouts, strict=True):  # as TRL does after it has generated
            row.update(rollout[EXTRA_FIELDS])
        rewards = self._grade(inputs, prompts, generated[COMPLETIONS], generated[COMPLETION_IDS]).cpu()
        extra = [
            {name: values[i] for name, values in self._pending_extra_logs.items() if len(values) == size}
            for i in range(size)
        ]
        self._pending_extra_logs.clear()
        parts = gather_object(list(zip(inputs, rollouts, extra, strict=True)))
        return [Rollout(row, part, reward, logged) for (row, part, logged), reward in zip(parts, rewards, strict=True)]

    def _set_tools(self, size: int) -> None:
        """TRL makes the tools of each row when it generates. Without environments they are the same for all rows."""
        tools = {tool.__name__: tool for tool in self.tools or []}
        asynchronous = {name: tool for name, tool in tools.items() if inspect.iscoroutinefunction(tool)}
        self._async_tool_dicts = [asynchronous] * size
        self._sync_tool_dicts = [{name: tool for name, tool in tools.items() if name not in asynchronous}] * size

    def _generate(self, prompts: list[Any]) -> tuple[Any, ...]:
        if self._filled is None:
            generated = super()._generate(prompts)
        else:
            generated = self._filled.generated(slice_of(self.accelerator, len(prompts)), self._template)
        ids = generated[COMPLETION_IDS]
        self._written = [None] * len(ids) if generated[TOOL_MASK] is None else generated[TOOL_MASK]
        if self._source is not None and self.model.training:
            images = self._is_vlm and any(gather_object([*map(has_images, prompts), any(generated[IMAGES] or [])]))
            self._source.start_batch(generated[PROMPT_IDS], ids, self._written, images=images)
            if self._source.needs_images:
                # TRL runs the old-log-probability forward if this number does not divide gradient_accumulation_steps.
                self.num_iterations = self.args.gradient_accumulation_steps + 1
        return generated

    # ---- TRL's forward: old log-probabilities have no gradient, those of the loss do ----

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
        source, with_gradient = self._source, torch.is_grad_enabled()
        if source is not None and self.model.training and not with_gradient and model is self.model:
            if source.needs_images:
                source.needs_images = False

                def forward(mask: torch.Tensor) -> Any:
                    return parent(model, input_ids, mask, logits_to_keep, *args, **kwargs)

                source.read(forward, model, attention_mask, logits_to_keep)
                if not self._keeps_old_logps:
                    return None, None, None
            with source.recording(model, attention_mask, logits_to_keep):
                return parent(model, input_ids, attention_mask, logits_to_keep, *args, **kwargs)
        logps, entropies, aux_loss = parent(model, input_ids, attention_mask, logits_to_keep, *args, **kwargs)
        if self._loss_inputs is not None and with_gradient:
            plain, coef = self._loss_inputs["advantages"], self.args.entropy_advantage
            added = entropies
            if RECALLED in self._loss_inputs:  # a recalled completion says nothing of how the policy explores
                added = entropies.masked_fill(self._loss_inputs[RECALLED].unsqueeze(1), 0.0)
            self._loss_inputs["advantages"] = entropy_advantage(plain, added, coef)
        return logps, entropies, aux_loss

    @property
    def _keeps_old_logps(self) -> bool:
        """Whether TRL computes old log-probabilities with the user's own `num_iterations`."""
        every = self.args.steps_per_generation * self.args.num_iterations
        with_vllm = self.use_vllm and self.vllm_importance_sampling_correction
        return with_vllm or self.args.gradient_accumulation_steps % every != 0

    # ---- rewards ----

    def _calculate_rewards(
        self,
        inputs: list[dict[str, Any]],
        prompts: list[Any],
        completions: list[Any],
        completion_ids_list: list[Any],
    ) -> torch.Tensor:
        if self._filled is None:
            rewards_per_func = self._grade(inputs, prompts, completions, completion_ids_list)
        else:
            rewards_per_func = self._filled.rewards.to(self.accelerator.device)
            self._pending_extra_logs.update(self._filled.extra(slice_of(self.accelerator, len(inputs))))
        if not self.model.training:
            return rewards_per_func
        self._add_own_columns()
        batch = self._batch = self._make_batch(inputs, prompts, completions, completion_ids_list, rewards_per_func)
        if self.shaper is not None:
            self._shape_and_log(batch, self.shaper, inputs)
            rewards_per_func[:, -1] = torch.as_tensor(batch.added)
        self._log_figures(batch)
        return rewards_per_func

    def _grade(
        self, inputs: list[dict[str, Any]], prompts: list[Any], completions: list[Any], completion_ids: list[Any]
    ) -> torch.Tensor:
        """TRL's rewards (B, F) over all processes; in training our own columns come last, the penalty as 0.

        A row that no reward function graded is NaN throughout, as in TRL: our columns would make it a 0.
        """
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids)
        self._outcomes.read(self._pending_extra_logs, len(prompts))
        ungraded = torch.isnan(rewards[:, self._reward_columns]).all(dim=1)
        warn_of_rows_without_reward(rewards, ungraded)
        if self.model.training:
            self._correctness.decide(rewards)
            added = torch.zeros(len(rewards), len(self._added.columns), device=rewards.device)
            if self._added.punishment is not None:
                punishment = torch.tensor(self._added.punishment(completion_ids=completion_ids), dtype=torch.float32)
                added[:, 0] = self.accelerator.gather(punishment.to(rewards.device))
            rewards = torch.cat([rewards, added], dim=1)
        return torch.where(ungraded.unsqueeze(1), torch.nan, rewards)

    def _add_own_columns(self) -> None:
        """Add our columns to those that TRL weights and logs, until the batch is done."""
        names, weights = list(self._added.columns), list(self._added.columns.values())
        self.reward_funcs = [*self.reward_funcs, *names]  # from here on TRL only counts them
        self.reward_func_names = [*self.reward_func_names, *names]
        self.reward_weights = torch.cat([self.reward_weights, torch.tensor(weights, dtype=self.reward_weights.dtype)])

    def _make_batch(
        self, inputs: Any, prompts: list[Any], completions: list[Any], ids: list[Any], rewards_per_func: torch.Tensor
    ) -> Batch:
        weights = self.reward_weights.to(rewards_per_func.device)
        rewards = (rewards_per_func * weights).nansum(dim=1)
        rewards[torch.isnan(rewards_per_func).all(dim=1)] = torch.nan
        texts = [text_of(completion) for completion in completions]
        knows_right = self._correctness.known
        graded = torch.isfinite(rewards.cpu())  # TRL gives the group of an infinite reward no advantage
        if knows_right or self._correctness.columns is None:  # None: no row has a grade yet
            graded &= ~torch.isnan(self._correctness.grades(rewards_per_func.cpu()))
        return Batch(
            prompt_ids=gather_object([prompt_id_of(row, prompt) for row, prompt in zip(inputs, prompts, strict=True)]),
            prompts=gather_object([prompt_text(prompt) for prompt in prompts]),
            completions=gather_object(texts),
            answers=gather_object(self._answers(texts, ids, self._written)),
            num_tokens=gather_object([len(row) for row in ids]),
            strategies=gather_object([self._name_strategy(text, row) for text, row in zip(texts, inputs, strict=True)]),
            rewards=rewards.double().cpu().numpy(),
            is_correct=self._correctness.is_correct(rewards_per_func).cpu().numpy(),
            is_graded=graded.numpy(),
            outcomes=self._outcomes.gather(self._pending_extra_logs, len(prompts)),
            group_size=self.num_generations,
            num_fillers=self._filled.num_filler_groups * self.num_generations if self._filled else 0,
            knows_right=knows_right,
        )

    def _answers(self, texts: Sequence[str], ids: Sequence[Any], written: Sequence[Any]) -> list[str | None]:
        rows = zip(texts, ids, written, strict=True)
        return [answer_of(self._finder, text, row, mask, self._tokenizer) for text, row, mask in rows]

    def _name_strategy(self, text: str, row: Mapping[str, Any]) -> str | None:
        name = self._strategy(text, row)
        if name is not None and not isinstance(name, str):
            raise TypeError(f"strategy must return a name or None; got {name!r}.")
        return name

    # ---- shape ----

    def _shape_and_log(self, batch: Batch, shaper: RewardShaper, inputs: list[dict[str, Any]]) -> None:
        self._fingerprint_seconds, start = 0.0, time.perf_counter()
        local = slice_of(self.accelerator, len(inputs))
        rows: Sequence[Mapping[str, Any]] = inputs
        if batch.outcomes is not None:
            rows = [{**row, OUTCOME: one} for row, one in zip(inputs, batch.outcomes[local], strict=True)]
        self.shape(batch, partial(self._features, rows))
        if not batch.knows_right or not self.args.penalises_sums:
            batch.only_watch()
        seconds = time.perf_counter() - start - self._fingerprint_seconds
        figures = batch.metrics() if batch.knows_right else {}
        figures |= {"fingerprint_ms": 1000 * self._fingerprint_seconds, "memory_ms": 1000 * seconds}
        if self._source is not None and self._source.follows_policy:
            figures["fingerprint_age"] = batch.fingerprint_age
        self._log("meds/", figures)
        self._log_last("meds/memory_size", len(shaper.memory))
        if shaper.anneal is not None:
            self._log_last("meds/alpha", shaper.alpha_at(self._progress))
        # One short column: TRL's table in the terminal has few letters for each, and it shows the penalty as a reward.
        taken = "cluster" in self._pending_extra_logs  # by a reward function's log_extra
        words = cluster_words(batch.column("cluster"), batch.column("cluster_size"))
        self._log_completion_extra("meds_cluster" if taken else "cluster", words[local])

    def shape(self, batch: Batch, features: Features) -> None:
        """Score a batch against the memory, then remember it: the method for a subclass to override.

        It is called if there is a memory, in every process with the same batch of all processes. The policy is trained
        on the ``batch.shaped_rewards`` that the subclass sets.

        Args:
            batch: graded; gets its ``shaped`` and ``shaped_rewards``.
            features: a function from the wanted rows, (B,) bool, to their fingerprints (B, D). Every process must call
                it equally often.
        """
        if self.shaper is not None:
            batch.shape(self.shaper, features, self.accelerator, progress=self._progress)

    @property
    def _progress(self) -> float:
        """Share of training that is done; at most 1, as a run that resumes after its last step gets one batch more."""
        return min(1.0, self.state.global_step / self.state.max_steps)

    def _features(self, rows: Sequence[Mapping[str, Any]], wanted: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(B, D) over all processes; each computes the fingerprints of its ``rows``."""
        if self._source is None:
            raise RuntimeError("without a memory there are no fingerprints")
        start = time.perf_counter()
        local = wanted[slice_of(self.accelerator, len(rows))]
        with self.accelerator.autocast():
            features = self._source.features(local, rows, self.model, self.accelerator)
        gathered: torch.Tensor = self.accelerator.gather(torch.as_tensor(features, device=self.accelerator.device))
        self._fingerprint_seconds += time.perf_counter() - start
        return gathered.cpu().numpy()

    def _log_figures(self, batch: Batch) -> None:
        """Figures of every method, over all groups that were generated for the batch."""
        answers, is_correct, graded = batch.answers, batch.is_correct, batch.is_graded
        if self._filled is not None:
            rollouts = self._filled.all_rollouts
            texts = [text_of(rollout.generated[COMPLETIONS]) for rollout in rollouts]
            ids = [rollout.generated[COMPLETION_IDS] for rollout in rollouts]
            answers = self._answers(texts, ids, [rollout.generated[TOOL_MASK] for rollout in rollouts])
            grades = torch.stack([rollout.rewards for rollout in rollouts])
            is_correct = self._correctness.is_correct(grades).numpy()
            graded = ~torch.isnan(self._correctness.grades(grades)).numpy()
        if batch.knows_right:
            group_ids = [row // batch.group_size for row in range(len(answers))]
            self._log("", batch_figures(answers, is_correct, graded, group_ids))
        if batch.features is not None and batch.knows_right:
            self._log("", fingerprint_figures(batch.features, batch.prompt_ids, batch.scored_wrong))

    def _log(self, prefix: str, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._metrics["train"][prefix + name].append(float(value))

    def _log_last(self, name: str, value: float) -> None:
        """Log a state, of which the last value counts; TRL logs the mean of all since its last log."""
        self._metrics["train"][name] = [float(value)]

    # ---- advantages and the rollouts table ----

    def _replace_advantages(self, batch: Batch, output: dict[str, Any]) -> None:
        """Replace TRL's advantages by those of `Batch.advantages`, for the update and in TRL's log."""
        values = on_main_process(self.accelerator, lambda: batch.advantages(self._advantage, self.args.scale_rewards))
        replaced = ~np.isnan(values)
        logged = self._logs["advantages"]
        for row in np.flatnonzero(replaced):
            logged[row - len(batch)] = float(values[row])  # TRL has just appended this batch's
        advantages, local = output["advantages"], slice_of(self.accelerator, len(output["advantages"]))
        ours = torch.as_tensor(values[local], dtype=advantages.dtype, device=advantages.device)
        output["advantages"] = torch.where(torch.isnan(ours), advantages, ours)

    def _write_rollouts(self, batch: Batch, output: Mapping[str, Any]) -> None:
        advantages = self.accelerator.gather(output["advantages"]).cpu().numpy()
        if self.args.log_rollouts and self.accelerator.is_main_process:
            step, generation = self.state.global_step, self._num_generations_done
            columns = rollout_columns(batch, step, generation, advantages)
            self._run.write_rollouts(generation, columns)
        self._num_generations_done += 1

    # ---- loss ----

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        # In this method TRL calls _get_per_token_logps_and_entropies and then reads the advantages, so the entropies
        # are added there: in a copy, as the same inputs are used again in the next iteration.
        if not self.args.entropy_advantage:
            return super()._compute_loss(model, inputs)
        self._loss_inputs = inputs = dict(inputs)
        try:
            return super()._compute_loss(model, inputs)
        finally:
            self._loss_inputs = None

    # ---- checkpoints ----

    def _get_train_sampler(self, dataset: Dataset | None = None) -> Any:
        self._train_sampler = super()._get_train_sampler(dataset)
        return self._train_sampler

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # Before TRL's files, so that a checkpoint that TRL has finished always has its memory.
        checkpoints.save(self, checkpoints.folder_of(self, trial))
        super()._save_checkpoint(model, trial)

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        self.accelerator.wait_for_everyone()  # next TRL marks the checkpoint as whole

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            checkpoints.load(self, checkpoint)


def _add_processing_classes(trl_arguments: dict[str, Any], num_added: int) -> None:
    """Add None for each added function: TRL takes one processing class per reward function."""
    given = trl_arguments.get("reward_processing_classes")
    if given is not None and num_added:
        classes = given if isinstance(given, list) else [given]
        trl_arguments["reward_processing_classes"] = [*classes, *[None] * num_added]
