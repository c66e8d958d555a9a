"""Save in TRL's checkpoints, and load: the memory, the progress of generation, a batch with updates to come."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.logging import get_logger
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from meds_rl.engines.trl.batch import on_main_process
from meds_rl.files import write_atomically
from meds_rl.rollouts.folder import MEMORY_FILE, STATE_FILE, TRAINER_STATE_FILE, RunFolder

if TYPE_CHECKING:
    from meds_rl.engines.trl.trainer import MEDSTrainer


logger = get_logger("meds_rl")


def folder_of(trainer: MEDSTrainer, trial: Any) -> Path:
    """The folder that the Hugging Face trainer is about to fill."""
    return Path(trainer._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{trainer.state.global_step}"


def save(trainer: MEDSTrainer, folder: Path) -> None:
    """Write the memory, the progress of generation, and a batch with updates to come.

    Without that batch, a run that is resumed between generation and update would sample again and remember twice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if trainer.args.should_save:
        # TRL writes this file last: a checkpoint that has it is whole. If an earlier attempt filled the folder, it must
        # not count as whole while it is filled again.
        (folder / TRAINER_STATE_FILE).unlink(missing_ok=True)
        # An earlier run with the same output_dir may have had a memory, and this one has none.
        for left_behind in (*folder.glob(".*.tmp"), *folder.glob("meds_*"), *folder.glob(MEMORY_FILE)):
            left_behind.unlink()
    trainer.accelerator.wait_for_everyone()
    if _is_mid_batch(trainer):
        torch.save(trainer._buffered_inputs, _buffer_file(trainer, folder))
    if not trainer.args.should_save:
        return
    save_memory(trainer, folder)
    state = {
        "micro_steps": trainer._step,
        "run": os.path.relpath(trainer._run.path, folder.parent),
        "generations": trainer._num_generations_done,
        "stream": None if trainer._stream is None else trainer._stream.state_dict(),
        **trainer._correctness.state_dict(),
    }
    write_atomically(folder / STATE_FILE, json.dumps(state).encode())


def save_memory(trainer: MEDSTrainer, folder: Path) -> None:
    """Write the memory, if there is one, in the main process."""
    if trainer.memory is not None and trainer.accelerator.is_main_process:
        trainer.memory.save(folder / MEMORY_FILE)


def load(trainer: MEDSTrainer, checkpoint: str) -> None:
    """Restore what :func:`save` wrote.

    Raises:
        ValueError: the method has a memory and the checkpoint none, or the other way round; the batch with updates to
            come is missing.
        MemoryFileError: the memory does not load.
    """
    folder = Path(checkpoint)
    on_main_process(trainer.accelerator, lambda: _load_memory(trainer, folder))
    if trainer.memory is not None:
        trainer.accelerator.print(f"meds-rl: the memory of {folder} is restored: {len(trainer.memory):,} completions.")
    progress = json.loads((folder / TRAINER_STATE_FILE).read_text())
    if not (folder / STATE_FILE).is_file():
        logger.warning(
            f"{folder} has no {STATE_FILE}: the resumed run may draw other prompts than the run that is continued."
        )
        done = on_main_process(trainer.accelerator, lambda: trainer._run.generations_before(progress["global_step"]))
        _go_on_after(trainer, done, progress["global_step"])
        return
    state = json.loads((folder / STATE_FILE).read_text())
    trainer._step = state["micro_steps"]
    _advance_sampler(trainer, epochs=int(progress["epoch"]))
    trainer._correctness.load_state_dict(state)
    if trainer._stream is not None and state["stream"] is not None:
        trainer._stream.load_state_dict(state["stream"])
    if _is_mid_batch(trainer):
        trainer._buffered_inputs = _load_buffer(trainer, folder)
    _go_on_after(trainer, state["generations"], progress["global_step"])


def _go_on_after(trainer: MEDSTrainer, generations: int, steps: int) -> None:
    """Number batches from ``generations`` on, and remove from the run what was written after the checkpoint."""
    trainer._num_generations_done = generations
    on_main_process(trainer.accelerator, lambda: _cut_run(trainer._run, generations, steps))


def _load_memory(trainer: MEDSTrainer, folder: Path) -> None:
    file = folder / MEMORY_FILE
    if trainer.memory is not None and file.is_file():
        trainer.memory.restore(file, n_features=trainer.num_features)
    elif trainer.memory is not None:
        raise ValueError(
            f"{folder} has no {MEMORY_FILE}: it was saved by GRPOTrainer or by a method without a memory, or the file "
            f"is lost. Method {trainer.args.method!r} would begin with an empty memory. Start a new run from its "
            "model, or resume it with the trainer and method that saved it."
        )
    elif file.is_file():
        raise ValueError(
            f"{folder} has a {MEMORY_FILE}, which method {trainer.args.method!r} would not use: its own checkpoints "
            "would have none. Start a new run from its model, or resume it with the method that made it."
        )


def _cut_run(run: RunFolder, generations: int, steps: int) -> None:
    """Remove from a run folder what was written after the checkpoint."""
    run.drop_rollouts_from(generations)
    run.drop_metrics_after(steps)
    run.drop_evaluations_after(steps)


def _load_buffer(trainer: MEDSTrainer, folder: Path) -> Any:
    path = _buffer_file(trainer, folder)
    if not path.is_file():
        raise ValueError(
            f"{folder} was saved between a generation and its last update, and has no {path.name}: without it the "
            "batch would be remembered twice. Resume with as many processes as before, and the same batch sizes."
        )
    device = trainer.accelerator.device
    if device.type == "cpu":  # accelerate numbers it, which torch.load does not accept
        device = torch.device("cpu")
    return torch.load(path, map_location=device, weights_only=True)


def _is_mid_batch(trainer: MEDSTrainer) -> bool:
    """Whether the last generation batch has updates to come."""
    return bool(trainer._step % (trainer.args.steps_per_generation * trainer.num_iterations))


def _advance_sampler(trainer: MEDSTrainer, epochs: int) -> None:
    """Draw the permutations of past epochs again, as the state of the sampler's generator is not saved."""
    sampler = trainer._train_sampler
    for _ in range(epochs if trainer.shuffle_dataset and sampler is not None else 0):
        torch.randperm(sampler.num_samples, generator=sampler.generator)


def _buffer_file(trainer: MEDSTrainer, folder: Path) -> Path:
    return folder / f"meds_buffer_{trainer.accelerator.process_index}.pt"
