"""Small run folders written by hand, with a real memory."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from meds_rl import RewardShaper
from meds_rl.rollouts import RunFolder
from meds_rl.rollouts.samples import samples_table, write_samples

Row = tuple[str, str | None, bool]
"""Prompt, answer, right."""

WRONG, RIGHT = False, True


def fingerprint(answer: str | None) -> np.ndarray:
    """The direction of an answer; NaN for none. Equal answers have equal fingerprints."""
    if answer is None:
        return np.full(4, np.nan)
    rng = np.random.default_rng(list(answer[:50].encode()) or [0])
    return rng.normal(size=4)


def write_run(
    path: Path,
    batches: Sequence[Sequence[Row]],
    *,
    fields: Mapping[str, object] | None = None,
    given: Sequence[str] = ("method",),
    memory: bool = True,
    completions: Mapping[str, str] | None = None,
    strategies: Mapping[str, str] | None = None,
    metrics: bool = True,
    spread: float = 0.0,
) -> RunFolder:
    """Write a run: batch number b is sampled after b steps.

    `completions` and `strategies` say what belongs to an answer; `spread` is the noise of fingerprints.
    """
    run, shaper = RunFolder(path), RewardShaper()
    rng = np.random.default_rng(0)
    recipe = {
        "method": "meds" if memory else "dapo",
        "seed": 0,
        "task": "made-up",
        "model_name_or_path": "none",
    }
    recipe |= {"num_generations": 4, "max_steps": len(batches), "meds_alpha": 0.1, "meds_beta": 0.2}
    recipe |= dict(fields or {})
    path.mkdir(parents=True, exist_ok=True)
    head = "# The resolved recipe: every field, as it was used. What the user gave:\n"
    head += "".join(f"#   {name}: {recipe[name]}\n" for name in given)
    (path / "recipe.yaml").write_text(head + yaml.safe_dump(recipe))
    for number, rows in enumerate(batches):
        write_batch(run, number, rows, shaper if memory else None, rng, spread, completions or {}, strategies or {})
        if metrics:
            figures = {"step": number + 1, "step_time": 2.0}
            if memory:
                figures |= {"meds/memory_size": float(len(shaper.memory)), "meds/memory_ms": 100.0}
            with run.metrics_path.open("a") as file:
                file.write(json.dumps(figures) + "\n")
    if memory:
        shaper.memory.save(path / "memory.safetensors")
    return run


def write_batch(run, number, rows, shaper, rng=None, spread=0.0, completions=None, strategies=None):
    """Write one batch of rollouts."""
    prompts, answers, is_correct = (list(column) for column in zip(*rows, strict=True))
    n, right = len(rows), np.array(is_correct)
    features = np.stack([fingerprint(answer) for answer in answers])
    if spread:
        features = features + spread * rng.normal(size=features.shape)
    columns = {
        "cluster": [-4] * n,
        "cluster_size": [0.0] * n,
        "penalty": [0.0] * n,
        "reason": ["no_memory"] * n,
        "memory_id": [-1] * n,
        "shaped_reward": right.astype(float),
    }
    if shaper is not None:
        shaped = shaper.shape(right.astype(float), prompt_ids=prompts, features=features, is_correct=right)
        columns = {
            "cluster": shaped.clusters,
            "cluster_size": shaped.cluster_sizes.astype(float),
            "penalty": shaped.penalties,
            "reason": shaped.reasons,
            "memory_id": shaped.memory_ids,
            "shaped_reward": shaped.rewards,
        }
    run.write_rollouts(
        number,
        {
            "step": [number] * n,
            "generation": [number] * n,
            "prompt_id": prompts,
            "prompt": [f"question {prompt}" for prompt in prompts],
            "completion": [(completions or {}).get(str(answer), f"so it is {answer}") for answer in answers],
            "num_tokens": [10] * n,
            "reward": right.astype(float),
            "advantage": [0.0] * n,
            "is_correct": right,
            "answer": answers,
            "strategy": [(strategies or {}).get(str(answer)) for answer in answers],
            "in_loss": [True] * n,
            **columns,
        },
    )


def write_evaluation(
    run: RunFolder, name: str, problems: Mapping[tuple[str, str], Sequence[str | None]], right: str = "r"
) -> None:
    """Write samples: (group, problem) -> the answers given, of which `right` is the right one."""
    rows = [
        {
            "benchmark": "made-up",
            "group": group,
            "problem_id": problem,
            "sample": number,
            "completion": "so",
            "answer": answer,
            "is_correct": answer == right,
        }
        for (group, problem), answers in problems.items()
        for number, answer in enumerate(answers)
    ]
    run.evaluation_path.mkdir(parents=True, exist_ok=True)
    write_samples(run.evaluation_path / f"{name}.parquet", samples_table(rows))
