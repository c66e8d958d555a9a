"""Two processes over gloo: one memory, groups that lie across processes, dynamic sampling in step."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from meds_rl import ErrorMemory
from meds_rl.runs import RunFolder


def test_two_processes_hold_one_memory(model_path, tmp_path):
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
        [*command, model_path, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    first, second = (ErrorMemory.load(tmp_path / f"memory-{rank}.safetensors") for rank in (0, 1))
    assert len(first) > 0
    assert first.prompt_ids == second.prompt_ids
    for name in first.prompt_ids:
        ours, theirs = first.entry(name), second.entry(name)
        np.testing.assert_array_equal(ours.vectors, theirs.vectors)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        np.testing.assert_array_equal(ours.no_answer_ids, theirs.no_answer_ids)
    rollouts = RunFolder(tmp_path).rollouts()
    assert len(rollouts) == 6 * 12  # both processes' rows
    assert (rollouts["memory_id"] >= 0).sum() == len(first)
    assert (rollouts.groupby(["generation", "prompt_id"]).size() == 4).all()
    used = rollouts[rollouts["penalty"] > 0]
    assert len(used)
    np.testing.assert_allclose(used["penalty"], np.minimum(0.1 * np.log(used["cluster_size"] + 1), 0.2))
