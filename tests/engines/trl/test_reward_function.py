"""RepeatedErrorPenalty as a reward function of TRL's GRPOTrainer."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from meds_rl import ErrorMemory, RepeatedErrorPenalty, RewardShaper
from meds_rl.fingerprint.text import answer_vectors
from meds_rl.memory import equal_vectors
from meds_rl.rollouts import RunFolder

from .conftest import assert_same_bits, by_trl, even_length, length


def by_length(text: str) -> str | None:
    """The answer of a random model of letters: one of a few, which recur."""
    return str(len(text) // 4) if text else None


def watcher(**options) -> RepeatedErrorPenalty:
    options = {"alpha": 0.0, "all_wrong": "shape", "answer_finder": by_length, **options}
    return RepeatedErrorPenalty(even_length, **options)


def sometimes_none(completion_ids, **_):
    """A reward that does not know short completions; no other function does either."""
    return [None if len(ids) < 6 else float(sum(ids) % 2 == 0) for ids in completion_ids]


SETTINGS = {
    "defaults": {},
    "batch": {"scale_rewards": "batch"},
    "none": {"scale_rewards": "none"},
    "normalize_then_sum": {"multi_objective_aggregation": "normalize_then_sum"},
    "grpo": {"loss_type": "grpo", "beta": 0.05, "num_iterations": 2},
    "two batches a step": {"gradient_accumulation_steps": 2, "steps_per_generation": 1},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_with_alpha_0_the_training_is_the_same_to_the_last_bit(model_path, dataset, tmp_path, name):
    fields = {"max_steps": 5, **SETTINGS[name]}
    without = by_trl(model_path, [even_length], tmp_path / "without", dataset, **fields)
    penalty = watcher(folder=tmp_path / "with")
    watched = by_trl(model_path, [even_length, penalty], tmp_path / "with", dataset, **fields)
    assert_same_bits(watched, without)
    assert RunFolder(tmp_path / "with").rollouts()["cluster_size"].max() > 0


def test_with_alpha_above_0_it_is_another(model_path, dataset, tmp_path):
    without = by_trl(model_path, [even_length], tmp_path / "without", dataset, max_steps=5)
    penalised = by_trl(model_path, [even_length, watcher(alpha=0.1)], tmp_path / "with", dataset, max_steps=5)
    with pytest.raises(AssertionError):
        assert_same_bits(penalised, without)


def test_also_with_weights_and_several_rewards(model_path, dataset, tmp_path):
    functions, weights = [even_length, length], [0.7, 0.1]
    without = by_trl(model_path, functions, tmp_path / "a", dataset, reward_weights=weights)
    for weight in (1.0, 0.0, 3.0):
        fields = {"reward_weights": [*weights, weight]}
        watched = by_trl(model_path, [*functions, watcher()], tmp_path / f"b{weight}", dataset, **fields)
        assert_same_bits(watched, without)


@pytest.mark.parametrize("scale", ["group", "batch"])
def test_also_where_no_function_grades_a_completion(model_path, dataset, tmp_path, scale):
    without = by_trl(model_path, [sometimes_none], tmp_path / "a", dataset, scale_rewards=scale)
    penalty = RepeatedErrorPenalty(sometimes_none, alpha=0.0, answer_finder=by_length, folder=tmp_path / "b")
    watched = by_trl(model_path, [sometimes_none, penalty], tmp_path / "b", dataset, scale_rewards=scale)
    assert_same_bits(watched, without)
    assert (RunFolder(tmp_path / "b").rollouts()["reason"] == "not_graded").any()


def test_the_memory_and_the_penalties_are_those_of_the_reward_shaper(model_path, dataset, tmp_path):
    penalty = watcher(alpha=0.1, folder=tmp_path / "run")
    trainer = by_trl(model_path, [even_length, penalty], tmp_path / "run", dataset, max_steps=6)
    rollouts = RunFolder(tmp_path / "run").rollouts()
    shaper = RewardShaper(memory=ErrorMemory(equal_vectors), all_wrong="shape", max_distance=0)
    for _, rows in rollouts.groupby("generation"):
        answers = [None if pd.isna(answer) else answer for answer in rows["answer"]]
        shaped = shaper.shape(
            rows["reward"].to_numpy(),
            prompt_ids=rows["prompt_id"].tolist(),
            features=answer_vectors(answers),
            is_correct=rows["is_correct"].to_numpy(dtype=bool),
        )
        np.testing.assert_array_equal(shaped.penalties, rows["penalty"])
        np.testing.assert_array_equal(shaped.rewards, rows["shaped_reward"])
    shaper.memory.save(tmp_path / "memory")
    assert (tmp_path / "memory").read_bytes() == (tmp_path / "run" / "memory.safetensors").read_bytes()
    logged = [row["rewards/meds_penalty/mean"] for row in trainer.state.log_history if "loss" in row]
    by_batch = rollouts.groupby("generation")["penalty"].mean()
    assert logged == pytest.approx((-by_batch).tolist(), rel=1e-6)
    assert min(logged) < 0
    assert rollouts["step"].tolist() == [step for step in range(6) for _ in range(16)]


def test_metrics_and_columns_reach_the_log(model_path, dataset, tmp_path):
    fields = {"log_completions": True, "num_completions_to_print": 0}
    trainer = by_trl(model_path, [even_length, watcher(folder=tmp_path)], tmp_path, dataset, **fields)
    logged = [row for row in trainer.state.log_history if "loss" in row]
    rows = RunFolder(tmp_path).metrics()
    assert [row["step"] for row in rows] == [row["step"] for row in logged] == [1, 2, 3]
    for name in ("meds/share_wrong_seen", "diversity/distinct_wrong", "pass/all_wrong_share", "meds/live_modes"):
        assert [row[name] for row in logged] == pytest.approx([row[name] for row in rows])
    table = pd.read_parquet(tmp_path / "completions" / "completions_00003.parquet")
    last = RunFolder(tmp_path).rollouts().query("generation == 2")
    assert table["meds_answer"].tolist() == last["answer"].tolist()
    assert table["meds_cluster"].tolist() == last["cluster"].tolist()
    assert table["meds_times_seen"].tolist() == last["cluster_size"].tolist()


def test_evaluations_are_neither_remembered_nor_written_nor_penalised(model_path, dataset, tmp_path):
    fields = {"eval_strategy": "steps", "eval_steps": 1, "eval_on_start": True, "per_device_eval_batch_size": 8}
    fields |= {"log_completions": True, "num_completions_to_print": 0, "max_steps": 4}
    runs = {}
    for name, options in {"whole": fields, "no evaluation": {"max_steps": 4}}.items():
        penalty = watcher(alpha=0.1, folder=tmp_path / name)
        arguments = {"eval_dataset": dataset.select(range(4))} if "eval_steps" in options else {}
        runs[name] = by_trl(
            model_path, [even_length, penalty], tmp_path / name, dataset, arguments=arguments, **options
        )
        folder = RunFolder(tmp_path / name)
        assert (len(folder.rollouts()), penalty.memory.step) == (4 * 16, 4)
        assert [row["step"] for row in folder.metrics()] == [1, 2, 3, 4]
    evaluated = [row for row in runs["whole"].state.log_history if "eval_reward" in row]
    assert len(evaluated) == 5
    assert {row["eval_rewards/meds_penalty/mean"] for row in evaluated} == {0.0}
    assert [row["eval_reward"] for row in evaluated] == [row["eval_rewards/even_length/mean"] for row in evaluated]


def test_a_resumed_training_forgets_what_came_after_its_checkpoint(model_path, dataset, tmp_path):
    fields = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4}
    by_trl(model_path, [even_length, watcher(folder=tmp_path)], tmp_path, dataset, **fields)
    first = RunFolder(tmp_path).rollouts()
    penalty = watcher(folder=tmp_path)
    trainer = by_trl(
        model_path, [even_length, penalty], tmp_path, dataset, **{**fields, "max_steps": 2, "save_steps": 9}
    )
    assert (tmp_path / "run-2").is_dir(), "it started at step 0"
    assert RunFolder(tmp_path).rollouts().equals(first)
    trainer.args.max_steps = 4
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    second = RunFolder(tmp_path / "run-2")
    assert second.rollouts()["step"].tolist() == [step for step in range(4) for _ in range(16)]
    assert [row["step"] for row in second.metrics()] == [1, 2, 3, 4]
    assert penalty.memory.step == 4


def test_chat_messages_and_their_own_prompt_id(model_path, dataset, tmp_path):
    penalty = watcher(folder=tmp_path)
    by_trl(model_path, [even_length, penalty], tmp_path, dataset, max_steps=1)
    assert set(penalty.memory.prompt_ids) <= set(dataset["prompt_id"])


def run_two(what: str, model_path: str, output: Path) -> None:
    script = Path(__file__).with_name("two_watchers.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*command, what, model_path, str(output)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.long
def test_two_processes_see_one_memory(model_path, tmp_path):
    run_two("train", model_path, tmp_path)
    rollouts = RunFolder(tmp_path / "watched").rollouts()
    # 12 rows a batch, three groups of four, the second of which lies across both processes.
    assert (rollouts.groupby(["generation", "prompt_id"]).size() == 4).all()
    alone = RepeatedErrorPenalty("is_correct", all_wrong="shape", answer_finder=by_length)
    for _, rows in rollouts.groupby("generation"):
        columns = {"is_correct": rows["is_correct"].tolist(), "prompt_id": rows["prompt_id"].tolist()}
        got = alone(rows["prompt"].tolist(), rows["completion"].tolist(), **columns)
        assert [-value for value in got] == rows["penalty"].tolist()
    assert (rollouts["penalty"] > 0).any()
    alone.save(tmp_path / "memory")
    assert (tmp_path / "memory").read_bytes() == (tmp_path / "watched" / "memory.safetensors").read_bytes()
    sizes = [int((tmp_path / f"size-{rank}").read_text()) for rank in (0, 1)]
    assert sizes == [len(alone.memory), 0]
    for rank in (0, 1):
        plain, zero = (torch.load(tmp_path / f"{name}-{rank}.pt", weights_only=True) for name in ("plain", "zero"))
        assert all(torch.equal(value, zero[key]) for key, value in plain.items())


@pytest.mark.long
def test_an_error_in_one_of_two_processes_ends_both(model_path, tmp_path):
    run_two("fail", model_path, tmp_path)
    errors = [(tmp_path / f"error-{rank}").read_text() for rank in (0, 1)]
    assert errors == ["RuntimeError: process 1 failed: ArithmeticError: not today", "ArithmeticError: not today"]
