"""Run by test_reward_function.py under torchrun: two processes train GRPOTrainer with a RepeatedErrorPenalty."""

import os
import sys
from pathlib import Path

import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from meds_rl import RepeatedErrorPenalty

RANK = int(os.environ.get("RANK", "0"))  # the doctest run imports this file, too


def mostly_wrong(completion_ids, **_):
    return [float(sum(ids) % 4 == 0) for ids in completion_ids]


def fails_in_one(**_):
    if RANK == 1:
        raise ArithmeticError("not today")
    return [0.0] * 6


def by_length(text):
    return str(len(text) // 4) if text else None


def train(model_path: str, output: Path, functions: list, **fields) -> GRPOTrainer:
    args = GRPOConfig(
        str(output),
        per_device_train_batch_size=6,  # 12 rows, 3 groups of 4: the second group lies across both processes
        num_generations=4,
        max_completion_length=12,
        learning_rate=1e-2,
        max_steps=4,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
        seed=7,
        **fields,
    )
    prompts = ["abc", "bcd", "cde", "def", "efg", "fgh"]
    dataset = Dataset.from_dict({"prompt": prompts, "prompt_id": [f"p{i}" for i in range(len(prompts))]})
    trainer = GRPOTrainer(model_path, functions, args, dataset)
    trainer.train()
    return trainer


def main(what: str, model_path: str, output: Path) -> None:
    if what == "fail":
        try:
            train(model_path, output, [mostly_wrong, RepeatedErrorPenalty(fails_in_one)])
        except Exception as error:
            (output / f"error-{RANK}").write_text(f"{type(error).__name__}: {error}")
        return
    options = {"all_wrong": "shape", "answer_finder": by_length}
    penalty = RepeatedErrorPenalty(mostly_wrong, folder=output / "watched", **options)
    evaluated = {"eval_strategy": "no"}
    train(model_path, output / "watched", [mostly_wrong, penalty], **evaluated)
    penalty.close()
    (output / f"size-{RANK}").write_text(str(len(penalty.memory)))
    for name, more in {"plain": [], "zero": [RepeatedErrorPenalty(mostly_wrong, alpha=0.0, **options)]}.items():
        trainer = train(model_path, output / name, [mostly_wrong, *more])
        torch.save(dict(trainer.model.state_dict()), output / f"{name}-{RANK}.pt")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    torch.distributed.destroy_process_group()
