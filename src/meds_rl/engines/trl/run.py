"""The run folder of a training: which one it is, its lock, and the files in it that are not rollouts.

``output_dir`` is the run folder. A second training of a script with the same ``output_dir`` gets ``output_dir/run-2``.
"""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from transformers import TrainerCallback, TrainerControl, TrainerState
from trl import GRPOConfig

from meds_rl.engines.lock import LOCK_FILE, acquire, lock_of
from meds_rl.engines.settings import METHODS
from meds_rl.engines.trl.batch import on_main_process
from meds_rl.engines.trl.config import MEDSConfig
from meds_rl.files import write_atomically
from meds_rl.rollouts.folder import TRAINER_STATE_FILE, RunFolder, run_of

if TYPE_CHECKING:
    from meds_rl.engines.trl.trainer import MEDSTrainer

PACKAGES = ("meds-rl", "torch", "transformers", "trl", "accelerate", "peft", "vllm", "numpy", "scikit-learn")

logger = logging.getLogger("meds_rl")


@contextmanager
def open_run(
    trainer: MEDSTrainer, checkpoint: str | bool | None = None, recipe: str | None = None
) -> Iterator[str | None]:
    """Lock the ``output_dir`` of a trainer for a training, and set the trainer's run folder.

    Inside an open run it does nothing: `meds train` opens the run for its evaluations, too.

    Args:
        trainer: every process has one; the first one holds the lock.
        checkpoint: as ``resume_from_checkpoint`` of ``train``.
        recipe: what ``recipe.yaml`` shall contain. A run that exists is then refused; without a recipe the new run gets
            a numbered folder.

    Yields:
        The checkpoint to resume from; None without one.

    Raises:
        FileExistsError: another training holds the lock; the folder contains another run than the checkpoint's.
        OSError: the lock file cannot be written.
        ValueError: ``checkpoint`` is True, and there is no whole checkpoint.
    """
    if trainer._run_files.folder is not None:
        yield str(checkpoint) if checkpoint else None
        return
    output_dir = Path(trainer.args.output_dir)
    lock = lock_of(output_dir)
    on_main_process(trainer.accelerator, lambda: acquire(lock, "output_dir"))
    try:
        path, found = on_main_process(trainer.accelerator, lambda: _choose(output_dir, checkpoint, recipe is not None))
        trainer._run = trainer._run_files.folder = RunFolder(path)
        trainer._run_files.recipe, trainer._run_files.checkpoint = recipe, found
        if found is None:
            trainer._num_generations_done = 0
            if recipe is not None:  # its evaluation before training is written before training begins
                on_main_process(trainer.accelerator, lambda: trainer._run_files.describe(trainer.args, trainer.model))
        yield found
    finally:
        trainer._run_files.folder = None
        lock.release()


def _choose(output_dir: Path, checkpoint: str | bool | None, is_recipe: bool) -> tuple[str, str | None]:
    """The run folder, and the checkpoint to resume from."""
    if checkpoint is True:
        checkpoint = str(last_checkpoint(output_dir))
    if checkpoint:
        return str(_run_to_resume(output_dir, Path(checkpoint))), checkpoint
    if is_recipe:
        refuse_existing(str(output_dir), None)
    first = RunFolder(output_dir)
    if not first.has_begun():
        return str(output_dir), None
    begun = [number for number, run in first.numbered_runs().items() if run.has_begun()]
    new = output_dir / f"run-{max(begun, default=1) + 1}"
    logger.warning(
        "%s contains a run. This run's rollouts, metrics and settings go to %s; checkpoints still go to %s, where they "
        "replace those of the same step. For a folder of its own name another output_dir; to continue the run that is "
        "there, give train() a resume_from_checkpoint.",
        output_dir,
        new,
        output_dir,
    )
    return str(new), None


def _run_to_resume(output_dir: Path, checkpoint: Path) -> Path:
    if not checkpoint.is_dir():
        raise ValueError(
            f"resume_from_checkpoint must be True or a checkpoint's folder; there is no folder {checkpoint}."
        )
    run = run_of(checkpoint)
    if checkpoint.resolve().parent == output_dir.resolve():
        return output_dir if run == checkpoint.parent else output_dir / run.name
    if RunFolder(output_dir).has_begun():
        raise FileExistsError(
            f"{output_dir} contains another run than that of {checkpoint}; nothing was changed. Name another "
            "output_dir, or the checkpoint's own."
        )
    return output_dir


# ---- What `meds train` checks before it loads a model.


def resume_from(training: MEDSConfig) -> str | None:
    """The checkpoint that ``resume_from_checkpoint`` asks for; None where it asks for none.

    Raises:
        ValueError: there is none, or it is not whole.
    """
    wanted = str(training.resume_from_checkpoint or "false")
    if wanted.lower() in ("false", "none"):
        return None
    if wanted.lower() in ("true", "latest"):
        return str(last_checkpoint(Path(training.output_dir)))
    if not (Path(wanted) / TRAINER_STATE_FILE).is_file():
        raise ValueError(
            f"resume_from_checkpoint must be true or a checkpoint's folder; {wanted} has no {TRAINER_STATE_FILE}."
        )
    return wanted


def last_checkpoint(output_dir: Path) -> Path:
    """The last whole checkpoint of the last run in a folder that has one.

    Raises:
        ValueError: there is none.
    """
    first = RunFolder(output_dir)
    for run in (*reversed(first.numbered_runs().values()), first):
        if whole := run.checkpoints():
            return whole[-1]
    raise ValueError(f"resume_from_checkpoint is true, but {output_dir} has no checkpoint that was saved whole.")


def refuse_existing(output_dir: str, checkpoint: str | None) -> None:
    """Refuse to overwrite a run.

    Raises:
        FileExistsError: the run folder exists and is not the one that ``checkpoint`` belongs to.
    """
    path = Path(output_dir)
    if not os.path.lexists(path) or (path.is_dir() and all(file.name == LOCK_FILE for file in path.iterdir())):
        return
    if checkpoint is None:
        raise FileExistsError(
            f"The run folder {path} exists; nothing was changed. Name another with --output_dir, "
            "or continue that run with --resume_from_checkpoint true."
        )
    if Path(checkpoint).resolve().parent != path.resolve():
        raise FileExistsError(
            f"The run folder {path} exists and is not that of {checkpoint}; nothing was changed. Name another with "
            "--output_dir, or the checkpoint's own."
        )


# ---- Metrics, settings and environment.


class RunFiles(TrainerCallback):
    """Writes ``recipe.yaml``, ``environment.json`` and ``metrics.jsonl`` in the main process, while a run is open.

    Attributes:
        folder: the run folder; None while no run is open.
        recipe: what ``recipe.yaml`` shall contain instead of the trainer's arguments.
        checkpoint: what the run resumes from.
    """

    def __init__(self) -> None:
        self.folder: RunFolder | None = None
        self.recipe: str | None = None
        self.checkpoint: str | None = None

    def on_train_begin(
        self, args: MEDSConfig, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        # A checkpoint is loaded by now: one that is refused has changed nothing.
        if state.is_world_process_zero and (self.recipe is None or self.checkpoint is not None):
            self.describe(args, model)

    def on_log(
        self, args: MEDSConfig, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        if not state.is_world_process_zero or not logs or self.folder is None:
            return
        row = {"step": state.global_step, **{name: _finite(value) for name, value in logs.items()}}
        self.folder.path.mkdir(parents=True, exist_ok=True)
        with self.folder.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def describe(self, args: MEDSConfig, model: Any) -> None:
        """Write the settings and the environment; a resumed run adds a suffix, so that the first files stay."""
        if self.folder is None:
            return
        suffix = self._suffix(args, self.folder)
        recipe = self.recipe or _recipe_of(args, model)
        self.folder.write_environment(_environment(args, self.folder), suffix)
        write_atomically(self.folder.path / f"recipe{suffix}.yaml", recipe.encode())

    def _suffix(self, args: MEDSConfig, folder: RunFolder) -> str:
        if self.checkpoint is None or not folder.environment_path.is_file():
            return ""
        checkpoint = Path(self.checkpoint).resolve()
        return f"-from-{checkpoint.name}" if checkpoint.parent == Path(args.output_dir).resolve() else ""


def _finite(value: Any) -> Any:
    """A number for JSON, which has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def recipe_text(resolved: Mapping[str, Any], given: Mapping[str, Any], what: str) -> str:
    """The text of ``recipe.yaml``: every field, below a comment with those in ``given``, which ``what`` describes.

    `meds_rl.report.recipe` reads both.
    """
    header = f"# The resolved recipe: every field, as it was used. {what}\n"
    lines = "".join(f"#   {line}\n" for line in _yaml(given).splitlines()) if given else ""
    return header + lines + _yaml(resolved)


def _yaml(values: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(_plain(values), sort_keys=True, allow_unicode=True))


def _recipe_of(args: MEDSConfig, model: Any) -> str:
    """The arguments of a script's own trainer."""
    resolved = {"model_name_or_path": str(model.config._name_or_path), **args.to_dict()}
    del resolved["steps_per_generation"]  # follows from generation_batch_size
    return recipe_text(resolved, _not_default(args, resolved), "What differs from its default:")


def _not_default(args: MEDSConfig, resolved: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that neither have their default nor were set by the method or the preset."""
    default = {field.name: field.default for field in fields(args)}
    if args.method == "trl":
        default |= {field.name: field.default for field in fields(GRPOConfig)}
    default["preset"] = METHODS[args.method]["preset"]
    per_step = args.per_device_train_batch_size * args.world_size * args.gradient_accumulation_steps
    default["generation_batch_size"] = per_step
    # Accelerate's settings are a dataclass, which TRL makes from None.
    values = {name: value for name, value in vars(args).items() if name in default and not is_dataclass(value)}
    given = [name for name, value in values.items() if value not in (default[name], [], {})]
    return {name: resolved[name] for name in given if name in resolved and name not in args.left_open}


def _environment(args: MEDSConfig, folder: RunFolder) -> dict[str, Any]:
    return {
        "output_dir": os.path.relpath(args.output_dir, folder.path),
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": str(args.device),
        "num_processes": args.world_size,
        "seed": args.seed,
        "commit": _commit(),
    }


def _plain(value: Any) -> Any:
    """A value in types that YAML's safe dumper can write."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    return value if value is None or type(value) in (str, int, float, bool) else str(value)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of this package's source tree; None for an installed wheel."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, check=True)
        done = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
