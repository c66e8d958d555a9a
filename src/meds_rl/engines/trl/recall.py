"""Put recalled completions into TRL's generation batch (``meds_recall``). `meds_rl.shaping.recall` chooses them.

A recalled completion replaces the token ids, mask and log-probabilities of a row, before TRL shuffles and splits the
batch. Its old and its sampling log-probabilities are the current policy's, so its ratios start at 1. Its KL term is
that of its own text. So the update is that of the same text if it were sampled, with a weight and without a penalty or
an entropy advantage. Logs, rollouts (except their column `advantage`) and the memory of errors keep what was sampled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import gather_object
from trl import GRPOTrainer
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from meds_rl.engines.trl.batch import Batch, on_main_process, slice_of
from meds_rl.memory.memory import ErrorMemory
from meds_rl.memory.recall import RightCompletion
from meds_rl.shaping.recall import recall, rows_to_keep
from meds_rl.shaping.shaper import Group, GroupKind, groups_of

if TYPE_CHECKING:
    from meds_rl.engines.trl.trainer import MEDSTrainer

RECALLED = "recalled"
"""Key in TRL's batches: (B,) bool, true for recalled rows."""

_POLICY_LOGPS = ("old_per_token_logps", "sampling_per_token_logps")
_REFERENCE_LOGPS = "ref_per_token_logps"
_RATIO = "importance_sampling_ratio"  # vLLM's correction


def check_kept(trainer: MEDSTrainer, memory: ErrorMemory) -> None:
    """Refuse a given memory whose right completions come from another tokenizer.

    Raises:
        ValueError: one has an unknown token, or does not end as this trainer's completions do.
    """
    ends, size = _end_ids(trainer), trainer.model.config.get_text_config().vocab_size
    for one in (one for kept in memory.kept.values() for one in kept.completions):
        if one.token_ids[-1] not in ends or one.token_ids.max() >= size:
            raise ValueError(
                f"The memory keeps a right completion with token ids up to {one.token_ids.max()} and "
                f"{one.token_ids[-1]} at its end; this model has {size} tokens, and {sorted(ends)} end a completion. "
                "Take the memory of a run with the same tokenizer, or set meds_recall=0."
            )


def recall_into(trainer: MEDSTrainer, memory: ErrorMemory, output: dict[str, Any]) -> None:
    """Recall completions for the trainer's batch and put them into TRL's output. All processes call it together.

    Raises:
        ValueError: a completion has tokens that the policy did not write, or a prompt has images.
    """
    refused = sorted({"tool_mask", "num_images"} & output.keys())
    if refused:
        raise ValueError(
            "meds_recall needs completions that only the policy wrote, of prompts without images; this batch has "
            f"{', '.join(refused)}. Set meds_recall=0."
        )
    batch = trainer._batch
    groups = _groups(batch)
    whole = _whole_completions(trainer, output, rows_to_keep(groups, batch.is_correct))
    sizes = np.array(batch.column("cluster_size"), dtype=np.float64)

    def keep_and_recall() -> tuple[dict[int, RightCompletion], int]:
        return recall(memory, trainer.args.meds_recall, groups, batch.is_correct, sizes, whole), len(memory.kept)

    batch.recalled, num_prompts = on_main_process(trainer.accelerator, keep_and_recall)
    trainer._log("recall/", {"groups": len(batch.recalled), "prompts": num_prompts})
    size = len(output["completion_ids"])
    output[RECALLED] = torch.zeros(size, dtype=torch.bool, device=output["completion_ids"].device)
    if batch.recalled:
        first = slice_of(trainer.accelerator, size).start
        local = {row - first: one for row, one in batch.recalled.items() if 0 <= row - first < size}
        output[RECALLED][list(local)] = True
        _put_tokens(trainer, output, local)
        _put_logps(trainer, output, list(local), most=max(np.bincount([row // size for row in batch.recalled])))


def _groups(batch: Batch) -> list[Group]:
    """The groups with their graded rows. All-wrong fillers are left out: no loss uses them, and nothing is kept."""
    if not batch.knows_right:
        return []
    graded = np.flatnonzero(batch.is_graded)
    ids = [batch.prompt_ids[row] for row in graded.tolist()]
    groups = groups_of(ids, batch.group_ids[graded].tolist(), batch.is_correct[graded])
    groups = [group._replace(rows=graded[group.rows]) for group in groups]
    return [one for one in groups if batch.in_loss[one.rows[0]] or one.kind is not GroupKind.ALL_WRONG]


def _whole_completions(trainer: MEDSTrainer, output: Mapping[str, Any], wanted: np.ndarray) -> dict[int, Any]:
    """Row -> completion, over all processes: the wanted ones that the policy ended with an end token."""
    batch, ids, ends = trainer._batch, output["completion_ids"], _end_ids(trainer)
    first = slice_of(trainer.accelerator, len(ids)).start
    rows = [first + row for row in np.flatnonzero(wanted[first : first + len(ids)]).tolist()]
    found = [(row, ids[row - first, : batch.num_tokens[row]].cpu().numpy()) for row in rows]
    whole = [(row, RightCompletion(one, batch.rewards[row])) for row, one in found if len(one) and one[-1] in ends]
    return dict(gather_object(whole))


def _end_ids(trainer: MEDSTrainer) -> set[int]:
    """The tokens that end a completion."""
    given = trainer.model.generation_config.eos_token_id
    return {trainer._tokenizer.eos_token_id, *(given if isinstance(given, list) else [given])} - {None}


def _put_tokens(trainer: MEDSTrainer, output: dict[str, Any], rows: Mapping[int, RightCompletion]) -> None:
    """Replace token ids and mask in rows of this process; a longer completion widens the batch."""
    length = output["completion_ids"].size(1)
    longest = max([length, *(len(one.token_ids) for one in rows.values())])
    multiple = trainer.pad_to_multiple_of or 1
    num_added = -(-longest // multiple) * multiple - length if longest > length else 0
    paddings = {"completion_ids": trainer._tokenizer.pad_token_id, "completion_mask": 0, _REFERENCE_LOGPS: 0.0}
    paddings |= dict.fromkeys(_POLICY_LOGPS, 0.0)
    if _RATIO in output and trainer.vllm_importance_sampling_mode.startswith("token"):
        paddings[_RATIO] = 1.0
    for name in paddings.keys() & output.keys() if num_added else ():
        output[name] = torch.nn.functional.pad(output[name], (0, num_added), value=paddings[name])
    for row, one in rows.items():
        ids, mask = output["completion_ids"], output["completion_mask"]
        ids[row], mask[row] = paddings["completion_ids"], 0
        ids[row, : len(one.token_ids)] = torch.as_tensor(np.array(one.token_ids), device=ids.device)
        mask[row, : len(one.token_ids)] = 1
    tokens = output["completion_mask"].sum()
    output["num_items_in_batch"] = trainer.accelerator.gather(tokens).sum()


def _put_logps(trainer: MEDSTrainer, output: dict[str, Any], rows: list[int], most: int) -> None:
    """Replace the log-probabilities of these rows by those of their new texts, where TRL has computed any."""
    # A sharded model needs the forward in every process, over the same number of rows: `most`.
    read = (rows + [0] * most)[:most]
    parts = {name: output[name][read] for name in ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")}
    input_ids = torch.cat([parts["prompt_ids"], parts["completion_ids"]], dim=1)
    mask = torch.cat([parts["prompt_mask"], parts["completion_mask"]], dim=1)

    def logps(model: Any) -> torch.Tensor:
        # TRL's own method: ours would record fingerprints.
        forward = GRPOTrainer._get_per_token_logps_and_entropies
        size = trainer.args.per_device_train_batch_size
        length = parts["completion_ids"].size(1)
        values: torch.Tensor = forward(trainer, model, input_ids, mask, length, batch_size=size)[0]
        return values[: len(rows)]

    settings = trainer.args.gradient_checkpointing_kwargs
    with torch.no_grad(), disable_gradient_checkpointing(trainer.model, settings):
        present = [name for name in _POLICY_LOGPS if name in output]
        if present:
            values = logps(trainer.model)
            for name in present:
                output[name][rows] = values.to(output[name].dtype)
        if _REFERENCE_LOGPS in output:
            output[_REFERENCE_LOGPS][rows] = _by_reference(trainer, logps)
    if _RATIO in output:
        output[_RATIO][output[RECALLED]] = 1.0


def _by_reference(trainer: MEDSTrainer, logps: Callable[[Any], torch.Tensor]) -> torch.Tensor:
    """Log-probabilities of TRL's reference: a separate model, or the policy without its adapter."""
    if trainer.ref_model is not None:
        return logps(trainer.ref_model)
    model = trainer.accelerator.unwrap_model(trainer.model)
    with use_adapter(model, adapter_name="ref" if "ref" in model.peft_config else None):
        return logps(trainer.model)
