"""Sample a pocket model and look at what it does: the figures that describe a base checkpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meds_rl.tasks.pocket.expression import Expression
from meds_rl.tasks.pocket.model import MAX_COMPLETION_LENGTH
from meds_rl.tasks.pocket.reading import followed, grade, read_working, strategy
from meds_rl.tasks.pocket.strategies import CORRECT, answers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM


@dataclass
class Figures:
    """What a model does on some problems.

    Attributes:
        n_samples: completions per problem.
        right: right completions of each problem.
        strategies: how many completions follow which strategy.
        n_boxed: completions with a filled box.
        n_steps: steps written by completions that follow a known strategy.
        n_slips: wrong results among those steps.
        n_lucky: right answers from a working other than the right one.
    """

    n_samples: int
    right: list[int] = field(default_factory=list)
    strategies: Counter[str] = field(default_factory=Counter)
    n_boxed: int = 0
    n_steps: int = 0
    n_slips: int = 0
    n_lucky: int = 0

    @property
    def n_completions(self) -> int:
        """All completions."""
        return self.n_samples * len(self.right)

    def add(self, problem: Expression, completions: Sequence[str]) -> None:
        """Count the completions of one problem."""
        row = {"prompt": problem.prompt, "answer": str(answers(problem)[CORRECT])}
        is_right = [grade(completion, row) for completion in completions]
        names = [strategy(completion, row) for completion in completions]
        self.right.append(sum(is_right))
        self.strategies.update(names)
        self.n_lucky += sum(right and name != CORRECT for right, name in zip(is_right, names, strict=True))
        for completion in completions:
            working = read_working(completion)
            self.n_boxed += bool(working.answer)
            found = followed(completion, row)
            if found is not None:
                self.n_steps += len(working.steps)
                self.n_slips += found.slips


def measure(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    problems: Sequence[Expression],
    *,
    n_samples: int = 128,
    seed: int = 0,
    batch_size: int = 512,
    on_batch: Callable[[int], object] | None = None,
) -> Figures:
    """Sample every problem `n_samples` times at temperature 1 and count.

    `on_batch` is told how many completions are new.

    Sets torch's global seed.
    """
    import torch

    torch.manual_seed(seed)
    figures = Figures(n_samples)
    per_batch = max(1, batch_size // n_samples)
    for start in range(0, len(problems), per_batch):
        chunk = problems[start : start + per_batch]
        completions = sample(model, tokenizer, [p.prompt for p in chunk for _ in range(n_samples)])
        for index, problem in enumerate(chunk):
            figures.add(problem, completions[index * n_samples : (index + 1) * n_samples])
        if on_batch is not None:
            on_batch(len(completions))
    return figures


def sample(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str]) -> list[str]:
    """Return one completion per prompt at temperature 1."""
    import torch

    inputs = tokenizer(list(prompts), return_tensors="pt", padding=True, padding_side="left")
    with torch.no_grad():
        output = model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            max_new_tokens=MAX_COMPLETION_LENGTH,
        )
    completions = output[:, inputs["input_ids"].shape[1] :]
    return tokenizer.batch_decode(completions, skip_special_tokens=True)
