"""How likely a policy is to follow the right rule: exact, over all wordings, without a sample."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import TrainerCallback

from meds_lab.skills.models import PIECE
from meds_lab.skills.rules import WORDINGS, Rule, write
from meds_lab.skills.skills import Problem, problems_of, skills_of
from meds_rl.files import write_atomically
from meds_rl.tasks.base import prompt_id


def log_probabilities(
    model: Any, tokenizer: Any, problems: Sequence[Problem], rules: Sequence[Rule], batch_size: int = 1024
) -> NDArray[np.float64]:
    """(N, W) log-probabilities of the two steps of a rule, each wording of `WORDINGS` in turn; the answer left out.

    Args:
        model, tokenizer: of the task.
        problems: N.
        rules: N, the rule of each problem.
    """
    import torch

    ids = tokenizer.get_vocab()
    rows = []
    for problem, rule in zip(problems, rules, strict=True):
        prompt = [ids[piece] for piece in re.findall(PIECE, problem.prompt)]
        for wording in WORDINGS:
            text = write(rule, problem.numbers, wording, 0).rpartition("\\boxed{")[0]
            rows.append((prompt, [ids[piece] for piece in re.findall(PIECE, text)]))
    longest = max(len(prompt) + len(text) for prompt, text in rows)
    input_ids = torch.full((len(rows), longest), tokenizer.pad_token_id)
    is_text = torch.zeros((len(rows), longest), dtype=torch.bool)
    for row, (prompt, text) in enumerate(rows):
        input_ids[row, : len(prompt) + len(text)] = torch.tensor([*prompt, *text])
        is_text[row, len(prompt) : len(prompt) + len(text)] = True
    found = []
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for start in range(0, len(rows), batch_size):
            chunk = slice(start, start + batch_size)
            logits = model(input_ids=input_ids[chunk]).logits[:, :-1].float()
            losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), input_ids[chunk, 1:], reduction="none")
            found.append(-(losses * is_text[chunk, 1:]).sum(1))
    model.train(was_training)
    return torch.cat(found).double().numpy().reshape(len(problems), len(WORDINGS))


STEPS = (0, 5, 10, 20, 30, 40)
"""Updates after which a policy is probed."""

FILE = "skills.parquet"
"""In the run folder: one row for each of `STEPS` and each problem."""


def probe(model: Any, tokenizer: Any, seed: int, step: int) -> list[dict[str, Any]]:
    """A row for each problem of the task.

    ``p_right`` is the probability of a working by the right rule, ``logp_right`` the mean log-probability of its
    wordings, ``p_habit`` the probability of a working by the skill's habit.
    """
    train, test = problems_of(seed)
    problems = [*train, *test]
    right = log_probabilities(model, tokenizer, problems, [one.skill.right for one in problems])
    habit = log_probabilities(model, tokenizer, problems, [one.skill.habit for one in problems])
    return [
        {
            "step": step,
            "skill": problem.skill.name,
            "problem_id": prompt_id(problem.prompt),
            "split": "train" if number < len(train) else "test",
            "kind": problem.kind,
            "rules": len(problem.skill.others) - 1,
            "tells": problem.skill.tells,
            "p_right": float(np.exp(right[number]).sum()),
            "logp_right": float(right[number].mean()),
            "p_habit": float(np.exp(habit[number]).sum()),
        }
        for number, problem in enumerate(problems)
    ]


class Probe(TrainerCallback):
    """Probes the policy in training and writes `FILE`. A resumed training keeps the rows of earlier steps."""

    def __init__(self, trainer: Any, seed: int) -> None:
        self._trainer, self._seed = trainer, seed

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Before the first update."""
        self._probe(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After an update."""
        self._probe(state.global_step)

    def _probe(self, step: int) -> None:
        import pandas as pd

        if step not in STEPS or not self._trainer.accelerator.is_main_process:
            return
        path = Path(self._trainer.args.output_dir) / FILE
        rows = pd.DataFrame(probe(self._trainer.model, self._trainer.processing_class, self._seed, step))
        if path.is_file():
            before = pd.read_parquet(path)
            rows = pd.concat([before[before["step"] < step], rows], ignore_index=True)
        write_atomically(path, rows.to_parquet(index=False))


def probed(make: Callable[..., Any], seed: int) -> Callable[..., Any]:
    """What makes the same trainer, with a `Probe`."""

    def made(*args: Any, **kwargs: Any) -> Any:
        import os
        if os.environ.get("OPS"):
            model, tok = args[0], kwargs["processing_class"]
            if isinstance(model, str):
                from transformers import AutoModelForCausalLM, AutoTokenizer
                tok = AutoTokenizer.from_pretrained(model)
                model = AutoModelForCausalLM.from_pretrained(model)
                args = (model, *args[1:]); kwargs["processing_class"] = tok
            train_only_operators(model, tok, seed)
        trainer = make(*args, **kwargs)
        trainer.add_callback(Probe(trainer, seed))
        return trainer

    return made


def train_only_operators(model: Any, tokenizer: Any, seed: int) -> None:
    import torch

    model.requires_grad_(False)
    rows = model.get_input_embeddings().weight
    ids = tokenizer.get_vocab()
    mask = torch.zeros(len(rows), 1)
    mask[[ids[f" {skill.name} "] for skill in skills_of(seed)]] = 1
    rows.requires_grad_(True)
    rows.register_hook(lambda gradient: gradient * mask)
