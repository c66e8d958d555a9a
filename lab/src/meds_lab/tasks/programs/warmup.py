"""Builds tiny models that write programs: a plain one from random weights, with all bugs, and policies from it.

    python -m meds_lab.tasks.programs --output runs/programs/plain-0                                    # minutes
    python -m meds_lab.tasks.programs --output runs/programs/order-0 --policy order --base runs/programs/plain-0
    python -m meds_lab.tasks.programs --check runs/programs/order-0                       # what a model writes

It has the pocket model's size and is trained by `meds_lab.tasks.warmup`. The same arguments give the same bytes on the
same machine. No checkpoint is kept.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meds_lab.sampling import sample_completions
from meds_lab.tasks.checkpoints import save_half
from meds_lab.tasks.programs.bugs import BUGS, NAMES, NO_PROGRAM, OTHER, bug, forms
from meds_lab.tasks.programs.task import draw, problems
from meds_lab.tasks.programs.wording import all_texts, write, write_plainly
from meds_lab.tasks.warmup import Training, WarmupConfig
from meds_rl.tasks.pocket.model import load_folder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

PIECE = r"```(?:python\n)?|\.[a-z]+\(\)?|\)|[0-9]| -> |; |  # | ?[a-z]+|\n"
WEIGHED = ("```python\n", "\n", "; ", ".add(", ".sub(", "x", "y", "a", "data", "nums", "items")
"""Tokens inside a program. The token after one of them has more weight than comments."""

MAX_COMPLETION_LENGTH = 80
HARD_SHARE = 0.75

POLICIES: Mapping[str, tuple[float, str | None]] = {
    "plain": (0.4, None),
    "order": (0.03, "reversed order"),
    "constant": (0.03, "off by one"),
    "spread": (0.03, None),
}
"""Share of right programs, and the bug that 80 % of the others have; None: each bug as often."""
HABIT = 0.8
STEPS = {True: 1200, False: 600}
"""From random weights, and from a plain model."""


def shares(policy: str) -> list[float]:
    """How often each of `NAMES` is written.

    >>> [round(share, 3) for share in shares("order")]
    [0.03, 0.776, 0.039, 0.039, 0.039, 0.039, 0.039]
    """
    right, habit = POLICIES[policy]
    each = {name: 1 / len(BUGS) if habit is None else (1 - HABIT) / (len(BUGS) - 1) for name in BUGS}
    if habit is not None:
        each[habit] = HABIT
    return [right, *((1 - right) * each[name] for name in BUGS)]


class Texts:
    """Draws warm-up texts: a program, right or with a bug, for a problem that is not reserved."""

    def __init__(self, seed: int, policy: str) -> None:
        self._rng, self._wordings = random.Random(f"programs {seed}"), random.Random(f"wordings {seed}")
        self._shares = shares(policy)
        self._held_out = {problem.prompt for kind in ("hard", "easy") for problem in problems(kind)}

    def __call__(self, is_plain: bool) -> tuple[str, str]:
        """A prompt and a completion."""
        rng = self._rng
        while (problem := draw(rng, "hard" if rng.random() < HARD_SHARE else "easy")).prompt in self._held_out:
            continue
        program = rng.choice(forms(rng.choices(NAMES, self._shares)[0], problem.program))
        return problem.prompt, write_plainly(program) if is_plain else write(program, self._wordings)


def new_model(seed: int) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast]:
    """An untrained model (float32) of the pocket model's size, and its tokenizer. Sets torch's global seed."""
    import torch
    from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

    from meds_lab.tasks.tokenizer import tokenizer_of
    from meds_rl.tasks.pocket import checkpoint_path

    tokenizer = tokenizer_of(all_texts(), PIECE)
    config = Qwen3Config.from_pretrained(checkpoint_path(), dtype=torch.float32, vocab_size=len(tokenizer))
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig.from_pretrained(
        checkpoint_path(), max_new_tokens=MAX_COMPLETION_LENGTH, do_sample=True
    )
    return model, tokenizer


def training(policy: str, seed: int, base: Path | None = None, steps: int | None = None) -> Training:
    """The training of a policy: "plain" from random weights, the others from a plain model.

    Args:
        policy: one of `POLICIES`.
        seed: of weights and texts.
        base: folder of the plain model.
        steps: optimiser steps; `STEPS` by default.

    Raises:
        ValueError: no such policy; a base for the plain one, or none for another.
    """
    if policy not in POLICIES:
        raise ValueError(f"policy must be one of {', '.join(POLICIES)}; got {policy!r}")
    if (base is None) != (policy == "plain"):
        raise ValueError(f"policy {policy!r} {'starts from random weights: no base' if base else 'needs a base'}")
    steps = STEPS[base is None] if steps is None else steps
    config = WarmupConfig(seed=seed, steps=steps, plain_share=0.4 if base is None else 0.0)
    if base is not None:
        config = replace(config, learning_rate=4e-3)
    model, tokenizer = new_model(seed) if base is None else load_folder(base)
    return Training(config, model, tokenizer, Texts(seed, policy), WEIGHED)


# ---- The command.


def main(arguments: Sequence[str] | None = None) -> int:
    """Build a model, or sample one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, metavar="DIR", help="build a model and write it here; must not exist")
    parser.add_argument("--policy", default="plain", choices=list(POLICIES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--base", type=Path, metavar="DIR", help="the plain model that another policy is made from")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--check", type=Path, metavar="DIR", help="sample a model and print what it writes")
    parser.add_argument("--samples", type=int, default=32, help="a problem (default: 32)")
    parser.add_argument("--problems", type=int, default=24, help="of each kind (default: 24)")
    parsed = parser.parse_args(arguments)
    if parsed.output is None and parsed.check is None:
        parser.error("nothing to do: give --output or --check")
    if parsed.output is not None:
        if parsed.output.exists():
            parser.error(f"--output {parsed.output} exists; nothing is overwritten")
        build(training(parsed.policy, parsed.seed, parsed.base, parsed.steps), parsed.output)
    if parsed.check is not None:
        print_shares(parsed.check, parsed.problems, parsed.samples)
    return 0


def build(trained: Training, folder: Path) -> None:
    """Train and save."""
    from tqdm.auto import tqdm

    with tqdm(trained, total=trained.config.steps, desc="warm-up", unit="step") as bar:
        for loss in bar:
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
    save_half(trained.model, trained.tokenizer, folder)


def print_shares(folder: Path, num_problems: int, num_samples: int) -> None:
    """Shares of right programs and of bugs, by kind of problem, as Markdown."""
    model, tokenizer = load_folder(folder)
    kinds = ("hard", "easy")
    print(f"| | {' | '.join(kinds)} |\n| :-- | --: | --: |")
    counted = [Counter(sample_bugs(model, tokenizer, kind, num_problems, num_samples)) for kind in kinds]
    for name in (*NAMES, OTHER, NO_PROGRAM):
        print(f"| {name} | " + " | ".join(f"{one[name] / one.total():.3f}" for one in counted) + " |")


def sample_bugs(model: Any, tokenizer: Any, kind: str, num_problems: int, num_samples: int) -> list[str]:
    """The bugs in completions of the first reserved problems, as `bug` names them."""
    chosen = [problem.row(kind) for problem in problems(kind)[:num_problems]]
    sampled = sample_completions(
        model,
        tokenizer,
        [row["prompt"] for row in chosen],
        num_samples=num_samples,
        max_new_tokens=MAX_COMPLETION_LENGTH,
        batch_size=256,
    )
    return [bug(one.text, row) for row, completions in zip(chosen, sampled, strict=True) for one in completions]
