"""The memory in verl's checkpoints."""

import pytest

pytest.importorskip("verl.trainer.ppo.v1")

import numpy as np
from omegaconf import OmegaConf

from meds_rl import ErrorMemory, MemoryFileError
from meds_rl.engines.verl.checkpoint import (
    KeptMemories,
    folder_of,
    folder_resumed,
    other_ranks,
    restore_memory,
    save_memory,
    will_resume,
)
from meds_rl.rollouts.folder import MEMORY_FILE


def config(**trainer):
    return OmegaConf.create({"trainer": {"default_local_dir": "out", "resume_mode": "auto", **trainer}})


def test_a_memory_comes_back(tmp_path):
    memory = ErrorMemory()
    ids = memory.remember("x", np.eye(4))
    save_memory(memory, tmp_path / "global_step_3")
    again = ErrorMemory()
    restore_memory(again, tmp_path / "global_step_3")
    assert again.entry("x").ids.tolist() == sorted(ids.tolist())
    assert again.step == 1


def test_the_folder_is_the_one_that_verl_resumes():
    assert folder_of(config(), 7).as_posix() == "out/global_step_7"
    assert folder_resumed(config(), 7).as_posix() == "out/global_step_7"
    by_path = config(resume_mode="resume_path", resume_from_path="there/global_step_7")
    assert folder_resumed(by_path, 7).as_posix() == "there/global_step_7"


def test_a_memory_of_another_width_is_refused(tmp_path):
    memory = ErrorMemory()
    memory.remember("x", np.eye(4))
    save_memory(memory, tmp_path)
    with pytest.raises(MemoryFileError, match="4 features, those of this run 14"):
        restore_memory(ErrorMemory(), tmp_path, n_features=14)


def test_whether_a_run_goes_on_is_known_before_it_does(tmp_path):
    there = config(default_local_dir=str(tmp_path))
    assert not will_resume(there)
    (tmp_path / "global_step_2").mkdir()
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("2")
    assert will_resume(there)
    assert not will_resume(config(default_local_dir=str(tmp_path), resume_mode="disable"))
    assert will_resume(config(resume_mode="resume_path", resume_from_path="there/global_step_7"))


def test_a_checkpoint_without_memory_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"has no memory\.safetensors.*resume_mode=disable"):
        restore_memory(ErrorMemory(), tmp_path)


def test_another_number_of_processes_says_what_to_do(tmp_path):
    (tmp_path / "actor").mkdir()
    assert other_ranks(tmp_path, 2) is None, "nothing is known of an empty folder"
    for rank in range(4):
        (tmp_path / "actor" / f"model_world_size_4_rank_{rank}.pt").touch()
    assert other_ranks(tmp_path, 4) is None
    reason = other_ranks(tmp_path, 2)
    assert "saved with 4 as the number of GPUs, and this run has 2" in reason
    assert f"meds.memory={tmp_path}/memory.safetensors" in reason


@pytest.mark.parametrize(("most", "left"), [(None, [1, 2, 3]), (2, [2, 3]), (1, [3]), (0, [1, 2, 3]), (-1, [1, 2, 3])])
def test_memories_go_with_the_checkpoints_that_verl_drops(tmp_path, most, left):
    kept = KeptMemories(most)
    for step in (1, 2, 3):
        save_memory(ErrorMemory(), tmp_path / f"{step}")
        kept.saved(tmp_path / f"{step}")
    assert sorted(int(path.parent.name) for path in tmp_path.glob(f"*/{MEMORY_FILE}")) == left
