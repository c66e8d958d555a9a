"""The folder of one's own script: what is in it, a second training in it, and two at the same time."""

import logging
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from datasets import Dataset
from filelock import FileLock

from meds_rl import ErrorMemory
from meds_rl.cli import main
from meds_rl.engines.settings import METHODS
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.engines.trl.run import RunFiles, last_checkpoint
from meds_rl.report.live.follow import Follower
from meds_rl.report.recipe import read_recipe, run_names
from meds_rl.rollouts import RunFolder
from meds_rl.rollouts.dumps import find_sources

from .conftest import even_length, third_token, train

SAVED = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1, "dynamic_sampling": False}


def make_trainer(model_path, dataset, args, reward=even_length) -> MEDSTrainer:
    return MEDSTrainer(model_path, reward, args, dataset, answer_finder=third_token)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def warnings_of(caplog):
    """The messages of our logger."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="meds_rl"):
        yield lambda: [record.getMessage() for record in caplog.records if record.name == "meds_rl"]


@pytest.fixture(scope="module")
def finished(model_path, tmp_path_factory):
    """A run of two steps with a checkpoint at each; not to be written to."""
    prompts = Dataset.from_dict({"prompt": ["abc", "bcd", "cde", "def"] * 2})
    args = MEDSConfig(
        str(tmp_path_factory.mktemp("own") / "out"),
        per_device_train_batch_size=16,
        num_generations=4,
        max_completion_length=12,
        logging_steps=1,
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
        seed=7,
        method="meds",
        **SAVED,
    )
    train(model_path, prompts, args)
    return Path(args.output_dir)


def test_a_scripts_folder_holds_metrics_settings_and_environment(finished, model_path):
    run = RunFolder(finished)
    assert [row["step"] for row in run.metrics()] == [1, 2, 2]
    environment = run.environment()
    assert (environment["seed"], environment["num_processes"], environment["output_dir"]) == (7, 1, ".")
    assert environment["packages"]["trl"]
    recipe = read_recipe(finished)
    assert (recipe.method, recipe.model, recipe.seed, recipe.max_steps) == ("meds", model_path, 7, 2)
    assert run_names([recipe], [finished]) == ["meds, seed 7"]
    assert len(ErrorMemory.load(finished / "memory.safetensors")) == run.rollouts()["memory_id"].ge(0).sum() > 0
    assert [path.name for path in run.checkpoints()] == ["checkpoint-1", "checkpoint-2"]


@pytest.mark.parametrize("method", METHODS)
def test_given_are_the_fields_that_differ_from_their_defaults(make_config, method, tmp_path):
    files = RunFiles()
    files.folder = RunFolder(tmp_path)
    files.describe(
        make_config(method=method, meds_alpha=0.3), SimpleNamespace(config=SimpleNamespace(_name_or_path=""))
    )
    given = set(read_recipe(tmp_path).given)
    # What make_config sets and is no default of its own; nothing that method and preset set, or that is derived.
    ours = {"output_dir", "per_device_train_batch_size", "num_generations", "max_completion_length", "learning_rate"}
    ours |= {"max_steps", "logging_steps", "save_strategy", "use_cpu", "bf16", "disable_tqdm", "seed", "meds_alpha"}
    ours |= {"method"} if method != "trl" else set()
    ours |= {"overlong_buffer"} if METHODS[method]["overlong_buffer"] else set()
    theirs = {"gradient_checkpointing", "activation_checkpointing", "dataloader_pin_memory", "pad_to_multiple_of"}
    assert ours <= given <= ours | theirs | {"overlong_buffer"}


def test_watching_a_scripts_run_ends(finished, capsys):
    follower = Follower(finished)
    follower.poll(float("inf"))
    assert (follower.step, follower.has_ended) == (2, True)
    assert main(["watch", str(finished)]) == 0  # would wait for ever
    assert main(["watch", str(finished), "--once"]) == 0
    assert "2" in capsys.readouterr().out


def test_log_rollouts_false_leaves_out_the_rollouts_only(model_path, dataset, make_config):
    args = make_config(log_rollouts=False, max_steps=1)
    train(model_path, dataset, args)
    names = {path.name for path in Path(args.output_dir).iterdir()}
    assert {"metrics.jsonl", "environment.json", "recipe.yaml", "memory.safetensors"} <= names
    assert "rollouts" not in names


def test_an_evaluation_outside_of_training_writes_nothing(model_path, dataset, make_config):
    args = make_config(max_steps=1, per_device_eval_batch_size=8)
    trainer = MEDSTrainer(
        model_path, even_length, args, dataset, eval_dataset=dataset.select(range(2)), answer_finder=third_token
    )
    trainer.evaluate()
    assert not content(Path(args.output_dir))
    trainer.train()
    rows = RunFolder(args.output_dir).metrics()
    trainer.evaluate()
    assert RunFolder(args.output_dir).metrics() == rows
    assert not list(Path(args.output_dir).glob("run-*"))


# ---- A second training in the same folder ----


def test_a_second_training_gets_a_folder_of_its_own(model_path, dataset, make_config, caplog):
    args = make_config(**SAVED)
    out = Path(args.output_dir)
    trainer = train(model_path, dataset, args)
    before = content(out)
    with warnings_of(caplog) as messages:
        trainer.train()  # the same trainer again
        train(model_path, dataset, make_config(**{**SAVED, "output_dir": str(out), "method": "dapo", "max_steps": 1}))
    for number, message in zip((2, 3), messages(), strict=True):
        assert f"go to {out / f'run-{number}'};" in message
        assert "name another output_dir" in message
        assert "resume_from_checkpoint" in message
    now = content(out)
    kept = {name for name in before if not name.startswith("checkpoint-")}
    assert {name: now[name] for name in kept} == {name: before[name] for name in kept}
    runs = [RunFolder(out), RunFolder(out / "run-2"), RunFolder(out / "run-3")]
    assert [sorted(run.rollouts()["generation"].unique()) for run in runs] == [[0, 1], [0, 1], [0]]
    assert [run.environment()["output_dir"] for run in runs] == [".", "..", ".."]
    # Checkpoints are in output_dir, where each run replaces those of the same step.
    assert [[path.name for path in run.checkpoints()] for run in runs] == [[], ["checkpoint-2"], ["checkpoint-1"]]
    assert not (out / "checkpoint-1" / "memory.safetensors").exists(), "dapo has no memory"
    assert [run.memory_path() is None for run in runs] == [False, False, True]
    assert find_sources([str(out)]) == [run.path for run in runs]
    assert main(["report", str(out)]) == 0
    assert (out / "report.html").is_file()


def test_a_resume_goes_on_in_the_run_of_its_checkpoint(model_path, dataset, make_config):
    fields = {**SAVED, "max_steps": 3, "save_steps": 2}
    args = make_config(**fields)
    out = Path(args.output_dir)
    train(model_path, dataset, args)
    again = make_config(**{**fields, "output_dir": str(out), "seed": 8})
    train(model_path, dataset, again)
    first, second = content(out / "rollouts"), RunFolder(out / "run-2")
    whole = second.rollouts()
    assert last_checkpoint(out) == out / "checkpoint-3"
    trainer = make_trainer(model_path, dataset, again)
    trainer.train(resume_from_checkpoint=str(out / "checkpoint-2"))
    assert content(out / "rollouts") == first
    assert not (out / "run-3").exists()
    assert second.rollouts().equals(whole)
    assert [row["step"] for row in second.metrics() if "loss" in row] == [1, 2, 3]
    assert (out / "run-2" / "recipe-from-checkpoint-2.yaml").is_file()
    assert [path.name for path in second.checkpoints()] == ["checkpoint-2", "checkpoint-3"]


def test_true_resumes_the_last_run_not_the_highest_step(model_path, dataset, make_config):
    args = make_config(**{**SAVED, "save_steps": 2})
    out = Path(args.output_dir)
    train(model_path, dataset, args)
    again = make_config(**{**SAVED, "output_dir": str(out), "max_steps": 1})
    train(model_path, dataset, again)
    again.max_steps = 2
    trainer = make_trainer(model_path, dataset, again)
    trainer.train(resume_from_checkpoint=True)
    assert trainer._run.path == out / "run-2"
    assert [row["step"] for row in trainer._run.metrics() if "loss" in row] == [1, 2]


def test_a_training_that_failed_before_its_first_batch_is_no_run(model_path, dataset, make_config, caplog):
    args = make_config(max_steps=1)

    def broken(**_):
        raise ArithmeticError("not today")

    trainer = make_trainer(model_path, dataset, args, broken)
    with pytest.raises(ArithmeticError):
        trainer.train()
    with warnings_of(caplog) as messages:
        train(model_path, dataset, args)
    assert messages() == []
    assert [row["step"] for row in RunFolder(args.output_dir).metrics()] == [1, 1]


def test_a_users_own_recipe_is_not_overwritten(model_path, dataset, make_config):
    args = make_config(max_steps=1)
    own = Path(args.output_dir) / "recipe.yaml"
    own.parent.mkdir()
    own.write_text("mine")
    train(model_path, dataset, args)
    assert own.read_text() == "mine"
    assert RunFolder(own.parent / "run-2").has_rollouts()


# ---- Two trainings at the same time ----


def test_a_second_training_at_the_same_time_is_refused(model_path, dataset, make_config):
    args = make_config(**SAVED)
    out = Path(args.output_dir)
    train(model_path, dataset, args)
    trainer = make_trainer(model_path, dataset, args)
    before = content(out)
    with FileLock(out / ".lock"):
        for checkpoint in (None, True, str(out / "checkpoint-1")):
            with pytest.raises(FileExistsError, match=r"Another training writes to .*/\.lock\); nothing was changed"):
                trainer.train(resume_from_checkpoint=checkpoint)
    assert content(out) == before


def test_a_killed_process_leaves_no_lock(model_path, dataset, make_config):
    args = make_config(max_steps=1)
    lock = Path(args.output_dir) / ".lock"
    trainer = make_trainer(model_path, dataset, args)
    code = "import sys, time, filelock as f; lock = f.FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True)"
    holder = subprocess.Popen([sys.executable, "-c", f"{code}; time.sleep(60)", str(lock)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(FileExistsError, match="Another training"):
            trainer.train()
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    trainer.train()
    assert RunFolder(args.output_dir).has_rollouts()


def test_a_trainer_that_still_lives_does_not_block(model_path, dataset, make_config):
    args = make_config(max_steps=1)
    first = make_trainer(model_path, dataset, args, lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        first.train()
    second = train(model_path, dataset, args)
    third = train(model_path, dataset, args)
    assert (second._run.path.name, third._run.path.name) == (Path(args.output_dir).name, "run-2")


def test_a_lock_that_cannot_be_made_names_its_file(model_path, dataset, make_config):
    args = make_config()
    (Path(args.output_dir) / ".lock").mkdir(parents=True)
    with pytest.raises(OSError, match=r"cannot be locked: .*/\.lock: "):
        train(model_path, dataset, args)


def test_meds_train_refuses_a_run_that_came_while_it_loaded(tmp_path, capsys, monkeypatch):
    from meds_rl.train import run

    original = run._make_trainer

    def slowly(recipe, task, make):
        trainer = original(recipe, task, make)
        Path(recipe.training.output_dir, "metrics.jsonl").write_text('{"step": 1}\n')
        return trainer

    monkeypatch.setattr(run, "_make_trainer", slowly)
    assert main(["train", "recipes/pocket.yaml", "--output_dir", str(tmp_path / "run"), "--eval_samples", "0"]) == 2
    assert "exists; nothing was changed" in capsys.readouterr().err
    assert set(content(tmp_path / "run")) == {"metrics.jsonl", ".lock"}
