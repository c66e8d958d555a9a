"""Run by test_distributed.py under torchrun: two processes train, shape a batch of one prompt, and meet an error.

Each saves its memory and what it handed to the core, so that one process can do the same over again.
"""

import faulthandler
import pickle
import sys
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset

from meds_rl import ErrorMemory, RewardShaper
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.engines.trl.completions_file import save
from meds_rl.engines.trl.sharing import share_of
from meds_rl.fingerprint import AnswerPosition
from meds_rl.memory import HDBSCANClustering
from meds_rl.train.run import end_together

SETTINGS = {"capacity": 9, "total_capacity": 50, "half_life": 3.0}


def mostly_wrong(completion_ids, **_):
    return [float(sum(ids) % 8 == 0) for ids in completion_ids]


def third_token(completion_ids, _tokenizer):
    return AnswerPosition(2, completion_ids[3]) if len(completion_ids) > 3 else None


def make_trainer(model_path: str, output: str, **fields) -> MEDSTrainer:
    defaults = dict(
        per_device_train_batch_size=6,  # 12 rows, 3 groups of 4: the second group lies across both processes
        num_generations=4,
        max_completion_length=12,
        overlong_buffer=0,
        meds_all_wrong="shape",
        **{f"meds_{name}": value for name, value in SETTINGS.items()},
        meds_reencode_tokens=60,
        learning_rate=1e-2,
        max_steps=6,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
        seed=7,
    )
    args = MEDSConfig(output, **{**defaults, **fields})
    prompts = ["abc", "bcd", "cde", "def", "efg", "fgh", "ghi", "hij", "ijk"]
    dataset = Dataset.from_dict({"prompt": prompts, "prompt_id": [f"p{i}" for i in range(len(prompts))]})
    return MEDSTrainer(model_path, mostly_wrong, args, dataset, answer_finder=third_token)


def record_calls(trainer: MEDSTrainer) -> list:
    """What the core is given, in order, and what it answers: (name, arguments, answer)."""
    calls = []
    shaper, memory = trainer.shaper, trainer.memory
    shape, renew_batch = shaper.shape, memory.renew_batch

    def recorded_shape(rewards, *, share, **batch):
        shaped = shape(rewards, share=share, **batch)
        calls.append(("shape", {"rewards": rewards, **batch}, (shaped.penalties, shaped.memory_ids)))
        return shaped

    def recorded_renew(renewals, *, share):
        calls.append(("renew", renewals, None))
        renew_batch(renewals, share=share)

    shaper.shape, memory.renew_batch = recorded_shape, recorded_renew
    return calls


class FailsOnOne(HDBSCANClustering):
    """A clustering that fails in one process only."""

    def refit(self, points, tree, sources):
        raise FloatingPointError("out of numbers")


def outcome_of_an_error(share) -> str:
    """Only the process that has the prompt to cluster fails; the other must not wait for ever."""
    shaper = RewardShaper(memory=ErrorMemory(FailsOnOne()), all_wrong="shape")
    try:
        shaper.shape(
            [0.0, 0.0], prompt_ids=["x", "x"], features=np.eye(2), is_correct=[False] * 2, share=share
        )
    except (RuntimeError, FloatingPointError) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def save_all(trainer: MEDSTrainer, output: str) -> None:
    rank = trainer.accelerator.process_index
    trainer.memory.save(Path(output) / f"memory-{rank}.safetensors")
    save(Path(output) / f"completions-{rank}.safetensors", trainer._memory_step.reencoding.store)
    torch.save(trainer.model.state_dict(), Path(output) / f"model-{rank}.pt")


def train_and_resume(model_path: str, output: str) -> None:
    """A run that is not interrupted, and one that goes on from the middle of a generation batch of it."""
    fields = {"generation_batch_size": 24, "save_strategy": "steps", "save_steps": 3, "max_steps": 5}
    for name, checkpoint in (("whole", None), ("resumed", f"{output}/whole/checkpoint-3")):
        trainer = make_trainer(model_path, f"{output}/{name}", lr_scheduler_type="constant", **fields)
        trainer.train(resume_from_checkpoint=checkpoint)
        save_all(trainer, f"{output}/{name}")
    end_together(trainer.accelerator)


RIVALS = {
    "outcome": {"method": "dapo-outcome"},
    "batch": {"method": "dapo-outcome-batch"},
    "global": {"meds_scope": "global", "meds_clustering": "random"},
    "kmeans": {"meds_clustering": "kmeans", "meds_num_clusters": 2},
    "nsr": {"method": "dapo-nsr"},
    "rep-exp": {"method": "dapo-rep-exp"},
}


def train_rivals(model_path: str, output: str) -> None:
    """Each rival trains; each process saves what it ends with."""
    for name, fields in RIVALS.items():
        folder = Path(output) / name
        trainer = make_trainer(
            model_path, str(folder), **{"meds_all_wrong": None, **fields}, meds_reencode_tokens=0
        )
        trainer.train()
        rank = trainer.accelerator.process_index
        if trainer.memory is not None:
            trainer.memory.save(folder / f"memory-{rank}.safetensors")
        torch.save(trainer.model.state_dict(), folder / f"model-{rank}.pt")
    end_together(trainer.accelerator)


def main(model_path: str, output: str) -> None:
    trainer = make_trainer(model_path, output)
    calls = record_calls(trainer)
    trainer.train()
    share, rank = share_of(trainer.accelerator), trainer.accelerator.process_index
    # One prompt: the other process has nothing to cluster.
    rows = np.random.default_rng(0).normal(size=(5, trainer.memory.n_features))
    one_prompt = {"prompt_ids": ["p0"] * 5, "features": rows, "is_correct": np.zeros(5, dtype=bool)}
    trainer.shaper.shape(np.zeros(5), share=share, **one_prompt)  # recorded like the others
    save_all(trainer, output)
    result = {"calls": calls, "error": outcome_of_an_error(share)}
    (Path(output) / f"result-{rank}.pickle").write_bytes(pickle.dumps(result))
    end_together(trainer.accelerator)


if __name__ == "__main__":
    # Processes that wait for each other for ever say where, and end.
    faulthandler.dump_traceback_later(240, exit=True)
    {"main": main, "resume": train_and_resume, "rivals": train_rivals}[sys.argv[1]](*sys.argv[2:])
