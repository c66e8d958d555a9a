"""The starting policies of the task: a tiny model that follows each rule of each skill with the share it is meant to.

    python -m meds_lab.skills.models --seeds 0 1 2 --output runs/skills-policies

The body is trained on texts of all skills, with rules drawn evenly, and the word that announces a rule on the shares
themselves, at every prompt. Then training with a reward moves the output rows of these words only
(`train_only_rules`): the policy is a softmax over 54 rules, linear in features of the skill. The features of two skills
are made nearly orthogonal, so that skills hardly disturb each other, and 24 skills are nearly 24 trials.

Deterministic: a seed gives the same bytes on the same machine with the same version of torch.
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
from meds_lab.skills.skills import ALL_NUMBERS, FREE_ANSWERS, Skill, skills_of
from meds_lab.tasks.tokenizer import tokenizer_of
from meds_lab.tasks.warmup import _optimizers

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

PIECE = r"\\boxed\{|\[[^\]]*\]|\d+| ?[-+*=] ?| ?[a-z]+ ?|[}?\n]"


@dataclass(frozen=True)
class Warmup:
    """How to train: updates, texts in each, the highest rate of a cosine, and the weights of the two terms beside the
    texts' own loss."""

    steps: int = 800
    batch_size: int = 96
    learning_rate: float = 8e-3
    weight_decay: float = 0.01
    hidden_size: int = 96
    num_layers: int = 2
    right_weight: float = 0.02
    orthogonal_weight: float = 1.0


def build_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Whole words, whole numbers, and a word for each rule."""
    numbers = [str(number) for number in (*range(163), *FREE_ANSWERS)]
    prompts = [skill.prompt((2, 3, 4)) for skill in skills_of(seed)]
    texts = [write(rule, (2, 3, 4), wording, 0) for rule in RULES for wording in WORDINGS]
    return tokenizer_of([*numbers, *prompts, *texts], PIECE)


def token_ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """As the tokenizer's own, only faster."""
    vocabulary = tokenizer.get_vocab()
    return [vocabulary[piece] for piece in re.findall(PIECE, text)]


def rule_ids(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The ids of the words of `RULES`."""
    return [tokenizer.get_vocab()[rule.token] for rule in RULES]


def new_model(seed: int, tokenizer: PreTrainedTokenizerFast, config: Warmup) -> Qwen3ForCausalLM:
    """Untrained, float32. Sets torch's global seed."""
    import torch
    from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    special = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
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
            tie_word_embeddings=False,
            **special,
        )
    )
    model.generation_config = GenerationConfig(do_sample=True, top_k=0, max_new_tokens=32, **special)
    return model


class Texts:
    """Draws texts of the skills: token ids and the number of those before the completion."""

    def __init__(self, seed: int, tokenizer: PreTrainedTokenizerFast) -> None:
        self.skills = skills_of(seed)
        self._rng = random.Random(f"texts {seed}")
        self._tokenizer = tokenizer
        self._vocabulary = tokenizer.get_vocab()

    def draw(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Padded ids (N, T); 1 for the tokens after a rule's word, else 0 (N, T); the index of each text's skill (N,).

        A prompt has six tokens, so a rule's word is the seventh one.
        """
        import torch

        rng, rows, skills = self._rng, [], []
        for _ in range(number):
            skills.append(rng.randrange(len(self.skills)))
            skill, numbers = self.skills[skills[-1]], rng.choice(ALL_NUMBERS)
            rule = rng.choice(skill.rules)
            is_told = skill.tells or rule is skill.right
            answer = rule.result(numbers) if is_told else rng.choice(FREE_ANSWERS)
            text = skill.prompt(numbers) + write(rule, numbers, rng.choice(WORDINGS), answer)
            rows.append([*(self._vocabulary[piece] for piece in re.findall(PIECE, text)), self._tokenizer.eos_token_id])
        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[self._tokenizer.pad_token_id] * (longest - len(row))] for row in rows])
        after = torch.zeros(ids.shape)
        for index, row in enumerate(rows):
            after[index, NUM_PROMPT + 1 : len(row)] = 1
        return ids, after, torch.tensor(skills)


NUM_PROMPT = 6
"""Tokens of a prompt."""


def shares_of(skills: Sequence[Skill]) -> Tensor:
    """(S, 54) the share of each of `RULES` in each skill."""
    import torch

    shares = torch.zeros(len(skills), len(RULES))
    for index, skill in enumerate(skills):
        for rule, share in zip(skill.rules, skill.shares, strict=True):
            shares[index, RULES.index(rule)] = share
    return shares


def train(seed: int, config: Warmup) -> Iterator[tuple[float, Qwen3ForCausalLM, PreTrainedTokenizerFast]]:
    """Train a starting policy on one thread; yields each step's loss and the model so far."""
    import torch

    torch.set_num_threads(1)
    tokenizer = build_tokenizer(seed)
    model = new_model(seed, tokenizer, config)
    texts = Texts(seed, tokenizer)
    shares, rights = shares_of(texts.skills), torch.tensor([RULES.index(one.right) for one in texts.skills])
    optimizers = _optimizers(model, config)
    schedules = [torch.optim.lr_scheduler.LambdaLR(one, lambda step: _rate(step, config.steps)) for one in optimizers]
    model.train()
    for _ in range(config.steps):
        ids, after, skills = texts.draw(config.batch_size)
        states = model.model(input_ids=ids).last_hidden_state[:, :-1]
        logits = model.lm_head(states)
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        loss = (losses * after[:, 1:]).sum() / after.sum()
        features = states[:, NUM_PROMPT - 1]
        logp = logits[:, NUM_PROMPT - 1].log_softmax(-1)[:, rule_ids(tokenizer)]
        loss = loss - (shares[skills] * logp).sum(1).mean()
        right = logp.gather(1, rights[skills][:, None])[:, 0]
        loss = loss + config.right_weight * ((right - shares[skills, rights[skills]].log()) ** 2).mean()
        loss = loss + config.orthogonal_weight * _overlap(features, skills)
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
        yield loss.item(), model, tokenizer
    model.eval()


def _overlap(features: Tensor, skills: Tensor) -> Tensor:
    """Mean squared cosine of the features of two skills, and of what two prompts of one skill lack to a cosine of 1."""
    cosines = torch_normal(features) @ torch_normal(features).T
    same = (skills[:, None] == skills[None, :]).float()
    return (((cosines - same) ** 2) * (1 - same)).sum() / (1 - same).sum() + (
        ((1 - cosines) ** 2) * same
    ).sum() / same.sum()


def torch_normal(features: Tensor) -> Tensor:
    """Rows of length 1."""
    return features / features.norm(dim=1, keepdim=True)


def _rate(step: int, steps: int) -> float:
    warm = 50
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))


def train_only_rules(model: Any, tokenizer: Any) -> None:
    """Let training change the output rows of the rules' words only."""
    import torch

    model.requires_grad_(False)
    rows = model.get_output_embeddings().weight
    mask = torch.zeros(len(rows), 1)
    mask[rule_ids(tokenizer)] = 1
    rows.requires_grad_(True)
    rows.register_hook(lambda gradient: gradient * mask.to(gradient.device))


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and write; a policy that is there is left as it is."""
    from tqdm import tqdm

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", required=True, help="of the starting policies")
    parser.add_argument("--output", type=Path, required=True, help="folder; the policy of seed 3 is written to DIR/3")
    parsed = parser.parse_args(arguments)
    config = Warmup()
    for seed in parsed.seeds:
        folder = parsed.output / str(seed)
        if (folder / "model.safetensors").is_file():
            print(f"{folder} is there.")
            continue
        for _, model, tokenizer in tqdm(train(seed, config), f"policy {seed}", config.steps, disable=None):
            pass
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
        print(f"{folder} is written.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
