"""Two processes over gloo: one memory, groups that lie across processes, dynamic sampling in step."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen3ForCausalLM

from meds_rl import ErrorMemory, RewardShaper
from meds_rl.fingerprint import outcome_vectors
from meds_rl.rollouts import RunFolder

from .two_processes import KEPT, SEAMS, SETTINGS

pytestmark = pytest.mark.long


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


def test_the_first_process_owns_the_memory(folder, results):
    first, second = (ErrorMemory.load(folder / f"memory-{rank}.safetensors") for rank in (0, 1))
    assert len(first) > 0
    assert (len(second), second.step) == (0, 0)
    assert (len(results[0]["calls"]), len(results[1]["calls"])) == (6, 0)


def test_both_processes_train_the_same_model(folder):
    first, second = (torch.load(folder / f"model-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_one_process_with_the_same_completions_has_the_same_memory_and_penalties(folder, results, tmp_path):
    alone = RewardShaper(memory=ErrorMemory(**SETTINGS), all_wrong="shape")
    penalised = 0
    for given, got in results[0]["calls"]:
        shaped = alone.shape(**given)
        np.testing.assert_array_equal(shaped.penalties, got[0])
        np.testing.assert_array_equal(shaped.memory_ids, got[1])
        penalised += int((shaped.penalties > 0).sum())
    assert penalised
    alone.memory.save(tmp_path / "memory.safetensors")
    assert (tmp_path / "memory.safetensors").read_bytes() == (folder / "memory-0.safetensors").read_bytes()


def test_an_error_in_the_owner_of_the_memory_ends_both(results):
    assert [result["error"] for result in results] == [
        "FloatingPointError: out of numbers",
        "RuntimeError: process 0 failed: FloatingPointError: out of numbers",
    ]


def test_both_processes_agree_on_the_run_folder(folder, results):
    refused = [result["folders"].pop(0) for result in results]
    assert refused[0].startswith("FileExistsError: Another training writes to ")
    assert refused[1].startswith("RuntimeError: process 0 failed: FileExistsError: Another training writes to ")
    assert [result["folders"] for result in results] == [["shared", "run-2"]] * 2
    assert [len(run.metrics()) for run in (RunFolder(folder / "shared"), RunFolder(folder / "shared/run-2"))] == [2, 2]
    assert RunFolder(folder / "shared/run-2").environment()["num_processes"] == 2


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
        name = f"memory-{rank}.safetensors"
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "resumed" / name).read_bytes()
        whole, resumed = (
            torch.load(tmp_path / run / f"model-{rank}.pt", weights_only=True) for run in ("whole", "resumed")
        )
        assert whole.keys() == resumed.keys()
        assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


@pytest.mark.slow
def test_every_seam_ends_with_the_same_model_in_both_processes(model_path, tmp_path):
    run_two("seams", model_path, tmp_path)
    for name in SEAMS:
        folder = tmp_path / name
        models = [torch.load(folder / f"model-{rank}.pt", weights_only=True) for rank in (0, 1)]
        assert all(torch.equal(value, models[1][key]) for key, value in models[0].items()), name
        assert (RunFolder(folder).rollouts()["penalty"] > 0).any(), name


def test_outcomes_stay_with_their_completions(model_path, tmp_path):
    run_two("outcomes", model_path, tmp_path)
    for sampling in (False, True):
        folder = tmp_path / str(sampling)
        rollouts = RunFolder(folder).rollouts()
        known = rollouts[rollouts["outcome"].notna()]
        assert 0 < len(known) < len(rollouts)
        assert known["outcome"].tolist() == [f"lost by {len(text)}" for text in known["completion"]]
        remembered = known[known["memory_id"] >= 0]
        vectors = outcome_vectors(remembered["outcome"].tolist())
        of_id = dict(zip(remembered["memory_id"].tolist(), vectors, strict=True))
        memory = ErrorMemory.load(folder / "memory-0.safetensors")
        kept = [entry for prompt in memory.prompt_ids if (entry := memory.entry(prompt)) is not None]
        assert any(len(entry.ids) for entry in kept)
        for entry in kept:
            for number, vector in zip(entry.ids.tolist(), entry.vectors, strict=True):
                np.testing.assert_allclose(vector, of_id[number], atol=1e-6)


def test_method_trl_equals_grpo_trainer_in_two_processes(model_path, tmp_path):
    run_two("trl", model_path, tmp_path)
    for rank in (0, 1):
        ours, theirs = (torch.load(tmp_path / f"{name}-{rank}.pt", weights_only=True) for name in ("meds", "trl"))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_recalled_rows_are_in_their_processes(model_path, tmp_path):
    run_two("recall", model_path, tmp_path)
    models = [torch.load(tmp_path / f"model-{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert all(torch.equal(value, models[1][name]) for name, value in models[0].items())
    rows = RunFolder(tmp_path).rollouts()
    replaced = rows["replaced"].to_numpy().reshape(-1, 3, 4)
    assert (replaced.sum(axis=2) == 1).all()
    start = Qwen3ForCausalLM.from_pretrained(model_path).eval()
    for generation in range(3):
        outputs = [torch.load(tmp_path / f"output-{generation + 1}-{rank}.pt") for rank in (0, 1)]
        recalled = torch.cat([one["recalled"] for one in outputs])
        assert recalled.tolist() == replaced[generation].ravel().tolist()
        tokens = sum(int(one["completion_mask"].sum()) for one in outputs)
        assert [int(one["num_items_in_batch"]) for one in outputs] == [tokens] * 2
        for one in outputs:
            _check_recalled(one, start, is_first=generation == 0)
    used = rows[rows["replaced"] & (rows["generation"] == 2)]
    sizes = rows[rows["generation"] == 2].groupby("prompt_id")["cluster_size"].max()
    assert used.set_index("prompt_id")["cluster_size"].to_dict() == sizes.to_dict()


def _check_recalled(output, start, *, is_first: bool) -> None:
    """The recalled rows of one process have the kept text, and the log-probabilities that models give it."""
    for row in torch.nonzero(output["recalled"]).ravel().tolist():
        ids, mask = output["completion_ids"][row], output["completion_mask"][row].bool()
        assert ids[mask].tolist() == KEPT
        prompt = output["prompt_ids"][row][output["prompt_mask"][row].bool()]
        text = torch.cat([prompt, torch.tensor(KEPT)])
        with torch.no_grad():
            logps = start(text.unsqueeze(0)).logits[0, :-1].log_softmax(-1)
        expected = logps.gather(1, text[1:].unsqueeze(1)).ravel()[-len(KEPT) :]
        torch.testing.assert_close(output["ref_per_token_logps"][row][mask], expected, rtol=1e-4, atol=1e-5)
        if is_first:  # the policy has not been trained yet
            torch.testing.assert_close(output["old_per_token_logps"][row][mask], expected, rtol=1e-4, atol=1e-5)
