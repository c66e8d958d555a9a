"""Run by test_kill.py: trains the pocket model, killed by SIGKILL at chosen points and resumed.

Imports once and forks for each attempt. Prints one JSON object: for each run how its attempts ended.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from transformers.trainer_callback import TrainerState

from meds_rl import ErrorMemory
from meds_rl.engines.trl import MEDSTrainer, checkpoint
from meds_rl.engines.trl.batch import Batch
from meds_rl.memory import file as tensor_file
from meds_rl.rollouts import RunFolder
from meds_rl.train.recipe import load_recipe
from meds_rl.train.run import train

ROOT = Path(__file__).parents[3]
# Two updates a generation batch, so that checkpoint 3 falls between them and checkpoint 6 does not.
FIELDS = {
    "save_steps": 3,
    "num_generations": 4,
    "per_device_train_batch_size": 8,
    "generation_batch_size": 16,
    "max_completion_length": 64,
    "eval_samples": 0,
    "task_options": '{"train_hard": 6, "train_easy": 2}',
    "meds_all_wrong": "shape",
    "meds_capacity": 4,
    "meds_half_life": 2.0,
    "learning_rate": 3e-3,
    "disable_tqdm": "true",
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def on_call(owner: object, name: str, number: int, act: Callable[[], None], *, after: bool = False) -> None:
    """Let the call of that number act before it begins, or once it is done."""
    original = getattr(owner, name)
    calls = 0

    def wrapper(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == number and not after:
            act()
        result = original(*args, **kwargs)
        if calls == number and after:
            act()
        return result

    setattr(owner, name, wrapper)


def die_half_written() -> None:
    """From now on a tensor file is cut off at its third part."""
    on_call(tensor_file, "_raw_bytes", 3, die)


def die_in_the_trainers_state(number: int) -> None:
    def act() -> None:
        original = TrainerState.save_to_json

        def cut_off(state, path):
            original(state, path)
            text = Path(path).read_text()
            Path(path).write_text(text[: len(text) // 2])
            die()

        TrainerState.save_to_json = cut_off

    on_call(checkpoint, "save", number, act)


# Each point counts calls in its own process: a resumed run counts from 1 again.
POINTS: dict[str, Callable[[], None]] = {
    "before update 5": lambda: on_call(MEDSTrainer, "_compute_loss", 5, die),
    "before update 7": lambda: on_call(MEDSTrainer, "_compute_loss", 7, die),
    "not scored": lambda: on_call(Batch, "shape", 4, die),
    "remembered, not written": lambda: on_call(Batch, "shape", 3, die, after=True),
    "rollouts written": lambda: on_call(RunFolder, "write_rollouts", 4, die, after=True),
    "save 2 begins": lambda: on_call(checkpoint, "save", 2, die),
    "save 2, in the memory's file": lambda: on_call(ErrorMemory, "save", 2, die_half_written),
    "save 2, memory written": lambda: on_call(ErrorMemory, "save", 2, die, after=True),
    "save 2, ours written": lambda: on_call(checkpoint, "save", 2, die, after=True),
    "save 2, model written": lambda: on_call(MEDSTrainer, "save_model", 2, die, after=True),
    "save 2, in TRL's last file": lambda: die_in_the_trainers_state(2),
    "save 2 done": lambda: on_call(MEDSTrainer, "_save_checkpoint", 2, die, after=True),
    "at the end, in the memory's file": lambda: on_call(ErrorMemory, "save", 4, die_half_written),
    "at the end, memory written": lambda: on_call(ErrorMemory, "save", 4, die, after=True),
    "resumed, save 1, in the memory's file": lambda: on_call(ErrorMemory, "save", 1, die_half_written),
    "resumed, before update 2": lambda: on_call(MEDSTrainer, "_compute_loss", 2, die),
}


def attempt(output: Path, max_steps: int, point: str | None, *, resume: bool) -> int:
    """One process's way through the run; how it ended: 0, or minus the signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        os.dup2(2, 1)  # stdout is the result's
        if point is not None:
            POINTS[point]()
        overrides = [token for name, value in FIELDS.items() for token in (f"--{name}", str(value))]
        overrides += [
            "--max_steps",
            str(max_steps),
            "--output_dir",
            str(output),
            "--resume_from_checkpoint",
            str(resume).lower(),
        ]
        train(load_recipe(ROOT / "recipes" / "pocket.yaml", overrides))
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main(output: str, max_steps: int, runs: dict[str, list[str]]) -> None:
    ends = {}
    for name, points in runs.items():
        folder = Path(output) / name
        ends[name] = [
            attempt(folder, max_steps, point, resume=number > 0) for number, point in enumerate([*points, None])
        ]
    json.dump(ends, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]))
