"""Two processes over gloo: one memory, groups that lie across processes, dynamic sampling in step."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from meds_rl import ErrorMemory, RewardShaper
from meds_rl.rollouts import RunFolder

from .two_processes import RIVALS, SETTINGS


def run_two(what: str, model_path: str, output: Path) -> None:
    script = Path(__file__).with_name("two_processes.py")
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        str(script),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*command, what, model_path, str(output)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def folder(model_path, tmp_path_factory) -> Path:
    """Where two processes have trained."""
    output = tmp_path_factory.mktemp("two")
    run_two("main", model_path, output)
    return output


@pytest.fixture(scope="module")
def results(folder) -> list[dict]:
    """What each process was given and got."""
    return [pickle.loads((folder / f"result-{rank}.pickle").read_bytes()) for rank in (0, 1)]


@pytest.mark.parametrize("name", ["memory", "completions"])
def test_two_processes_hold_the_same(folder, name):
    first, second = ((folder / f"{name}-{rank}.safetensors").read_bytes() for rank in (0, 1))
    assert first == second


def test_one_process_with_the_same_completions_has_the_same_memory_and_penalties(folder, results, tmp_path):
    ours, theirs = (result["calls"] for result in results)
    assert [name for name, _, _ in ours] == [name for name, _, _ in theirs]
    assert {name for name, _, _ in ours} == {"shape", "renew"}
    alone = RewardShaper(memory=ErrorMemory(**SETTINGS), all_wrong="shape")
    penalised = 0
    for name, given, got in ours:
        if name == "renew":
            alone.memory.renew_batch(given)
            continue
        shaped = alone.shape(**given)
        np.testing.assert_array_equal(shaped.penalties, got[0])
        np.testing.assert_array_equal(shaped.memory_ids, got[1])
        penalised += int((shaped.penalties > 0).sum())
    assert penalised
    alone.memory.save(tmp_path / "memory.safetensors")
    assert (tmp_path / "memory.safetensors").read_bytes() == (folder / "memory-0.safetensors").read_bytes()


def test_an_error_in_one_process_ends_both(results):
    errors = sorted(result["error"] for result in results)
    assert errors[0] == "FloatingPointError: out of numbers"
    assert errors[1].startswith("RuntimeError: process ")
    assert errors[1].endswith("failed: FloatingPointError: out of numbers")


def test_the_rollouts_are_those_of_both(folder):
    rollouts = RunFolder(folder).rollouts()
    assert len(rollouts) == 6 * 12
    assert (rollouts.groupby(["generation", "prompt_id"]).size() == 4).all()
    used = rollouts[rollouts["penalty"] > 0]
    assert len(used)
    np.testing.assert_allclose(used["penalty"], np.minimum(0.1 * np.log(used["cluster_size"] + 1), 0.2))


@pytest.mark.slow
def test_two_processes_resume_as_if_nothing_had_happened(model_path, tmp_path):
    run_two("resume", model_path, tmp_path)
    assert sorted(path.name for path in (tmp_path / "whole" / "checkpoint-3").glob("meds_buffer*")) == [
        "meds_buffer_0.pt",
        "meds_buffer_1.pt",
    ], "it was saved in the middle of a generation batch"
    for rank in (0, 1):
        for name in (f"memory-{rank}.safetensors", f"completions-{rank}.safetensors"):
            assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "resumed" / name).read_bytes()
        whole, resumed = (
            torch.load(tmp_path / run / f"model-{rank}.pt", weights_only=True) for run in ("whole", "resumed")
        )
        assert whole.keys() == resumed.keys()
        assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


@pytest.mark.slow
def test_rivals_end_with_the_same_in_both_processes(model_path, tmp_path):
    run_two("rivals", model_path, tmp_path)
    for name in RIVALS:
        folder = tmp_path / name
        models = [torch.load(folder / f"model-{rank}.pt", weights_only=True) for rank in (0, 1)]
        assert all(torch.equal(value, models[1][key]) for key, value in models[0].items()), name
        memories = [path.read_bytes() for path in sorted(folder.glob("memory-?.safetensors"))]
        assert len(memories) == (0 if name in ("nsr", "rep-exp") else 2)
        assert len(set(memories)) <= 1, name
    rollouts = RunFolder(tmp_path / "rep-exp").rollouts()
    assert (rollouts["shaped_reward"] > rollouts["reward"]).any()
