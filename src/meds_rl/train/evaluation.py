"""Evaluate a task's problems before, during and after training, into the evaluation folder of a run."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from accelerate.utils import gather_object

from meds_rl.engines.trl.trainer import MEDSTrainer
from meds_rl.evaluation.engines import TransformersEngine
from meds_rl.evaluation.figures import Samples, Summary, summarise
from meds_rl.evaluation.problems import problems_of, select
from meds_rl.evaluation.rollout import Rollout
from meds_rl.evaluation.sampling import SamplingSettings
from meds_rl.files import write_atomically
from meds_rl.rollouts import RunFolder
from meds_rl.rollouts.samples import samples_table, write_samples
from meds_rl.tasks import Task
from meds_rl.train.recipe import Recipe


@dataclass(frozen=True)
class Evaluation:
    """The figures of one group of problems.

    Attributes:
        group: the split, followed by the value of the column ``eval_by`` if there is one ("train hard").
        summary: the figures.
    """

    group: str
    summary: Summary


def evaluate_task(recipe: Recipe, task: Task, trainer: MEDSTrainer, run: RunFolder, when: str) -> list[Evaluation]:
    """Sample, grade, write ``evaluation/{when}.parquet`` and ``{when}.json``, and return the figures by group.

    Each process samples its part of the problems; the main process writes. The random state of training and the
    model's mode do not change.

    Args:
        recipe: its ``eval_*`` fields and sampling parameters.
        task: its training problems, and its test problems if there are any.
        trainer: holds the model.
        run: the folder.
        when: "before", "after" or "step-000010".
    """
    accelerator = trainer.accelerator
    rollout = Rollout(
        TransformersEngine(trainer.model, trainer.processing_class),
        SamplingSettings(recipe.training.max_completion_length, recipe.training.temperature, recipe.training.top_p),
        num_samples=recipe.run.eval_samples,
        batch_size=recipe.training.per_device_eval_batch_size,
        seed=recipe.training.seed,
    )
    problems = select(problems_of(task), limit=recipe.run.eval_problems, by=recipe.run.eval_by)
    own = problems[accelerator.process_index :: accelerator.num_processes]
    rows: list[dict[str, Any]] = []
    if own:
        place = f"step {int(when[5:])}" if when.startswith("step-") else f"{when} training"
        description = f"evaluation, {place}" if accelerator.is_main_process else None
        table, _ = rollout.run(own, description=description, keep_bar=not when.startswith("step-"))
        rows = table.to_pylist()
    order = {(problem.group, problem.row["prompt_id"]): i for i, problem in enumerate(problems)}
    rows = sorted(gather_object(rows), key=lambda row: (order[row["group"], row["problem_id"]], row["sample"]))
    evaluations = _summaries(rows, k=recipe.run.eval_k or recipe.run.eval_samples)
    if accelerator.is_main_process:
        write_samples(run.evaluation_path / f"{when}.parquet", samples_table(rows), step=trainer.state.global_step)
        figures = {evaluation.group: evaluation.summary.to_dict() for evaluation in evaluations}
        write_atomically(run.evaluation_path / f"{when}.json", json.dumps(figures, indent=2).encode())
    return evaluations


def read_evaluations(run: RunFolder, when: str) -> list[Evaluation]:
    """The figures that :func:`evaluate_task` wrote; an empty list if it wrote none."""
    path = run.evaluation_path / f"{when}.json"
    if not path.is_file():
        return []
    figures = json.loads(path.read_text(encoding="utf-8"))
    return [Evaluation(group, Summary(**values)) for group, values in figures.items()]


def _summaries(rows: Iterable[Mapping[str, Any]], k: int) -> list[Evaluation]:
    """The figures of each group, in the order of the groups' names."""
    groups: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for row in rows:
        groups.setdefault(row["group"], {}).setdefault(row["problem_id"], []).append(row)
    return [
        Evaluation(group, summarise([_samples(name, found) for name, found in problems.items()], k))
        for group, problems in sorted(groups.items())
    ]


def _samples(name: str, rows: list[Mapping[str, Any]]) -> Samples:
    return Samples(name, [row["is_correct"] for row in rows], [row["answer"] for row in rows])
