"""The adapter finds in the completions of `same_completions` what the core alone does; so must verl's (test_run.py)."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from meds_rl.engines.trl import MEDSTrainer
from meds_rl.tasks.pocket import load_pocket_model
from meds_rl.tasks.pocket.reading import grade

sys.path.append(str(Path(__file__).parents[1] / "same_completions"))

import same_completions as same

EXPECTED = json.loads((same.HERE / "expected.json").read_text())


def features(step):
    width = len(next(row for row in step["features"] if row))
    return np.array([row or [np.nan] * width for row in step["features"]])


def remembered(prompt_id):
    """(n, D) of the wrong completions of a prompt that have an answer."""
    rows = [
        row
        for step in EXPECTED
        for row, name, right in zip(features(step), step["prompt_ids"], step["is_correct"], strict=True)
        if name == prompt_id and not right and not np.isnan(row[0])
    ]
    return np.array(rows)


def test_the_core_finds_what_it_found():
    for found, wanted in zip(same.expected(), EXPECTED, strict=True):
        np.testing.assert_allclose(features(found), features(wanted), atol=1e-5)
        assert found["penalties"] == pytest.approx(wanted["penalties"], abs=1e-8)
        assert (found["prompt_ids"], found["is_correct"]) == (wanted["prompt_ids"], wanted["is_correct"])


def test_there_is_something_to_find():
    penalties = [x for step in EXPECTED for x in step["penalties"]]
    assert sum(x > 0 for x in penalties) > 10
    assert len(set(penalties)) >= 4
    assert np.isnan([row[0] for step in EXPECTED for row in features(step)]).any(), "some have no answer"


def test_the_adapter_finds_the_same(make_config, monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    model, tokenizer = load_pocket_model()
    problems = same.problems()
    by_prompt = {row["prompt"]: row for row in problems}

    def graded(prompts, completions, **_):
        return [float(grade(text, by_prompt[prompt])) for prompt, text in zip(prompts, completions, strict=True)]

    def rollout(prompts, trainer):
        rows = same.of_step(trainer.state.global_step)
        assert prompts == [row["prompt"] for row, _ in rows]
        return {
            "prompt_ids": [row["prompt_token_ids"] for row, _ in rows],
            "completion_ids": [ids for _, ids in rows],
            "logprobs": None,
        }

    args = make_config(
        preset=same.SETTINGS["preset"],
        meds_alpha=same.SETTINGS["alpha"],
        meds_max_distance=same.SETTINGS["max_distance"],
        meds_anneal=same.SETTINGS["anneal"],
        fingerprint_width=same.SETTINGS["fingerprint_width"],
        per_device_train_batch_size=same.PROMPTS_A_STEP * same.GROUP,
        num_generations=same.GROUP,
        max_steps=same.STEPS,
        max_completion_length=64,
        dynamic_sampling=False,
        shuffle_dataset=False,
        learning_rate=0.0,
        log_rollouts=True,
    )
    columns = {name: [row[name] for row in problems] for name in ("prompt", "prompt_id")}
    trainer = MEDSTrainer(
        model, graded, args, Dataset.from_dict(columns), processing_class=tokenizer, rollout_func=rollout
    )
    trainer.train()
    for number, wanted in enumerate(EXPECTED):
        rows = pd.read_parquet(Path(args.output_dir) / "rollouts" / f"generation-{number:06d}.parquet")
        assert rows["prompt_id"].tolist() == wanted["prompt_ids"]
        assert rows["is_correct"].tolist() == wanted["is_correct"]
        assert rows["penalty"].tolist() == pytest.approx(wanted["penalties"], abs=1e-6)
    for prompt_id in trainer.memory.prompt_ids:
        ours = trainer.memory.entry(prompt_id).vectors
        theirs = remembered(prompt_id)
        assert ours.shape == theirs.shape
        distances = np.linalg.norm(ours[:, None] - theirs[None], axis=2)
        assert distances.min(axis=0).max() < 1e-4
        assert distances.min(axis=1).max() < 1e-4
