"""Samples SmolLM2 on the bench's problems, once: what a file holds already is not sampled again.

All completions of a problem share one pass over the prompt, and a completion that has ended leaves the batch: on one
core that is several times faster than a general engine.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from meds_lab.fingerprints.problems import Asked

MAX_NEW_TOKENS = 80


def sample(
    path: Path,
    asked: Sequence[Asked],
    settings: Sequence[tuple[float, int]],
    num_samples: int,
    *,
    as_is: bool = False,
) -> list[dict[str, Any]]:
    """Completions of all that is asked at each setting, `num_samples` each.

    Args:
        path: JSON lines, one for each asked and setting; what is missing is sampled and appended.
        asked: problems and the examples before them.
        settings: temperature and seed.
        num_samples: completions of each.
        as_is: take what the file holds and sample nothing.

    Returns:
        The lines: problem (number), style, temperature, seed, prompt_ids (of what is shown), completion_ids.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {_key(line) for line in lines}
    wanted = {(one.problem, one.style, t, s): one for t, s in settings for one in asked}
    missing = {key: one for key, one in wanted.items() if key not in done}
    if missing and not as_is:
        from meds_rl.tasks.models import load_smollm2

        model, tokenizer = load_smollm2()
        styles = list(dict.fromkeys(one.style for one in asked))
        for key, one in tqdm(missing.items(), desc="sampling SmolLM2"):
            _, style, temperature, seed = key
            entropy = [seed, one.problem, round(10 * temperature), *([styles.index(style)] if style else [])]
            number = int(np.random.SeedSequence(entropy).generate_state(1)[0])
            ids = _prompt_ids(tokenizer, one.chat)
            found = sample_one(model, ids, num_samples, temperature, number, int(tokenizer.eos_token_id))
            line = {"problem": one.problem, "style": style, "temperature": temperature, "seed": seed}
            lines.append(line | {"prompt_ids": _prompt_ids(tokenizer, one.shown), "completion_ids": found})
            with path.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
    return [line for line in lines if _key(line) in wanted]


def _key(line: dict[str, Any]) -> tuple[int, str, float, int]:
    return line["problem"], line.get("style", ""), line["temperature"], line["seed"]


def _prompt_ids(tokenizer: Any, chat: list[dict[str, str]]) -> list[int]:
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    return list(tokenizer(prompt, add_special_tokens=False)["input_ids"])


@torch.no_grad()
def sample_one(
    model: Any, prompt_ids: list[int], num_samples: int, temperature: float, seed: int, eos: int
) -> list[list[int]]:
    """Sampled completions of one prompt, with their end where they came to one."""
    generator = torch.Generator().manual_seed(seed)
    output = model(input_ids=torch.tensor([prompt_ids]), use_cache=True, logits_to_keep=1)
    cache = output.past_key_values
    cache.batch_repeat_interleave(num_samples)
    logits = output.logits[:, -1].repeat(num_samples, 1)
    found: list[list[int]] = [[] for _ in range(num_samples)]
    rows = torch.arange(num_samples)
    for _ in range(MAX_NEW_TOKENS):
        tokens = torch.multinomial((logits.float() / temperature).softmax(dim=1), 1, generator=generator)
        for row, token in zip(rows.tolist(), tokens[:, 0].tolist(), strict=True):
            found[row].append(token)
        going = (tokens[:, 0] != eos).nonzero()[:, 0]
        if not len(going):
            break
        if len(going) < len(rows):
            cache.batch_select_indices(going)
            rows, tokens = rows[going], tokens[going]
        output = model(input_ids=tokens, past_key_values=cache, use_cache=True)
        cache, logits = output.past_key_values, output.logits[:, -1]
    return found
