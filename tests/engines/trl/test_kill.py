"""A run that is killed at any point and resumed ends as the one that was not, to the last bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from meds_rl import ErrorMemory
from meds_rl.rollouts import RunFolder

SCRIPT = Path(__file__).with_name("killed_run.py")
SAME_BYTES = ("memory.safetensors", "model/model.safetensors")


def run_all(folder: Path, runs: dict[str, list[str]], *, max_steps: int) -> None:
    """Each run is killed at its points, one after the other, and then let go to its end."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(SCRIPT), str(folder), str(max_steps), json.dumps({"whole": [], **runs})]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    ends = json.loads(done.stdout)
    for name, points in {"whole": [], **runs}.items():
        assert ends[name] == [-9] * len(points) + [0], (name, done.stderr[-4000:])


def assert_same_end(ours: Path, theirs: Path) -> None:
    for name in SAME_BYTES:
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), f"{ours.name}: {name}"
    run, whole = RunFolder(ours), RunFolder(theirs)
    pd.testing.assert_frame_equal(run.rollouts(), whole.rollouts())
    for name in ("step", "loss", "reward", "meds/memory_size", "meds/mean_penalty", "meds/fingerprint_age"):
        # Rows of steps; the one at the end says how long it took, once for each process that came so far.
        logged = [[row.get(name) for row in one.metrics() if "loss" in row] for one in (run, whole)]
        assert logged[0] == logged[1], f"{ours.name}: {name}"


def assert_it_is_a_test(whole: Path) -> None:
    """The control: what the other runs must come back to is a memory that was bounded and aged."""
    run = RunFolder(whole)
    memory = ErrorMemory.load(whole / "memory.safetensors")
    assert memory.step == len(run.rollouts()["generation"].unique())
    rollouts = run.rollouts()
    assert (rollouts["memory_id"] >= 0).sum() > len(memory)
    assert (rollouts["cluster_size"] % 1 != 0).any()
    ids = rollouts["memory_id"]
    assert ids[ids >= 0].is_unique
    assert np.array_equal(np.sort(ids[ids >= 0]), np.arange((ids >= 0).sum())), "no batch twice, none forgotten"


@pytest.mark.long
def test_a_killed_run_that_is_resumed_ends_as_if_nothing_had_happened(tmp_path):
    runs = {"killed twice": ["before update 5", "resumed, save 1, in the memory's file"]}
    run_all(tmp_path, runs, max_steps=6)
    assert_it_is_a_test(tmp_path / "whole")
    assert_same_end(tmp_path / "killed twice", tmp_path / "whole")
    assert not list((tmp_path / "killed twice").rglob(".*.tmp")), "what a killed save left is cleared away"


@pytest.mark.slow
def test_wherever_it_is_killed(tmp_path):
    points = [
        "before update 7",
        "not scored",
        "remembered, not written",
        "rollouts written",
        "save 2 begins",
        "save 2, in the memory's file",
        "save 2, memory written",
        "save 2, ours written",
        "save 2, model written",
        "save 2, in TRL's last file",
        "save 2 done",
        "at the end, in the memory's file",
        "at the end, memory written",
    ]
    runs = {point: [point] for point in points}
    runs["thrice"] = [
        "save 2, memory written",
        "resumed, before update 2",
        "resumed, save 1, in the memory's file",
    ]
    run_all(tmp_path, runs, max_steps=8)
    assert_it_is_a_test(tmp_path / "whole")
    for name in runs:
        assert_same_end(tmp_path / name, tmp_path / "whole")
