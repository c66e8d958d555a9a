"""Samples a task's problems before and after training and writes the evaluation folder of a run."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from datasets import Dataset

from meds_rl.engines.trl.recipe import Recipe
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
    recipe: Recipe,
    task: Task,
    splits: Mapping[str, Dataset],
    model: Any,
    tokenizer: Any,
    run: RunFolder,
    when: str,
) -> list[Evaluation]:
    """Sample, grade, write ``evaluation/{when}.parquet`` and ``{when}.json``, and return the figures by group."""
    table = pd.concat(
        [_sample_split(recipe, task, name, split, model, tokenizer, when) for name, split in splits.items()],
        ignore_index=True,
    )
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    write_atomically(run.evaluation_path / f"{when}.parquet", buffer.getvalue())
    k = recipe.run.eval_k or recipe.run.eval_samples
    evaluations = [
        Evaluation(str(name), summarise(_by_problem(rows), k)) for name, rows in table.groupby("group")
    ]
    figures = {evaluation.group: evaluation.summary.to_dict() for evaluation in evaluations}
    write_atomically(run.evaluation_path / f"{when}.json", json.dumps(figures, indent=2).encode())
    return evaluations


def _sample_split(
    recipe: Recipe, task: Task, name: str, split: Dataset, model: Any, tokenizer: Any, when: str
) -> pd.DataFrame:
    problems = [dict(row) for row in split.select(range(min(len(split), recipe.run.eval_problems)))]
    training = recipe.training
    texts = sample_completions(
        model,
        tokenizer,
        [problem["prompt"] for problem in problems],
        num_samples=recipe.run.eval_samples,
        max_new_tokens=training.max_completion_length,
        temperature=training.temperature,
        top_p=training.top_p,
        batch_size=training.per_device_eval_batch_size,
        seed=training.seed,
        description=f"{when} training, {name} problems",
    )
    rows = [
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
    return pd.DataFrame(rows)


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
