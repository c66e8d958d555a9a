"""Whole runs of verl on CPU: its trainer, workers, FSDP2 and TransferQueue; only text generation is doubled."""

import json
import shutil
from collections import defaultdict

import numpy as np
import pytest

pytest.importorskip("verl")

import torch
from pocket_run import PocketRun, same, write_inputs

from meds_rl import ErrorMemory
from meds_rl.engines.settings import make_shaper
from meds_rl.engines.verl.config import read_settings
from meds_rl.fingerprint import answer_finder, extract, make_fingerprint
from meds_rl.rollouts.folder import MEMORY_FILE
from meds_rl.tasks.pocket.model import load_folder

# Equal completions differ by the rounding of forwards of other shapes: no cluster may depend on that.
MEDS = {"all_wrong": "center", "alpha": 0.3, "beta": 2.0, "cluster_selection_epsilon": 0.05}
KEEP_ALL = [f"meds.{name}={value}" for name, value in MEDS.items()]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


def ran(run):
    result = run.start()
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    return run


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory):
    """Four steps on one rank, with a checkpoint at 2 and at 4."""
    return ran(PocketRun(inputs, tmp_path_factory.mktemp("whole"), [*KEEP_ALL, "trainer.save_freq=2"]))


def memory_of(run, step):
    return ErrorMemory.load(run.output / "checkpoints" / f"global_step_{step}" / MEMORY_FILE)


def recomputed(run, inputs, steps):
    """The core alone on the same completions: the plain model at each step's weights, then the shaper.

    Returns its shaper and, by step, completions' penalties in the order of the dump.
    """
    settings = read_settings(MEDS)
    shaper = make_shaper(vars(settings))
    model, tokenizer = load_folder(inputs / "model")
    asked = {tokenizer.decode(row["prompt"]): row for row in json.loads((inputs / "completions.json").read_text())}
    find, fingerprint = answer_finder("boxed"), make_fingerprint(settings.fingerprint)
    penalties = {}
    for step in steps:
        model.load_state_dict(torch.load(run.output / "weights" / f"{step - 1}.pt"), strict=False)
        rows = run.dump(step)
        prompts = [asked[row["input"]]["prompt"] for row in rows]
        completions = [
            next(
                ids
                for ids in asked[row["input"]]["completions"]
                if tokenizer.decode(ids, skip_special_tokens=True) == row["output"]
            )
            for row in rows
        ]
        answers = [find(ids, tokenizer) for ids in completions]
        features = extract(model, fingerprint, prompts, completions, answers, pad_token_id=tokenizer.pad_token_id)
        shaped = shaper.shape(
            [row["score"] for row in rows],
            prompt_ids=[row["prompt_id"] for row in rows],
            features=features,
            is_correct=np.array([row["score"] > 0.5 for row in rows]),
        )
        penalties[step] = shaped.penalties
    return shaper, penalties


def assert_same_memory(one, other, rtol):
    """Equal but for the rounding of forwards and the order of completions within a visit."""
    assert set(one.prompt_ids) == set(other.prompt_ids)
    assert (len(one), one.step) == (len(other), other.step)
    for prompt in one.prompt_ids:
        ours, theirs = one.entry(prompt), other.entry(prompt)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert_same_rows(ours.vectors, theirs.vectors, rtol)


def assert_same_rows(ours, theirs, rtol):
    """Each row of one is in the other, up to `rtol` of its length: rounding may change how rows are sorted."""
    assert ours.shape == theirs.shape
    distances = np.linalg.norm(ours[:, None] - theirs[None], axis=2) / np.linalg.norm(theirs, axis=1)
    assert distances.min(axis=1).max(initial=0.0) <= rtol
    assert distances.min(axis=0).max(initial=0.0) <= rtol


def test_the_memory_is_the_cores_on_the_same_completions(whole, inputs):
    shaper, penalties = recomputed(whole, inputs, range(1, 5))
    for step in range(1, 5):
        rows = whole.dump(step)
        assert [row["penalty"] for row in rows] == pytest.approx(penalties[step].tolist(), abs=1e-6)
        assert whole.metrics[step]["meds/mean_penalty"] >= 0
    assert any(penalties[step].any() for step in (3, 4)), "prompts come again in step 3: errors are known by then"
    assert_same_memory(memory_of(whole, 4), shaper.memory, rtol=1e-5)


def test_scores_and_dumps_stay_raw(whole):
    for step in range(1, 5):
        scores = {row["score"] for row in whole.dump(step)}
        assert scores <= {0.0, 1.0}
        assert 0 <= whole.metrics[step]["critic/score/mean"] <= 1
    assert {"cluster", "cluster_size", "penalty", "reason", "is_correct"} <= whole.dump(4)[0].keys()


def test_a_checkpoint_can_be_looked_at(whole, capsys):
    from meds_rl.cli import main

    main(["inspect", str(whole.output / "checkpoints" / "global_step_4" / MEMORY_FILE)])
    assert "prompt" in capsys.readouterr().out


def test_a_run_that_goes_on_remembers_what_one_that_never_stopped_does(whole, inputs, tmp_path):
    first = ran(PocketRun(inputs, tmp_path, [*KEEP_ALL, "trainer.save_freq=2", "trainer.total_training_steps=2"]))
    assert_same_memory(memory_of(first, 2), memory_of(whole, 2), rtol=1e-5)
    second = ran(PocketRun(inputs, tmp_path, [*KEEP_ALL, "trainer.save_freq=2"]))
    assert sorted(second.metrics) == [3, 4]
    assert_same_memory(memory_of(second, 4), memory_of(whole, 4), rtol=1e-4)


def test_two_ranks(inputs, tmp_path):
    run = ran(PocketRun(inputs, tmp_path, [*KEEP_ALL, "trainer.save_freq=4"], ranks=2))
    shaper, penalties = recomputed(run, inputs, range(1, 5))
    for step in range(1, 5):
        assert [row["penalty"] for row in run.dump(step)] == pytest.approx(penalties[step].tolist(), abs=1e-6)
    assert_same_memory(memory_of(run, 4), shaper.memory, rtol=1e-5)


def test_what_the_trl_adapter_finds(inputs, tmp_path):
    """Learning rate 0, and the completions and the expectation of tests/engines/trl/test_same_completions.py."""
    settings = [f"meds.{name}={value}" for name, value in same.SETTINGS.items()]
    still = ["actor_rollout_ref.actor.optim.lr=0", "trainer.save_freq=4"]
    run = ran(PocketRun(inputs, tmp_path, [*settings, *still], ranks=2))
    expected = json.loads((same.HERE / "expected.json").read_text())
    remembered = defaultdict(list)
    for step, wanted in enumerate(expected, 1):
        columns = ("prompt_ids", "is_correct", "penalties", "features")
        rows = sorted(zip(*(wanted[column] for column in columns), strict=True), key=lambda row: row[:3])
        found = sorted((row["prompt_id"], row["is_correct"], row["penalty"]) for row in run.dump(step))
        assert [row[:2] for row in found] == [row[:2] for row in rows]
        assert [row[2] for row in found] == pytest.approx([row[2] for row in rows], abs=1e-6)
        for name, right, _, features in rows:
            if not right and features is not None:
                remembered[name].append(features)
    memory = memory_of(run, 4)
    assert set(memory.prompt_ids) == set(remembered)
    for name, vectors in remembered.items():
        assert_same_rows(memory.entry(name).vectors, np.array(vectors), 1e-4)


@pytest.mark.parametrize("all_wrong", ["skip", "center"])
def test_dynamic_sampling(inputs, tmp_path, all_wrong):
    settings = ["algorithm.filter_groups.enable=True", "algorithm.filter_groups.metric=acc"]
    steps = ["trainer.total_training_steps=3", f"meds.all_wrong={all_wrong}", "trainer.save_freq=3"]
    steps.append("meds.entropy_advantage=0.4")  # reads the entropies that verl itself has put into the queue
    run = ran(PocketRun(inputs, tmp_path, [*settings, *steps]))
    right = defaultdict(list)
    for step in run.metrics:
        for row in run.dump(step):
            right[(step, row["uid"].rsplit("_", 2)[0])].append(row["is_correct"])
    all_wrong_groups = sum(not any(group) for group in right.values())
    assert not any(all(group) for group in right.values())
    assert (all_wrong_groups > 0) == (all_wrong == "center")


def test_a_checkpoint_without_its_memory_is_not_resumed(whole, inputs, tmp_path):
    shutil.copytree(whole.output / "checkpoints", tmp_path / "checkpoints")
    (tmp_path / "checkpoints" / "global_step_4" / MEMORY_FILE).unlink()
    result = PocketRun(inputs, tmp_path, [*KEEP_ALL, "trainer.total_training_steps=6"]).start()
    assert result.returncode != 0
    assert "has no memory.safetensors" in result.stdout + result.stderr


def test_another_number_of_ranks_is_refused(whole, tmp_path):
    shutil.copytree(whole.output / "checkpoints", tmp_path / "checkpoints")
    steps = ["trainer.total_training_steps=6"]
    result = PocketRun(whole.inputs, tmp_path, [*KEEP_ALL, *steps], ranks=2).start()
    assert result.returncode != 0
    assert "was saved with 1 as the number of GPUs, and this run has 2" in result.stdout + result.stderr


def test_verls_own_entry_point_finds_the_trainer_too(inputs, tmp_path):
    ours = ["trainer.v1.trainer_mode=meds", "algorithm.adv_estimator=grpo", "+meds.fingerprint=answer_string"]
    modules = {"VERL_USE_EXTERNAL_MODULES": "cpu_platform,cpu_generation,meds_rl.engines.verl"}
    run = PocketRun(
        inputs,
        tmp_path,
        [
            *ours,
            "actor_rollout_ref.actor.strategy=fsdp2",
            "trainer.total_training_steps=1",
            "trainer.save_freq=1",
        ],
        module="verl.trainer.main_ppo",
        environment=modules,
    )
    ran(run)
    assert len(memory_of(run, 1)) > 0
