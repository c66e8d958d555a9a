"""What the fingerprint of the working costs, beside the forward that runs anyway."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from meds_rl.fingerprint import Where, WorkingStates
from meds_rl.fingerprint.model import Head

ROWS, PROMPT, COMPLETION, REPEATS = 16, 64, 64, 5


def best_seconds(work: Callable[[], Any]) -> float:
    """CPU time, the least of a few."""
    found = []
    for _ in range(REPEATS + 1):
        begin = time.process_time()
        work()
        found.append(time.process_time() - begin)
    return min(found[1:])


@torch.no_grad()
def cost(model: Any) -> str:
    """One line: reading the states in % of the backbone's forward over the same tokens, by time and by operations."""
    width = PROMPT + COMPLETION
    ids = torch.randint(5, 50, (ROWS, width))
    columns = torch.arange(width).expand(ROWS, width)
    where = Where(
        positions=torch.full((ROWS,), width - 4),
        target_ids=ids[:, -3],
        completion_mask=columns >= PROMPT,
        has_answer=torch.ones(ROWS, dtype=torch.bool),
        ends=torch.full((ROWS,), width - 2),
        prompt_mask=columns < PROMPT,
    )
    body, fingerprint, head = model.base_model, WorkingStates(), Head(model, ids[:, -3])
    hidden = body(ids).last_hidden_state
    forward = best_seconds(lambda: body(ids))
    read = best_seconds(lambda: [fingerprint.read(hidden, where, head) for _ in range(10)]) / 10
    # Two operations a weight and token; two for a length and two for a mean, a number and token.
    operations = 4 * hidden.shape[-1] / (2 * sum(weight.numel() for weight in body.parameters()))
    return (
        f"**cost** of `working_states`, {ROWS} rows of {width} tokens: {100 * read / forward:.2f} % of the time of the "
        f"forward that runs anyway, {100 * operations:.4f} % of its operations\n"
    )
