"""Which tokens TRL's loss is taken over, and by how many it is divided."""

from typing import Any

import torch
from accelerate import Accelerator

from meds_rl.engines.trl.batch import Batch
from meds_rl.engines.trl.rollout import slice_of


def mask_fillers(batch: Batch, output: dict[str, Any], accelerator: Accelerator) -> None:
    """Groups that only fill the batch carry no advantage, and their tokens do not enter the loss's denominator."""
    if batch.num_fillers == 0:
        return
    local = slice_of(accelerator, len(output["advantages"]))
    in_loss = torch.as_tensor(batch.in_loss[local], device=output["completion_mask"].device)
    output["completion_mask"] = output["completion_mask"] * in_loss.unsqueeze(1)
    output["num_items_in_batch"] = accelerator.gather(_tokens(output).sum()).sum()
    output["advantages"] = output["advantages"] * in_loss


def count_informative(batch: Batch, output: dict[str, Any], accelerator: Accelerator) -> None:
    """Under ``meds_all_wrong="add"``: divide the loss by the number of tokens of groups with a right answer.

    All-wrong groups then add to the gradient that these have without them, instead of thinning it out. A batch of
    nothing but all-wrong groups is divided by all its tokens. It acts on TRL's loss types that are means over all
    tokens of a batch (``num_items_in_batch``), as "dapo" is.
    """
    counted = batch.in_loss & batch.normalize_by_std
    if not counted.any():
        return
    local = slice_of(accelerator, len(output["advantages"]))
    rows = torch.as_tensor(counted[local], device=output["completion_mask"].device)
    output["num_items_in_batch"] = accelerator.gather((_tokens(output) * rows.unsqueeze(1)).sum()).sum()


def _tokens(output: dict[str, Any]) -> torch.Tensor:
    """(B, T), 1 at the tokens that the loss is taken over."""
    mask: torch.Tensor = output["completion_mask"]
    return mask * output["tool_mask"] if "tool_mask" in output else mask
