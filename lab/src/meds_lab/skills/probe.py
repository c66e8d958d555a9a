"""Exact probabilities of following the right rule, without samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from meds_lab.skills.models import rule_ids, token_ids, train_only_rules
from meds_lab.skills.rules import RULES
from meds_lab.skills.skills import Problem, problems_of
from meds_rl.files import write_atomically
from meds_rl.tasks.base import prompt_id

PARTS = (0.0, 0.125, 0.25, 0.5, 0.75, 1.0)
"""Fractions of training after which a policy is probed."""

FILE = "skills.parquet"
"""In the run folder: one row for each of `PARTS` and each problem."""


def rule_probabilities(model: Any, tokenizer: Any, problems: Sequence[Problem]) -> NDArray[np.float64]:
    """The probability of each rule's word after each prompt, (N, 54) for N problems.

    Raises:
        KeyError: the tokenizer does not have the word of a skill.
    """
    import torch

    vocabulary = tokenizer.get_vocab()
    input_ids = torch.tensor([token_ids(vocabulary, problem.prompt) for problem in problems])
    was_training = model.training
    model.eval()
    with torch.no_grad():
        logits = model(input_ids=input_ids.to(model.device)).logits[:, -1].double()
    model.train(was_training)
    return logits.softmax(-1)[:, rule_ids(tokenizer)].cpu().numpy()


def probe(model: Any, tokenizer: Any, seed: int, step: int) -> list[dict[str, Any]]:
    """A row for each of the 124 problems of a seed.

    `p_right` and `p_habit` are the probabilities of the words of the right rule and of the habit, and `logp_right` is
    ln `p_right`. They stand for the whole workings, because training changes only the words' probabilities and not the
    working that follows a word. `rules` is the number of rare rules of a hard skill.
    """
    train, test = problems_of(seed)
    problems = [*train, *test]
    shares = rule_probabilities(model, tokenizer, problems)
    right, habit = (
        shares[range(len(problems)), [RULES.index(rule) for rule in rules]]
        for rules in ([one.skill.right for one in problems], [one.skill.habit for one in problems])
    )
    return [
        {
            "step": step,
            "skill": problem.skill.name,
            "problem_id": prompt_id(problem.prompt),
            "split": "train" if number < len(train) else "test",
            "kind": problem.kind,
            "rules": len(problem.skill.others) - 1,
            "tells": problem.skill.tells,
            "p_right": float(right[number]),
            "logp_right": float(np.log(right[number])),
            "p_habit": float(habit[number]),
        }
        for number, problem in enumerate(problems)
    ]


class Probe(TrainerCallback):
    """Probes the policy during training and writes `FILE`. A resumed training keeps the rows of earlier steps."""

    def __init__(self, trainer: Any, seed: int) -> None:
        self._trainer, self._seed = trainer, seed

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Before the first update."""
        self._probe(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After an update."""
        self._probe(state)

    def _probe(self, state: Any) -> None:
        import pandas as pd

        step = state.global_step
        steps = {round(part * state.max_steps) for part in PARTS}
        if step not in steps or not self._trainer.accelerator.is_main_process:
            return
        path = Path(self._trainer.args.output_dir) / FILE
        rows = pd.DataFrame(probe(self._trainer.model, self._trainer.processing_class, self._seed, step))
        if path.is_file():
            before = pd.read_parquet(path)
            rows = pd.concat([before[before["step"] < step], rows], ignore_index=True)
        write_atomically(path, rows.to_parquet(index=False))


def probed(make: Callable[..., Any]) -> Callable[..., Any]:
    """A function that makes the same trainer with a `Probe` and `train_only_rules`, for a data set of `skills_task`.

    Args:
        make: makes a trainer; called like `MEDSTrainer`, as is the returned function.
    """

    def made(model: Any, reward_funcs: Any, args: Any, train_dataset: Any, **kwargs: Any) -> Any:
        if isinstance(model, str):
            kwargs["processing_class"] = AutoTokenizer.from_pretrained(model)
            model = AutoModelForCausalLM.from_pretrained(model)
        train_only_rules(model, kwargs["processing_class"])
        trainer = make(model, reward_funcs, args, train_dataset, **kwargs)
        trainer.add_callback(Probe(trainer, train_dataset[0]["seed"]))
        return trainer

    return made
