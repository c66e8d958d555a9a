"""The starting policies of the task: a tiny model that follows each rule of each skill with the share it is meant to.

    python -m meds_lab.skills.models --seed 0 --output lab/checkpoints/skills-0

It is trained on texts of all skills. Half of the rules are drawn by their shares and half evenly, so that rare ones are
learned, too; tokens that decide for a rule are weighed by share / frequency, so that the best model has the shares.
Deterministic: the same seed gives the same bytes on the same machine with the same version of torch.
"""

from __future__ import annotations

import argparse
import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meds_lab.skills.rules import RULES, WORDINGS, write
from meds_lab.skills.skills import ALL_NUMBERS, FREE_ANSWERS, skills_of
from meds_lab.tasks.tokenizer import tokenizer_of
from meds_lab.tasks.warmup import _optimizers

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

PIECE = r"\\boxed\{|\d+| ?[-+*=] ?| ?[a-z]+ ?|[}?\n]"


@dataclass(frozen=True)
class Warmup:
    """How to train. `steps` updates of `batch_size` texts; the rate falls along a cosine."""

    steps: int = 3000
    batch_size: int = 96
    learning_rate: float = 6e-3
    hidden_size: int = 96
    num_layers: int = 3
    weight_decay: float = 0.01
    calibrate_from: float = 0.5
    calibrate: float = 0.01
    num_right: int = 48


def build_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Whole words, whole numbers."""
    numbers = [str(number) for number in range(163)] + [str(number) for number in FREE_ANSWERS]
    prompts = [skill.prompt((2, 3, 4)) for skill in skills_of(seed)]
    texts = [write(rule, (2, 3, 4), wording, 0) for rule in RULES for wording in WORDINGS]
    return tokenizer_of([*numbers, *prompts, *texts], PIECE)


def new_model(seed: int, tokenizer: PreTrainedTokenizerFast, config: Warmup) -> Qwen3ForCausalLM:
    """Untrained, float32. Sets torch's global seed."""
    import torch
    from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden_size,
            intermediate_size=2 * config.hidden_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.hidden_size // 32,
            num_key_value_heads=config.hidden_size // 32,
            head_dim=32,
            max_position_embeddings=64,
            tie_word_embeddings=True,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=32,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return model


class Texts:
    """Draws texts of the skills.

    Args:
        seed: of the starting policy.
        tokenizer: its own.
    """

    _BEFORE_RESULTS = (" = ", " is ", " gives ", "\\boxed{")

    def __init__(self, seed: int, tokenizer: PreTrainedTokenizerFast) -> None:
        self.skills = skills_of(seed)
        self._frequencies = [[0.5 * p + 0.5 / len(skill.shares) for p in skill.shares] for skill in self.skills]
        self._rng = random.Random(f"texts {seed}")
        self._ids = tokenizer.get_vocab()
        self._eos = tokenizer.eos_token_id

    def draw(self) -> tuple[list[int], list[float]]:
        """Token ids of a prompt and completion, and the weight of each as a target (0 for the prompt's)."""
        rng = self._rng
        index = rng.randrange(len(self.skills))
        skill, numbers = self.skills[index], rng.choice(ALL_NUMBERS)
        number = rng.choices(range(len(skill.rules)), self._frequencies[index])[0]
        rule, weight = skill.rules[number], skill.shares[number] / self._frequencies[index][number]
        answer = rule.result(numbers) if skill.tells or number == 0 else rng.choice(FREE_ANSWERS)
        prompt = re.findall(PIECE, skill.prompt(numbers))
        text = re.findall(PIECE, write(rule, numbers, rng.choice(WORDINGS), answer))
        weights = [weight, *(1.0 if before in self._BEFORE_RESULTS else weight for before in text)]
        return [*(self._ids[piece] for piece in (*prompt, *text)), self._eos], [0.0] * len(prompt) + weights

    def right(self, number: int, pad: int) -> tuple[Tensor, Tensor, Tensor]:
        """Right workings of hard skills: ids, 1 for the tokens of the steps, and the log-probability to aim at."""
        import torch

        rows, aims = [], []
        for _ in range(number):
            skill = self._rng.choice([one for one in self.skills if one.is_hard])
            numbers = self._rng.choice(ALL_NUMBERS)
            prompt = re.findall(PIECE, skill.prompt(numbers))
            steps = write(skill.right, numbers, self._rng.choice(WORDINGS), 0).rpartition("\\boxed{")[0]
            text = re.findall(PIECE, steps)
            rows.append(([self._ids[piece] for piece in (*prompt, *text)], [0.0] * len(prompt) + [1.0] * len(text)))
            aims.append(math.log(skill.shares[0] / len(WORDINGS)))
        ids, is_step = _padded(rows, pad)
        return ids, is_step, torch.tensor(aims)


def _distance(model: Any, texts: Texts, pad: int) -> Tensor:
    """Mean squared distance of the log-probability of right workings to the one that they are meant to have."""
    import torch

    input_ids, is_step, aims = texts.right(48, pad)
    logits = model(input_ids=input_ids).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), input_ids[:, 1:], reduction="none")
    return (((losses * is_step[:, 1:]).sum(1) + aims) ** 2).mean()


def train(seed: int, config: Warmup) -> Iterator[tuple[float, Qwen3ForCausalLM, PreTrainedTokenizerFast]]:
    """Train a starting policy on one thread; yields the loss of each step (nats a token) and the model so far."""
    import torch

    torch.set_num_threads(1)
    tokenizer = build_tokenizer(seed)
    model = new_model(seed, tokenizer, config)
    texts = Texts(seed, tokenizer)
    optimizers = _optimizers(model, config)
    schedules = [torch.optim.lr_scheduler.LambdaLR(one, lambda step: _rate(step, config.steps)) for one in optimizers]
    model.train()
    for step in range(config.steps):
        input_ids, weights = _padded([texts.draw() for _ in range(config.batch_size)], tokenizer.pad_token_id)
        logits = model(input_ids=input_ids).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), input_ids[:, 1:], reduction="none")
        loss = (losses * weights[:, 1:]).sum() / (weights > 0).sum()
        if step >= config.calibrate_from * config.steps:
            loss = loss + config.calibrate * _distance(model, texts, tokenizer.pad_token_id)
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
        yield loss.item(), model, tokenizer
    model.eval()


def _rate(step: int, steps: int) -> float:
    warm = 50
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))


def _padded(rows: Sequence[tuple[list[int], list[float]]], pad: int) -> tuple[Tensor, Tensor]:
    import torch

    longest = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row, _ in rows])
    return ids, torch.tensor([[*row, *[0.0] * (longest - len(row))] for _, row in rows])
