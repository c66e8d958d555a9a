"""Evaluations in training: at their steps, by the same schema as `meds eval`, and without a trace in the training."""

from pathlib import Path

import pytest

from meds_rl.cli import main
from meds_rl.rollouts import RunFolder, read_samples
from meds_rl.train.recipe import load_recipe

pytestmark = pytest.mark.long

RECIPE = str(Path(__file__).parents[2] / "recipes" / "pocket.yaml")
SMALL = {
    "max_steps": 3,
    "save_steps": 1,
    "save_total_limit": 10,
    "eval_samples": 4,
    "eval_k": 2,
    "eval_problems": 2,
    "per_device_train_batch_size": 16,
    "num_generations": 4,
    "disable_tqdm": "true",
}


def train(folder, **given):
    fields = {**SMALL, "output_dir": folder, **given}
    overrides = [text for name, value in fields.items() for text in (f"--{name}", str(value))]
    assert main(["train", RECIPE, *overrides]) == 0
    return RunFolder(folder)


def stems(run):
    return [(step, path.stem) for step, path in run.evaluations()]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    return train(folder / "without", eval_every=0), train(folder / "with", eval_every=1)


def test_at_their_steps_with_one_schema(runs):
    without, with_ = runs
    assert stems(without) == [(0, "before"), (3, "after")]
    assert stems(with_) == [(0, "before"), (1, "step-000001"), (2, "step-000002"), (3, "after")]
    for _, path in with_.evaluations():
        rows = read_samples(path).to_pylist()
        assert path.with_suffix(".json").is_file()
        assert len(rows) == 2 * 2 * 4
        assert {row["benchmark"] for row in rows} == {"pocket"}
        assert all(row["prompt"] and row["gold"] and row["strategy"] and row["num_tokens"] for row in rows)
        assert all(row["is_exact"] is not None and row["finished"] is not None for row in rows)
        assert [row["sample"] for row in rows] == [0, 1, 2, 3] * 4


def test_the_training_is_the_same_to_the_last_bit(runs):
    without, with_ = runs
    for name in ("model/model.safetensors", "memory.safetensors", "checkpoint-2/optimizer.pt"):
        assert (without.path / name).read_bytes() == (with_.path / name).read_bytes(), name
    assert without.rollouts().equals(with_.rollouts())
    last = [run.evaluation_path / "after.parquet" for run in runs]
    assert last[0].read_bytes() == last[1].read_bytes()


def test_a_resumed_run_evaluates_at_the_same_steps(runs, tmp_path, monkeypatch):
    _, with_ = runs
    run = train(tmp_path / "run", eval_every=1, max_steps=2)
    assert stems(run) == [(0, "before"), (1, "step-000001"), (2, "after")]
    warned: list[str] = []
    monkeypatch.setattr("transformers.trainer_callback.logger.warning", warned.append)
    run = train(tmp_path / "run", eval_every=1, resume_from_checkpoint="true")
    assert not warned  # of two callbacks of one class
    assert stems(run) == [(0, "before"), (1, "step-000001"), (2, "step-000002"), (3, "after")]
    for name in ("before", "step-000001", "step-000002", "after"):
        files = [folder.evaluation_path / f"{name}.parquet" for folder in (run, with_)]
        assert files[0].read_bytes() == files[1].read_bytes(), name


def test_without_samples_there_is_nothing_to_do_every_so_many_steps():
    assert load_recipe(RECIPE, ["--eval_every", "5", "--eval_samples", "0"]).run.eval_every == 5
    with pytest.raises(ValueError, match="eval_every must be at least 0"):
        load_recipe(RECIPE, ["--eval_every", "-1"])
