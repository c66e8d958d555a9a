"""RepeatedErrorPenalty in the worker process of TRL's AsyncGRPOTrainer."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import trl
from datasets import Dataset
from packaging.version import Version

from meds_rl import ErrorMemory, RewardShaper
from meds_rl.engines.trl import MEDSTrainer
from meds_rl.fingerprint.text import answer_vectors
from meds_rl.memory import equal_vectors
from meds_rl.rollouts import RunFolder
from meds_rl.tasks.pocket import load_pocket_model

from .async_workers import GROUPS, ROWS, accuracy, same

pytest.importorskip("aiohttp", reason="AsyncGRPOTrainer needs aiohttp")
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(Version(trl.__version__) < Version("1.16"), reason="its doubles are those of TRL 1.16"),
]


def run(what: str, output: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
    command = [sys.executable, str(Path(__file__).with_name("async_workers.py")), what, str(output)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


def by_meds_trainer(rollouts: pd.DataFrame, make_config) -> pd.DataFrame:
    """The rollouts of MEDSTrainer on the same completions, a group a step; it counts answers, too."""
    model, tokenizer = load_pocket_model()
    groups = [rows for _, rows in rollouts.groupby("generation")]
    ids = {tokenizer.decode(ids, skip_special_tokens=True): ids for row in ROWS for ids in row["completions"]}
    problems = {row["prompt_id"]: row for row in ROWS}
    asked = [problems[rows["prompt_id"].iloc[0]] for rows in groups]

    def graded(completions, answer, **_):
        return accuracy([[{"role": "assistant", "content": text}] for text in completions], answer)

    def rollout(_prompts, trainer):
        step = trainer.state.global_step
        written = [ids[text] for text in groups[step]["completion"]]
        prompt_ids = [asked[step]["prompt_token_ids"]] * same.GROUP
        return {"prompt_ids": prompt_ids, "completion_ids": written, "logprobs": None}

    args = make_config(
        meds_all_wrong="shape",
        meds_max_distance=0.0,
        per_device_train_batch_size=same.GROUP,
        max_steps=len(groups),
        max_completion_length=64,
        dynamic_sampling=False,
        shuffle_dataset=False,
        learning_rate=0.0,
        log_rollouts=True,
    )
    columns = {name: [row[name] for row in asked] for name in ("prompt", "prompt_id", "answer")}
    trainer = MEDSTrainer(
        model,
        graded,
        args,
        Dataset.from_dict(columns),
        memory=ErrorMemory(equal_vectors),
        fingerprint=lambda answers, **_: answer_vectors(answers),
        answer_finder="boxed",
        processing_class=tokenizer,
        rollout_func=rollout,
    )
    trainer.train()
    return RunFolder(args.output_dir).rollouts()


def test_the_penalties_are_those_of_meds_trainer(make_config, monkeypatch, tmp_path):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    run("train", tmp_path)
    rollouts = RunFolder(tmp_path / "run").rollouts()
    groups = rollouts.groupby("generation")
    assert set(zip(groups.size(), groups["prompt_id"].nunique(), strict=True)) == {(same.GROUP, 1)}, "a group a call"
    theirs = by_meds_trainer(rollouts[rollouts["generation"] < 2 * GROUPS], make_config)
    ours = rollouts[: len(theirs)]
    assert len(theirs) >= GROUPS * same.GROUP
    for name in ("prompt_id", "completion", "answer", "is_correct", "penalty", "cluster_size"):
        assert ours[name].tolist() == theirs[name].tolist(), name  # to the last bit
    assert ours["penalty"].nunique() >= 3
    logged = [row for row in json.loads((tmp_path / "log.json").read_text()) if "loss" in row]
    assert len(logged) == GROUPS // 2
    # The queue keeps the order of scoring, a step trains 8 completions, and TRL's loader logs a batch ahead.
    means = -rollouts["penalty"].to_numpy()[: 8 * len(logged) + 8].reshape(-1, 8).mean(axis=1)
    assert [row["rewards/meds_penalty"] for row in logged[1:]] == pytest.approx(means[2:].tolist())


def test_a_killed_worker_loses_nothing_that_the_trainer_got(tmp_path):
    run("kill", tmp_path)
    folder = RunFolder(tmp_path / "run")
    rollouts = folder.rollouts()
    received = -np.array([row["rewards/meds_penalty"] for row in json.loads((tmp_path / "received.json").read_text())])
    penalties = rollouts["penalty"].to_numpy()
    half = len(received) // 2
    assert (penalties[:half] == received[:half]).all()
    starts = range(half, len(penalties) - half + 1, same.GROUP)
    assert any((penalties[start : start + half] == received[half:]).all() for start in starts)
    # One memory saw it all: the same rows give the same penalties and the same file.
    shaper = RewardShaper(all_wrong="shape", memory=ErrorMemory(equal_vectors), max_distance=0)
    for _, rows in rollouts.groupby("generation"):
        answers = [None if pd.isna(answer) else answer for answer in rows["answer"]]
        shape = partial(
            shaper.shape, prompt_ids=rows["prompt_id"].tolist(), is_correct=rows["is_correct"].to_numpy(bool)
        )
        assert (shape(rows["reward"].to_numpy(), features=answer_vectors(answers)).penalties == rows["penalty"]).all()
    shaper.memory.save(tmp_path / "memory")
    assert (tmp_path / "memory").read_bytes() == (tmp_path / "run" / "memory.safetensors").read_bytes()
