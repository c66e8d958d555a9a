"""Run by test_distributed.py under torchrun: two processes train, and meet an error in the one that owns the memory.

That one saves its memory and what it handed to the core, so that one process can do the same over again.
"""

import faulthandler
import pickle
import sys
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import set_seed
from datasets import Dataset
from filelock import FileLock
from trl import GRPOConfig, GRPOTrainer

from meds_rl import ErrorMemory
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.fingerprint import AnswerPosition
from meds_rl.memory import GroupVisit, HDBSCANClustering, RightCompletion
from meds_rl.train.run import end_together

SHARED = [
    "per_device_train_batch_size",
    "num_generations",
    "max_completion_length",
    "learning_rate",
    "max_steps",
    "save_strategy",
    "report_to",
    "use_cpu",
    "bf16",
    "gradient_checkpointing",
    "disable_tqdm",
    "seed",
]
SETTINGS = {"capacity": 9, "half_life": 3.0}


def mostly_wrong(completion_ids, **_):
    return [float(sum(ids) % 8 == 0) for ids in completion_ids]


def third_token(completion_ids, _tokenizer):
    return AnswerPosition(2, completion_ids[3]) if len(completion_ids) > 3 else None


def make_trainer(
    model_path: str, output: str, arguments: dict | None = None, reward=mostly_wrong, kind=MEDSTrainer, **fields
) -> MEDSTrainer:
    defaults = dict(
        method="meds",
        per_device_train_batch_size=6,  # 12 rows, 3 groups of 4: the second group lies across both processes
        num_generations=4,
        max_completion_length=12,
        overlong_buffer=0,
        meds_all_wrong="shape",
        **{f"meds_{name}": value for name, value in SETTINGS.items()},
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
    arguments = {"answer_finder": third_token, **(arguments or {})}
    return kind(model_path, reward, args, dataset, **arguments)


def record_calls(trainer: MEDSTrainer) -> list:
    """What the core is given in this process, in order, and what it answers: (arguments, answer)."""
    calls = []
    shape = trainer.shaper.shape

    def recorded_shape(rewards, **batch):
        shaped = shape(rewards, **batch)
        calls.append(({"rewards": rewards, **batch}, (shaped.penalties, shaped.memory_ids)))
        return shaped

    trainer.shaper.shape = recorded_shape
    return calls


class Fails(HDBSCANClustering):
    """A clustering that fails; only the process that owns the memory uses it."""

    def refit(self, points, tree, sources):
        raise FloatingPointError("out of numbers")


def outcome_of_an_error(model_path: str, output: str) -> str:
    """The process without the memory must not wait for ever."""
    trainer = make_trainer(model_path, f"{output}/error", {"memory": ErrorMemory(Fails(), **SETTINGS)})
    try:
        trainer.train()
    except (RuntimeError, FloatingPointError) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def outcomes_of_one_folder(model_path: str, output: str) -> list[str]:
    """Three trainings in one folder: refused as another one runs, the first one, the second one."""
    trainer = make_trainer(model_path, f"{output}/shared", max_steps=1)
    lock = FileLock(f"{output}/shared/.lock")
    outcomes = []
    if trainer.accelerator.is_main_process:
        lock.acquire()
    try:
        trainer.train()
    except (RuntimeError, FileExistsError) as error:
        outcomes.append(f"{type(error).__name__}: {error}")
    lock.release()
    for _ in range(2):
        trainer.train()
        outcomes.append(trainer._run.path.name)
    return outcomes


def save_all(trainer: MEDSTrainer, output: str) -> None:
    rank = trainer.accelerator.process_index
    trainer.memory.save(Path(output) / f"memory-{rank}.safetensors")
    torch.save(trainer.model.state_dict(), Path(output) / f"model-{rank}.pt")


def train_and_resume(model_path: str, output: str) -> None:
    """A run that is not interrupted, and one that goes on from the middle of a generation batch of it."""
    fields = {"generation_batch_size": 24, "save_strategy": "steps", "save_steps": 3, "max_steps": 5}
    for name, checkpoint in (("whole", None), ("resumed", f"{output}/whole/checkpoint-3")):
        trainer = make_trainer(model_path, f"{output}/{name}", lr_scheduler_type="constant", **fields)
        trainer.train(resume_from_checkpoint=checkpoint)
        save_all(trainer, f"{output}/{name}")
    end_together(trainer.accelerator)


def letters(completions, answers, **_):
    """A fingerprint of the texts."""
    counts = np.array([[text.count(letter) for letter in "abcd"] for text in completions], dtype=float) + 0.5
    counts[[answer is None for answer in answers]] = np.nan
    return counts


def leave_one_out(rewards, group_ids, _is_correct):
    sizes = np.bincount(group_ids)[group_ids]
    return (rewards - np.bincount(group_ids, rewards)[group_ids] / sizes) * sizes / (sizes - 1)


SEAMS = {
    "function": {"fingerprint": letters},
    "penalty": {"penalty": lambda cluster_sizes, group_sizes: 0.1 * cluster_sizes / group_sizes},
    "advantage": {"advantage": leave_one_out},
}


def train_with_seams(model_path: str, output: str) -> None:
    """Each seam trains; each process saves what it ends with."""
    for name, arguments in SEAMS.items():
        folder = Path(output) / name
        trainer = make_trainer(model_path, str(folder), arguments)
        trainer.train()
        save_all(trainer, str(folder))
    end_together(trainer.accelerator)


def played(completion_ids, completions, log_extra, **_):
    """Some processes log no outcome in some batches."""
    if sum(map(len, completions)) % 3:
        log_extra("outcome", [f"lost by {len(text)}" for text in completions])
    return mostly_wrong(completion_ids)


def train_with_outcomes(model_path: str, output: str) -> None:
    """With and without dynamic sampling."""
    for sampling in (False, True):
        fields = {"fingerprint": "outcome", "dynamic_sampling": sampling, "meds_max_distance": 0.0}
        trainer = make_trainer(model_path, f"{output}/{sampling}", reward=played, **fields)
        trainer.train()
        save_all(trainer, f"{output}/{sampling}")
    end_together(trainer.accelerator)


def train_as_trl(model_path: str, output: str) -> None:
    """Method "trl" with a memory that only watches, and TRL's own trainer: each process saves both models."""
    fields = {"method": "trl", "meds_all_wrong": None, "meds_alpha": 0.0, "overlong_buffer": None}
    ours = make_trainer(model_path, f"{output}/meds", **fields)
    shared = {name: value for name, value in ours.args.__dict__.items() if name in SHARED}
    args = GRPOConfig(f"{output}/trl", **shared)
    theirs = GRPOTrainer(model_path, mostly_wrong, args, ours.train_dataset)
    for name, trainer in (("meds", ours), ("trl", theirs)):
        set_seed(args.seed, device_specific=True)  # as at the end of __init__
        trainer.train()
        torch.save(trainer.model.state_dict(), f"{output}/{name}-{trainer.accelerator.process_index}.pt")
    assert trainer.accelerator.process_index or len(ours.memory)
    end_together(trainer.accelerator)


KEPT = [9, 9, 4, 9, 5, 1]
"""A right completion that the memory keeps of every prompt."""


class Watched(MEDSTrainer):
    """Saves what each generation batch hands to TRL in this process."""

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        name = f"{self._num_generations_done}-{self.accelerator.process_index}.pt"
        torch.save({key: value.clone() for key, value in output.items()}, f"{self.args.output_dir}/output-{name}")
        return output


def never(completion_ids, **_):
    return [0.0] * len(completion_ids)


def train_with_recall(model_path: str, output: str) -> None:
    """Nothing sampled is right: every group takes in what the memory keeps."""
    memory = ErrorMemory(**SETTINGS)
    one = RightCompletion(np.array(KEPT), 1.0)
    memory.recall_batch([GroupVisit(f"p{i}", 4, 1, (one,)) for i in range(9)], most=1)
    fields = {"meds_recall": 4, "num_iterations": 2, "beta": 0.1, "dynamic_sampling": False}
    trainer = make_trainer(model_path, output, {"memory": memory}, never, kind=Watched, **fields)
    trainer.train()
    save_all(trainer, output)
    end_together(trainer.accelerator)


def main(model_path: str, output: str) -> None:
    trainer = make_trainer(model_path, output)
    calls = record_calls(trainer)
    trainer.train()
    save_all(trainer, output)
    result = {"calls": calls, "error": outcome_of_an_error(model_path, output)}
    result["folders"] = outcomes_of_one_folder(model_path, output)
    rank = trainer.accelerator.process_index
    (Path(output) / f"result-{rank}.pickle").write_bytes(pickle.dumps(result))
    end_together(trainer.accelerator)


if __name__ == "__main__":
    # Processes that wait for each other for ever say where, and end.
    faulthandler.dump_traceback_later(240, exit=True)
    runs = {
        "main": main,
        "resume": train_and_resume,
        "seams": train_with_seams,
        "outcomes": train_with_outcomes,
        "trl": train_as_trl,
        "recall": train_with_recall,
    }
    runs[sys.argv[1]](*sys.argv[2:])
