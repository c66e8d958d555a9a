"""Samples a task's problems before and after training and writes the evaluation folder of a run."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from accelerate.utils import gather_object
from datasets import Dataset

from meds_rl.engines.trl.recipe import Recipe
from meds_rl.engines.trl.trainer import MEDSTrainer
from meds_rl.evaluation.sampling import sample_completions
from meds_rl.evaluation.summary import Samples, Summary, summarise
from meds_rl.fingerprint.answer import extract_answer
from meds_rl.runs import RunFolder
from meds_rl.runs.folder import write_atomically
from meds_rl.tasks import Task


@dataclass(frozen=True)
class Evaluation:
    """The figures of one group of problems.

    Attributes:
        group: the split, followed by the value of the column ``eval_by`` if there is one ("train hard").
        summary: the figures.
    """

    group: str
    summary: Summary


def evaluate_task(
    recipe: Recipe, task: Task, splits: Mapping[str, Dataset], trainer: MEDSTrainer, run: RunFolder, when: str
) -> list[Evaluation]:
    """Sample, grade, write ``evaluation/{when}.parquet`` and ``{when}.json``, and return the figures by group.

    Each process samples its share of the problems; the main process writes.
    """
    rows = [
        row
        for name, split in splits.items()
        for row in _sample_split(recipe, task, name, split, trainer, when)
    ]
    table = pd.DataFrame(gather_object(rows))
    k = recipe.run.eval_k or recipe.run.eval_samples
    evaluations = [
        Evaluation(str(name), summarise(_by_problem(group), k)) for name, group in table.groupby("group")
    ]
    if trainer.accelerator.is_main_process:
        _write(run, when, table, evaluations)
    return evaluations


def read_evaluations(run: RunFolder, when: str) -> list[Evaluation]:
    """The figures that :func:`evaluate_task` wrote; none where it wrote none."""
    path = run.evaluation_path / f"{when}.json"
    if not path.is_file():
        return []
    figures = json.loads(path.read_text(encoding="utf-8"))
    return [Evaluation(group, Summary(**values)) for group, values in figures.items()]


def _write(run: RunFolder, when: str, table: pd.DataFrame, evaluations: list[Evaluation]) -> None:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    write_atomically(run.evaluation_path / f"{when}.parquet", buffer.getvalue())
    figures = {evaluation.group: evaluation.summary.to_dict() for evaluation in evaluations}
    write_atomically(run.evaluation_path / f"{when}.json", json.dumps(figures, indent=2).encode())


def _sample_split(
    recipe: Recipe, task: Task, name: str, split: Dataset, trainer: MEDSTrainer, when: str
) -> list[dict[str, Any]]:
    accelerator, training = trainer.accelerator, recipe.training
    chosen = range(
        accelerator.process_index, min(len(split), recipe.run.eval_problems), accelerator.num_processes
    )
    problems = [dict(row) for row in split.select(chosen)]
    texts = sample_completions(
        trainer.model,
        trainer.processing_class,
        [problem["prompt"] for problem in problems],
        num_samples=recipe.run.eval_samples,
        max_new_tokens=training.max_completion_length,
        temperature=training.temperature,
        top_p=training.top_p,
        batch_size=training.per_device_eval_batch_size,
        seed=training.seed,
        description=f"{when} training, {name} problems" if accelerator.is_main_process else None,
    )
    return [
        {
            "group": _group(name, problem, recipe.run.eval_by),
            "problem_id": problem["prompt_id"],
            "sample": number,
            "completion": text,
            "answer": extract_answer(text, task.answer_marker),
            "is_correct": task.grade(text, problem),
            "strategy": task.strategy(text, problem) if task.strategy else None,
        }
        for problem, samples in zip(problems, texts, strict=True)
        for number, text in enumerate(samples)
    ]


def _group(split: str, problem: Mapping[str, Any], column: str | None) -> str:
    return split if column is None else f"{split} {problem[column]}"


def _by_problem(rows: pd.DataFrame) -> list[Samples]:
    return [
        Samples(
            str(name),
            samples["is_correct"].tolist(),
            [a if isinstance(a, str) else None for a in samples["answer"]],
        )
        for name, samples in rows.groupby("problem_id", sort=False)
    ]
