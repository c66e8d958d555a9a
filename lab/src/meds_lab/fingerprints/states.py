"""Runs a model once over completions and keeps of each layer what any fingerprint on the bench is made of.

Everything pooled is a weighted mean of a layer's states over the completion's tokens, so it is one row of weights.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from meds_rl.fingerprint import AnswerPosition

WORDS = ("plus", "minus", "times", "add", "adding", "subtract", "subtracting", "multiply")
OPERATORS = frozenset([*"+-*/x×÷=", *WORDS])
EQUALS = frozenset(["=", "is", "gives", "makes", "equals"])
SEGMENTS = (1, 2, 3, 4)


@dataclass(frozen=True)
class States:
    """What was kept of N completions, M layers and d numbers a state.

    Attributes:
        layers: (M,) which layers; layer L is taken after the final norm.
        pooled: name of the weights -> (N, M, d) float32.
        prompt_mean, prompt_last: (N, M, d) mean over the prompt's tokens, state at its last one.
        layer_logits: (N, L) as published, all layers.
    """

    layers: list[int]
    pooled: dict[str, np.ndarray]
    prompt_mean: np.ndarray
    prompt_last: np.ndarray
    layer_logits: np.ndarray


def weights(tokens: Sequence[str], answer: AnswerPosition) -> dict[str, np.ndarray]:
    """Rows of weights over a completion's tokens that add up to 1. The working is all up to the answer.

    Example:
        >>> rows = weights(["3", "+", "4", "=", "7", "{", "7", "}"], AnswerPosition(5, 0, 6))
        >>> (6 * rows["working"]).tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
        >>> np.flatnonzero(rows["results"]).tolist(), np.flatnonzero(rows["part 2 of 2"]).tolist()
        ([3, 4], [3, 4, 5])
    """
    length = answer.position + 1
    plain = [token.strip().lower() for token in tokens]
    is_number = np.array([bool(token) and token.lstrip("-").isdigit() for token in plain])
    is_operator = np.array([token in OPERATORS for token in plain])
    is_equals = np.array([token in EQUALS for token in plain])
    columns = np.arange(len(tokens))
    in_working = columns < length
    found = {"completion": np.ones(len(tokens), dtype=bool), "working": in_working}
    for count in SEGMENTS[1:]:
        part = np.minimum(columns * count // length, count)
        found |= {f"part {k + 1} of {count}": (part == k) & in_working for k in range(count)}
    found["numbers and operators"] = in_working & (is_number | is_operator)
    found["results"] = in_working & (is_equals | _after(is_equals, is_number))
    found["at p"] = columns == answer.position
    found["at the answer's end"] = columns == answer.end
    found["at the first token"] = columns == 0
    # A part may be empty in a short working: then it is the whole.
    rows = {name: (mask if mask.any() else in_working).astype(np.float32) for name, mask in found.items()}
    return {name: row / max(row.sum(), 1) for name, row in rows.items()}


def _after(is_equals: np.ndarray, is_number: np.ndarray) -> np.ndarray:
    """Numbers that follow an equals sign directly, all their digits; one other token (a space) may stand between."""
    found = np.zeros_like(is_equals)
    for at in np.flatnonzero(is_equals):
        place = at + 1 if at + 1 < len(found) and is_number[at + 1] else at + 2
        while place < len(found) and is_number[place]:
            found[place] = True
            place += 1
    return found


@torch.no_grad()
def take(
    model: Any,
    tokenizer: Any,
    prompt_ids: list[int],
    completion_ids: list[list[int]],
    answers: Sequence[AnswerPosition],
    layers: list[int],
    batch_size: int = 32,
) -> States:
    """The states of one prompt's completions; the prompt is run once."""
    body, table = model.base_model, model.get_output_embeddings().weight
    before = body(torch.tensor([prompt_ids]), use_cache=False, output_hidden_states=True).hidden_states
    chosen = torch.stack([before[layer][0] for layer in layers])  # (M, T, d)
    # By length, so that little is padded.
    order = sorted(range(len(answers)), key=lambda i: len(completion_ids[i]))
    pooled: list[dict[str, np.ndarray]] = [{} for _ in order]
    logits = np.zeros((len(order), len(before) - 1), dtype=np.float32)
    begun = body(torch.tensor([prompt_ids[:-1]]), use_cache=True).past_key_values
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        cache = copy.deepcopy(begun)
        cache.batch_repeat_interleave(len(rows))
        width = max(len(completion_ids[i]) for i in rows) + 1
        ids = [[prompt_ids[-1], *completion_ids[i]] for i in rows]
        padded = torch.tensor([row + [0] * (width - len(row)) for row in ids])
        mask = torch.tensor([[1] * (len(prompt_ids) - 1 + len(row)) + [0] * (width - len(row)) for row in ids])
        output = body(padded, attention_mask=mask, past_key_values=cache, output_hidden_states=True)
        hidden = output.hidden_states[1:]
        for k, i in enumerate(rows):
            named = weights([tokenizer.decode([token]) for token in completion_ids[i]], answers[i])
            matrix = torch.from_numpy(np.stack(list(named.values())))
            own = torch.stack([hidden[layer - 1][k, 1 : len(ids[k])] for layer in layers])  # (M, T, d)
            means = torch.einsum("kt,mtd->kmd", matrix, own).numpy()
            pooled[i] = dict(zip(named, means, strict=True))
            unit = normalize(own, dim=-1)
            mean = torch.einsum("t,mtd->md", torch.from_numpy(named["working"]), unit)
            pooled[i]["working, each token at length 1"] = mean.numpy()
            pooled[i]["prompt, each token at length 1"] = normalize(chosen, dim=-1).mean(dim=1).numpy()
            at = torch.stack([states[k, 1 + answers[i].position] for states in hidden])
            logits[i] = (at @ table[answers[i].target_id]).numpy()
    n = len(order)
    return States(
        layers,
        {name: np.stack([row[name] for row in pooled]) for name in pooled[0]} if n else {},
        np.repeat(chosen.mean(dim=1)[None].numpy(), n, axis=0),
        np.repeat(chosen[:, -1][None].numpy(), n, axis=0),
        logits,
    )


def join(parts: Sequence[States]) -> States:
    """Those of several prompts, one after the other."""
    parts = [part for part in parts if len(part.layer_logits)]
    return States(
        parts[0].layers,
        {name: np.concatenate([part.pooled[name] for part in parts]) for name in parts[0].pooled},
        np.concatenate([part.prompt_mean for part in parts]),
        np.concatenate([part.prompt_last for part in parts]),
        np.concatenate([part.layer_logits for part in parts]),
    )
