"""The warm-up: plain supervised training of the pocket model on texts of the mixture, from nothing.

A variant continues from a plain model, which can already do the arithmetic: the one of its seed in ``lab/checkpoints``,
or another one.

Deterministic: the same seed, number of steps and number of threads give the same bytes on the same machine
and the same version of torch. Another machine may round differently and gives a slightly different model.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from meds_lab.tasks.checkpoints import SEEDS, checkpoint_path
from meds_lab.tasks.mixture import VARIANTS, Mixture
from meds_lab.tasks.tokenizer import before_numbers
from meds_rl.tasks.pocket.model import load_folder, new_model
from meds_rl.tasks.pocket.problems import reserved

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

_IGNORED = -100
_BATCHES_SORTED_TOGETHER = 16
_ARITHMETIC_WEIGHT = 4.0
# A few from the start: a sudden change of the texts would throw the model off what it has learned.
_FREE_AMONG_PLAIN = 0.3


@dataclass(frozen=True)
class WarmupConfig:
    """How to train.

    Attributes:
        seed: of the weights and of the texts.
        steps: optimiser steps.
        batch_size: texts a step.
        learning_rate: the highest one, reached after `warmup_steps`; it falls to 0 along a cosine.
        plain_share: share of the steps, the first ones, in which most batches take the barest wording: the
            arithmetic and the strategies are learned on short texts, the free wording mostly afterwards.
        threads: of torch. One gives the same rounding on few and many cores, and suffers least from company.
        variant: what the mixture teaches, one of `VARIANTS`.
    """

    seed: int = 0
    steps: int = 4400
    batch_size: int = 32
    learning_rate: float = 6e-3
    warmup_steps: int = 50
    weight_decay: float = 0.01
    plain_share: float = 0.4
    threads: int = 1
    variant: str = "plain"

    def __post_init__(self) -> None:
        counts = {"steps": self.steps, "batch_size": self.batch_size, "threads": self.threads}
        for name, value in counts.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.variant not in VARIANTS:
            raise ValueError(f"variant must be one of {', '.join(VARIANTS)}; got {self.variant!r}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")
        if not 0 <= self.plain_share <= 1:
            raise ValueError(f"plain_share must lie in [0, 1], got {self.plain_share}")


def config_of(variant: str, seed: int) -> WarmupConfig:
    """How the model of a variant and seed in ``lab/checkpoints`` was trained."""
    if variant == "plain":
        return WarmupConfig(seed=seed)
    return WarmupConfig(seed=seed, variant=variant, steps=800, learning_rate=4e-3, plain_share=0.0)


Draw: TypeAlias = Callable[[bool], tuple[str, str]]
"""From whether the wording is plain to a prompt and a completion."""


class Training:
    """Supervised training of a tiny model on drawn texts, step by step.

    Iterate for the losses, then take `model` and `tokenizer`. Sets torch's number of threads.

    Args:
        config: how to train; `variant` is not used.
        model: changed in place.
        tokenizer: of the model.
        draw: draws the texts.
        weighed: tokens; the token after one of them has more weight in the loss.
    """

    def __init__(
        self,
        config: WarmupConfig,
        model: Qwen3ForCausalLM,
        tokenizer: PreTrainedTokenizerFast,
        draw: Draw,
        weighed: Sequence[str],
    ) -> None:
        import torch

        torch.set_num_threads(config.threads)
        self.config, self.model, self.tokenizer, self._draw = config, model, tokenizer, draw
        self._weights = torch.ones(len(tokenizer))
        self._weights[tokenizer.convert_tokens_to_ids(list(weighed))] = _ARITHMETIC_WEIGHT
        self._rng = random.Random(f"batches {config.seed}")

    def __iter__(self) -> Iterator[float]:
        """Train; yield each step's loss (weighted mean over tokens, nats)."""
        import torch

        config = self.config
        optimizers = muon_and_adamw(self.model, config.learning_rate, config.weight_decay)
        schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate) for optimizer in optimizers]
        self.model.train()
        n_plain = round(config.steps * config.plain_share)
        plain, free = self._batches(is_plain=True), self._batches(is_plain=False)
        for step in range(config.steps):
            is_free = step >= n_plain or self._rng.random() < _FREE_AMONG_PLAIN
            rows = next(free if is_free else plain)
            input_ids, labels = _pad(rows, self.tokenizer.pad_token_id)
            loss = self._loss(input_ids, labels)
            self.model.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            for optimizer, schedule in zip(optimizers, schedules, strict=True):
                optimizer.step()
                schedule.step()
            yield loss.item()
        self.model.eval()

    def _loss(self, input_ids: Tensor, labels: Tensor) -> Tensor:
        """Mean of the tokens' losses in which those of the arithmetic count more.

        The wording cannot be foretold and would drown the rest. A token's weight depends on the token before
        it, never on itself: so the best model is the same as without weights.
        """
        from torch.nn.functional import cross_entropy

        logits = self.model(input_ids=input_ids).logits[:, :-1]
        losses = cross_entropy(logits.transpose(1, 2), labels[:, 1:], reduction="none", ignore_index=_IGNORED)
        weights = self._weights[input_ids[:, :-1]] * (labels[:, 1:] != _IGNORED)
        return (losses * weights).sum() / weights.sum()

    def _rate(self, step: int) -> float:
        return cosine_rate(step, self.config.steps, self.config.warmup_steps)

    def _batches(self, *, is_plain: bool) -> Iterator[list[tuple[list[int], int]]]:
        """Batches of (token ids, number of prompt tokens); texts of about one length go together."""
        size = self.config.batch_size
        while True:
            rows = [self._text(is_plain) for _ in range(size * _BATCHES_SORTED_TOGETHER)]
            rows.sort(key=lambda row: len(row[0]))
            batches = [rows[start : start + size] for start in range(0, len(rows), size)]
            self._rng.shuffle(batches)
            yield from batches

    def _text(self, is_plain: bool) -> tuple[list[int], int]:
        prompt, completion = self._draw(is_plain)
        prompt_ids = self.tokenizer(prompt)["input_ids"]
        completion_ids = self.tokenizer(completion)["input_ids"]
        return [*prompt_ids, *completion_ids, self.tokenizer.eos_token_id], len(prompt_ids)


class Warmup(Training):
    """Trains a new pocket model, or for a variant a plain one. Sets torch's global seed, too.

    Args:
        config: how to train.
        base: folder of the plain model that a variant continues from; by default that of its seed in
            ``lab/checkpoints``.

    Raises:
        ValueError: a base for a plain model, or none for a variant of a seed whose plain model is not kept.
    """

    def __init__(self, config: WarmupConfig, base: Path | None = None) -> None:
        if base is not None and config.variant == "plain":
            raise ValueError("a plain model starts from random weights: base goes with a variant")
        if config.variant != "plain" and base is None:
            if config.seed not in SEEDS["plain"]:
                raise ValueError(
                    f"a variant continues from a plain model, and the one with seed {config.seed} is not kept. Build "
                    f"it with meds-lab pocket --seed {config.seed} --output DIR and name it with --base DIR"
                )
            base = checkpoint_path(config.seed)
        model, tokenizer = new_model(config.seed) if base is None else load_folder(base)
        mixture = Mixture(config.seed, held_out=reserved(), variant=VARIANTS[config.variant])

        def draw(is_plain: bool) -> tuple[str, str]:
            problem, _, completion = mixture.draw(is_plain=is_plain)
            return problem.prompt, completion

        super().__init__(config, model, tokenizer, draw, before_numbers())


def muon_and_adamw(model: Qwen3ForCausalLM, learning_rate: float, weight_decay: float) -> list[Optimizer]:
    """Muon for the matrices of the layers, AdamW for the rest. `weight_decay` is Muon's.

    With AdamW alone the same loss took more than three times as many steps.

    Raises:
        ImportError: torch is older than 2.9.
    """
    import torch

    try:
        from torch.optim import Muon
    except ImportError as error:
        raise ImportError(
            f'building the pocket model needs torch 2.9 or newer, got {torch.__version__}: pip install "torch>=2.9"'
        ) from error
    names = dict(model.named_parameters())
    matrices = [p for name, p in names.items() if p.ndim == 2 and "embed_tokens" not in name]
    others = [p for name, p in names.items() if p.ndim != 2 or "embed_tokens" in name]
    return [
        Muon(matrices, lr=learning_rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=learning_rate, weight_decay=0.0, betas=(0.9, 0.98)),
    ]


def cosine_rate(step: int, steps: int, warmup_steps: int) -> float:
    """Share of the highest learning rate at a step: 1 after `warmup_steps`, then a cosine that ends at 0.

    >>> [round(cosine_rate(step, 12, 4), 2) for step in (0, 3, 4, 8, 12)]
    [0.25, 1.0, 1.0, 0.5, 0.0]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _pad(rows: list[tuple[list[int], int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    """Right-pad; the prompt and the padding carry no loss. Attention is causal, so no mask is needed."""
    import torch

    longest = max(len(ids) for ids, _ in rows)
    input_ids = torch.full((len(rows), longest), pad_token_id)
    labels = torch.full((len(rows), longest), _IGNORED)
    for index, (ids, n_prompt) in enumerate(rows):
        input_ids[index, : len(ids)] = torch.tensor(ids)
        labels[index, n_prompt : len(ids)] = torch.tensor(ids[n_prompt:])
    return input_ids, labels
