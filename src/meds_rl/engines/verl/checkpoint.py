"""The memory in verl's checkpoints, ``global_step_N``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from meds_rl.memory.memory import ErrorMemory
from meds_rl.rollouts.folder import MEMORY_FILE


def folder_of(config: Any, global_step: int) -> Path:
    """The folder that verl is about to fill."""
    return Path(config.trainer.default_local_dir) / f"global_step_{global_step}"


def folder_resumed(config: Any, global_step: int) -> Path:
    """The folder from which verl has just resumed, at `global_step`."""
    if config.trainer.resume_mode == "resume_path":
        return Path(config.trainer.resume_from_path)
    return folder_of(config, global_step)


def will_resume(config: Any) -> bool:
    """Whether verl will resume a checkpoint, whose memory then comes before any other."""
    from verl.utils.checkpoint.checkpoint_manager import find_latest_ckpt_path

    if config.trainer.resume_mode == "auto":
        return find_latest_ckpt_path(str(Path(config.trainer.default_local_dir).absolute())) is not None
    return bool(config.trainer.resume_mode == "resume_path")


def save_memory(memory: ErrorMemory, folder: Path) -> None:
    """Write the memory into a checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    memory.save(folder / MEMORY_FILE)


def restore_memory(memory: ErrorMemory, folder: Path, n_features: int | None = None) -> None:
    """Replace the content of `memory` by that of a checkpoint; `n_features` is D of the run's fingerprints.

    Raises:
        ValueError: the checkpoint has no memory.
        MemoryFileError: the file cannot be read, or its fingerprints have another width.
    """
    if not (folder / MEMORY_FILE).is_file():
        raise ValueError(
            f"{folder} has no {MEMORY_FILE}: it is not a checkpoint of a run with meds, or the folder is on another "
            "machine than the trainer. Put the file there, resume without meds (python -m verl.trainer.main_ppo), or "
            "start a new run from its model: another trainer.default_local_dir and trainer.resume_mode=disable."
        )
    memory.restore(folder / MEMORY_FILE, n_features=n_features)


def other_ranks(folder: Path, num_ranks: int) -> str | None:
    """A sentence that explains why this many processes cannot restore a checkpoint's model; None if they can."""
    # verl writes one file for each process; the files' names say how many there were.
    numbers = [path.name.split("_")[3] for path in (folder / "actor").glob("model_world_size_*_rank_*.pt")]
    saved = sorted({int(number) for number in numbers if number.isdigit()})
    if not saved or num_ranks in saved:
        return None
    return (
        f"{folder} was saved with {' or '.join(map(str, saved))} as the number of GPUs, and this run has {num_ranks}: "
        "verl restores a sharded model only on as many as saved it. Set trainer.nnodes and trainer.n_gpus_per_node as "
        "they were; or merge the model with verl's model_merger, start a new run from it (actor_rollout_ref.model.path "
        f"and another trainer.default_local_dir) and give it the memory: meds.memory={folder / MEMORY_FILE}."
    )


class KeptMemories:
    """Removes the memories of checkpoints that verl removes: verl keeps the newest `most` that a run has saved.

    Args:
        most: verl's `max_actor_ckpt_to_keep`; None, 0 and less keep all, as in verl.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most if most is not None and most > 0 else None
        self._folders: list[Path] = []

    def saved(self, folder: Path) -> None:
        """Call it when a checkpoint is complete; the memories of older ones may be removed."""
        self._folders = [one for one in self._folders if one != folder] + [folder]
        while self._most is not None and len(self._folders) > self._most:
            (self._folders.pop(0) / MEMORY_FILE).unlink(missing_ok=True)
