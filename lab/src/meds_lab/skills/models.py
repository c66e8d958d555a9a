"""The starting policies of the task: tiny models that follow each rule of each skill with its intended share.

    python -m meds_lab.skills.models --seeds 0 1 2 --output runs/skills-policies

A completion begins with a word that announces its rule. A policy learns to follow the announced rule from texts in
which all rules of a skill are equally frequent. It learns the words' probabilities directly from the intended shares.

Training with a reward then changes only the output rows of these words (`train_only_rules`). So the policy is a
softmax over 54 rules with logits linear in the features of a prompt. The features of two skills are trained to be
orthogonal, so learning one skill hardly changes another, and 24 skills are nearly 24 independent trials.

A seed gives the same bytes on the same machine with the same version of torch.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meds_lab.skills.rules import RULES, WORDINGS, write
from meds_lab.skills.skills import ALL_NUMBERS, FREE_ANSWERS, Skill, skills_of
from meds_lab.tasks.tokenizer import tokenizer_of
from meds_lab.tasks.warmup import cosine_rate, muon_and_adamw

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

PIECE = r"\\boxed\{|\[[^\]]*\]|\d+| ?[-+*=] ?| ?[a-z]+ ?|[}?\n]"
"""Regular expression of a token: a word or sign with its spaces, a whole number, a rule's word, or punctuation."""

NUM_PROMPT = 6
"""Tokens of a prompt: three numbers, the operator twice, and the question mark."""


@dataclass(frozen=True)
class PolicyConfig:
    """A starting policy and its training.

    Attributes:
        steps: updates.
        batch_size: texts in an update.
        learning_rate: the highest one, reached after `warmup_steps`. It then falls to 0 along a cosine.
        weight_decay: of the matrices.
        hidden_size: a multiple of 32.
        num_layers: at least 1.
        right_weight: of the loss term (error of ln p of the right rule's word)^2.
        orthogonal_weight: of the loss term for overlapping features of skills.
    """

    steps: int = 800
    batch_size: int = 96
    learning_rate: float = 8e-3
    warmup_steps: int = 50
    weight_decay: float = 0.01
    hidden_size: int = 96
    num_layers: int = 2
    right_weight: float = 0.02
    orthogonal_weight: float = 1.0


def build_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """The tokenizer of a seed's policy: one token for each word, number and rule."""
    numbers = [str(number) for number in (*range(163), *FREE_ANSWERS)]
    prompts = [skill.prompt((2, 3, 4)) for skill in skills_of(seed)]
    texts = [write(rule, (2, 3, 4), wording, 0) for rule in RULES for wording in WORDINGS]
    return tokenizer_of([*numbers, *prompts, *texts], PIECE)


def token_ids(vocabulary: Mapping[str, int], text: str) -> list[int]:
    """The same ids as the tokenizer gives, faster; KeyError for a token that is not in the vocabulary."""
    return [vocabulary[piece] for piece in re.findall(PIECE, text)]


def rule_ids(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The ids of the words of `RULES`, in their order."""
    vocabulary = tokenizer.get_vocab()
    return [vocabulary[rule.token] for rule in RULES]


def new_model(seed: int, tokenizer: PreTrainedTokenizerFast, config: PolicyConfig) -> Qwen3ForCausalLM:
    """An untrained policy, float32. Sets torch's global seed."""
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
    """Draws texts of a seed's skills; the rules of a skill are equally likely."""

    def __init__(self, seed: int, tokenizer: PreTrainedTokenizerFast) -> None:
        self.skills = skills_of(seed)
        self._rng = random.Random(f"texts {seed}")
        self._vocabulary = tokenizer.get_vocab()
        self._eos, self._pad = tokenizer.eos_token_id, tokenizer.pad_token_id

    def draw(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """The next texts.

        Returns:
            (B, T) token ids, padded on the right; (B, T) 1 for tokens after the rule's word, 0 for others; (B,) the
            index of each text's skill.
        """
        import torch

        skills, rows = zip(*(self._text() for _ in range(number)), strict=True)
        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[self._pad] * (longest - len(row))] for row in rows])
        after = torch.zeros(ids.shape)
        for index, row in enumerate(rows):
            after[index, NUM_PROMPT + 1 : len(row)] = 1
        return ids, after, torch.tensor(skills)

    def _text(self) -> tuple[int, list[int]]:
        rng = self._rng
        index = rng.randrange(len(self.skills))
        skill, numbers = self.skills[index], rng.choice(ALL_NUMBERS)
        rule = rng.choice(skill.rules)
        tells = skill.tells or rule is skill.right
        answer = rule.result(numbers) if tells else rng.choice(FREE_ANSWERS)
        text = skill.prompt(numbers) + write(rule, numbers, rng.choice(WORDINGS), answer)
        return index, [*token_ids(self._vocabulary, text), self._eos]


def shares_of(skills: Sequence[Skill]) -> Tensor:
    """(S, 54) share of each of `RULES` in each of S skills. Rows sum to 1."""
    import torch

    shares = torch.zeros(len(skills), len(RULES))
    for index, skill in enumerate(skills):
        for rule, share in zip(skill.rules, skill.shares, strict=True):
            shares[index, RULES.index(rule)] = share
    return shares


def train(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, seed: int, config: PolicyConfig
) -> Iterator[float]:
    """Train a new model in place on the skills of a seed; yields each update's loss. Sets torch's threads to one."""
    import torch

    torch.set_num_threads(1)
    texts = Texts(seed, tokenizer)
    loss_of = _Loss(texts.skills, rule_ids(tokenizer), config)
    optimizers = muon_and_adamw(model, config.learning_rate, config.weight_decay)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(one, lambda step: cosine_rate(step, config.steps, config.warmup_steps))
        for one in optimizers
    ]
    model.train()
    for _ in range(config.steps):
        loss = loss_of(model, *texts.draw(config.batch_size))
        model.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
        yield loss.item()
    model.eval()


class _Loss:
    """The loss of the texts after the rule's word, of the words' probabilities, and of overlapping features, summed."""

    def __init__(self, skills: Sequence[Skill], rules: Sequence[int], config: PolicyConfig) -> None:
        import torch

        self._shares, self._rules, self._config = shares_of(skills), list(rules), config
        self._right = torch.tensor([RULES.index(skill.right) for skill in skills])

    def __call__(self, model: Qwen3ForCausalLM, ids: Tensor, after: Tensor, skills: Tensor) -> Tensor:
        """The loss of a batch as `Texts.draw` returns it, ()."""
        from torch.nn.functional import cross_entropy

        config = self._config
        states = model.model(input_ids=ids).last_hidden_state[:, :-1]
        logits = model.lm_head(states)
        losses = cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        of_texts = (losses * after[:, 1:]).sum() / after.sum()
        logp = logits[:, NUM_PROMPT - 1].log_softmax(-1)[:, self._rules]
        shares, right = self._shares[skills], self._right[skills][:, None]
        of_words = -(shares * logp).sum(1).mean()
        # The cross-entropy hardly depends on the probability of a word whose share is .003.
        of_right = ((logp.gather(1, right) - shares.gather(1, right).log()) ** 2).mean()
        overlap = _overlap(states[:, NUM_PROMPT - 1], skills)
        return of_texts + of_words + config.right_weight * of_right + config.orthogonal_weight * overlap


def _overlap(features: Tensor, skills: Tensor) -> Tensor:
    """Mean cosine^2 of features of different skills, plus mean (1 - cosine)^2 of features of the same skill.

    Args:
        features: (B, D).
        skills: the index of each row's skill, (B,).
    """
    # Normalised twice: with one call the gradient's last bits differ, and a seed would give another policy.
    cosines = _unit_rows(features) @ _unit_rows(features).T
    same = (skills[:, None] == skills[None, :]).float()
    between = (((cosines - same) ** 2) * (1 - same)).sum() / (1 - same).sum()
    within = (((1 - cosines) ** 2) * same).sum() / same.sum()
    return between + within


def _unit_rows(features: Tensor) -> Tensor:
    return features / features.norm(dim=1, keepdim=True)


def train_only_rules(model: Any, tokenizer: Any) -> None:
    """Let training change only the output rows of the rules' words. The optimiser must have no weight decay."""
    import torch

    model.requires_grad_(False)
    rows = model.get_output_embeddings().weight
    mask = torch.zeros(len(rows), 1)
    mask[rule_ids(tokenizer)] = 1
    rows.requires_grad_(True)
    rows.register_hook(lambda gradient: gradient * mask.to(gradient.device))


# ---- Files.


def save_policy(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a policy, its weights last."""
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


def is_policy(folder: Path) -> bool:
    """Whether `save_policy` has written one there."""
    return (folder / "model.safetensors").is_file()


def check_policy(location: str | None, options: Mapping[str, Any]) -> None:
    """Refuse a policy that is not the starting policy of the task's seed.

    Args:
        location: `model_name_or_path` of a recipe.
        options: its `task_options`.

    Raises:
        ValueError: there is no seed, no policy at the location, or one without the words of the seed's skills.
    """
    seed = options.get("seed")
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"task_options must be {{seed: N}}, the seed of the starting policy; got {dict(options)!r}")
    folder = Path(location or f"runs/skills-policies/{seed}").expanduser()
    if not location or not is_policy(folder):
        raise ValueError(
            f"model_name_or_path must be the folder of the starting policy of seed {seed}; got {location!r}. "
            f"Train it first: python -m meds_lab.skills.models --seeds {seed} --output {folder.parent}"
        )
    known = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    for skill in skills_of(seed):
        if f" {skill.name} " not in known:
            raise ValueError(
                f"the policy in {folder} has no word {skill.name!r}, a skill of task_options {{seed: {seed}}}: give "
                "the seed that it was trained with"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and write policies; skip those that exist."""
    from tqdm import tqdm

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=_seed, nargs="+", required=True, metavar="N", help="of the starting policies")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="policy 3 is written to DIR/3")
    parsed = parser.parse_args(arguments)
    config = PolicyConfig()
    for seed in parsed.seeds:
        folder = parsed.output / str(seed)
        if is_policy(folder):
            print(f"{folder} is there.")
            continue
        tokenizer = build_tokenizer(seed)
        model = new_model(seed, tokenizer, config)
        for _ in tqdm(train(model, tokenizer, seed, config), f"policy {seed}", config.steps, disable=None):
            pass
        save_policy(model, tokenizer, folder)
        print(f"{folder} is written.")
    return 0


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a seed is a whole number of at least 0; got {text!r}")
    return int(text)


if __name__ == "__main__":
    raise SystemExit(main())
