"""Which tokens TRL's loss is taken over, and by how many it is divided."""

from typing import Any

import torch
from accelerate import Accelerator

from meds_rl.engines.trl.batch import Batch
from meds_rl.engines.trl.dynamic_sampling import slice_of


def mask_fillers(batch: Batch, output: dict[str, Any], accelerator: Accelerator) -> None:
    """Groups that only fill the batch carry no advantage, and their tokens do not enter the loss's denominator."""
    if batch.num_fillers == 0:
        return
    local = slice_of(accelerator, len(output["advantages"]))
    in_loss = torch.as_tensor(batch.in_loss[local], device=output["completion_mask"].device)
    output["completion_mask"] = output["completion_mask"] * in_loss.unsqueeze(1)
    output["num_items_in_batch"] = accelerator.gather(_tokens(output).sum()).sum()
    output["advantages"] = output["advantages"] * in_loss


def _tokens(output: dict[str, Any]) -> torch.Tensor:
    """(B, T), 1 at the tokens that the loss is taken over."""
    mask: torch.Tensor = output["completion_mask"]
    return mask * output["tool_mask"] if "tool_mask" in output else mask
