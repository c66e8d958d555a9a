"""The pocket recipe from the command line to the run folder, in small."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from filelock import FileLock

from meds_rl import ErrorMemory
from meds_rl.cli import main
from meds_rl.engines.trl.run import resume_from
from meds_rl.rollouts import RunFolder
from meds_rl.train.recipe import load_recipe

ROOT = Path(__file__).parents[2]
SMALL = [
    *(
        "--max_steps",
        "2",
        "--save_steps",
        "1",
        "--eval_samples",
        "4",
        "--eval_k",
        "2",
        "--eval_problems",
        "3",
    ),
    *("--per_device_train_batch_size", "16", "--num_generations", "4", "--disable_tqdm", "true"),
]


def train(folder, *overrides):
    return main(["train", str(ROOT / "recipes" / "pocket.yaml"), "--output_dir", str(folder), *SMALL, *overrides])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train") / "run"
    assert train(folder, "--meds_all_wrong", "shape") == 0
    return folder


def test_the_run_folder_holds_everything(run):
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    assert (recipe["method"], recipe["max_steps"], recipe["meds_all_wrong"]) == ("meds", 2, "shape")
    environment = json.loads((run / "environment.json").read_text())
    assert environment["seed"] == 0
    assert environment["packages"]["trl"]
    folder = RunFolder(run)
    assert [row["step"] for row in folder.metrics()][:2] == [1, 2]
    rollouts = folder.rollouts()
    assert len(rollouts) == 2 * 16
    assert rollouts["strategy"].notna().all(), "the pocket task knows the strategy of every completion"
    assert len(ErrorMemory.load(folder.memory_path())) == (rollouts["memory_id"] >= 0).sum() > 0
    assert (run / "checkpoint-2" / "memory.safetensors").is_file()
    assert (run / "model" / "model.safetensors").is_file()
    for when in ("before", "after"):
        samples = pd.read_parquet(run / "evaluation" / f"{when}.parquet")
        assert set(samples.groupby("problem_id").size()) == {4}
        assert json.loads((run / "evaluation" / f"{when}.json").read_text())


@pytest.mark.long
def test_progress_is_wanted_unless_the_user_says_otherwise(tmp_path):
    # transformers concludes from a raised log level that it is not; the command line must not raise it.
    code = (
        "from meds_rl.cli.tables import quieten; quieten(); "
        "from meds_rl.train.recipe import load_recipe; import sys; "
        "sys.exit(load_recipe(sys.argv[1], ['--output_dir', sys.argv[2]]).training.disable_tqdm)"
    )
    recipe = str(ROOT / "recipes" / "pocket.yaml")
    subprocess.run([sys.executable, "-c", code, recipe, str(tmp_path / "run")], check=True)


def test_a_run_folder_that_exists_is_left_alone(run, capsys):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert train(run) == 2
    assert "exists; nothing was changed" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_resume_of_a_run_that_still_trains_is_refused(run, capsys):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    with FileLock(run / ".lock"):
        assert train(run, "--meds_all_wrong", "shape", "--resume_from_checkpoint", "true", "--max_steps", "3") == 2
    assert f"Another training writes to {run} (it holds the lock {run / '.lock'})" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_inspect_shows_what_it_remembered(run, capsys):
    assert main(["inspect", str(run)]) == 0
    out = capsys.readouterr().out
    assert "completions of" in out
    assert "boxed{" in out


def test_resume_goes_on_and_keeps_what_was_there(run):
    first = (run / "recipe.yaml").read_bytes()
    assert train(run, "--meds_all_wrong", "shape", "--resume_from_checkpoint", "true", "--max_steps", "3") == 0
    assert (run / "recipe.yaml").read_bytes() == first
    assert (run / "recipe-from-checkpoint-2.yaml").is_file()
    rollouts = RunFolder(run).rollouts()
    assert rollouts["generation"].drop_duplicates().tolist() == [0, 1, 2]
    assert (rollouts["memory_id"] >= 0).sum() == len(ErrorMemory.load(RunFolder(run).memory_path()))


def test_the_resolved_recipe_can_be_run(run, tmp_path):
    recipe = load_recipe(run / "recipe.yaml", ["--output_dir", str(tmp_path / "again")])
    assert recipe.training.generation_batch_size == 16
    assert recipe.training.meds_all_wrong == "shape"


def test_a_checkpoint_left_in_pieces_by_a_kill_is_passed_over(run):
    pieces = run / "checkpoint-99"
    pieces.mkdir()
    (pieces / "memory.safetensors").write_bytes(b"cut off")
    training = load_recipe(run / "recipe.yaml", ["--resume_from_checkpoint", "true", "--output_dir", str(run)]).training
    try:
        assert Path(resume_from(training)).name != "checkpoint-99"
    finally:
        (pieces / "memory.safetensors").unlink()
        pieces.rmdir()


def test_another_runs_folder_is_left_alone_by_a_resume(run, tmp_path, capsys):
    other = tmp_path / "other"
    assert train(other, "--eval_samples", "0", "--method", "dapo") == 0
    before = {path: path.stat().st_mtime_ns for path in other.rglob("*")}
    checkpoint = max(run.glob("checkpoint-*"))
    assert train(other, "--resume_from_checkpoint", str(checkpoint), "--max_steps", "9") == 2
    assert "is not that of" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in other.rglob("*")} == before


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["--model_name_or_path", "pocket:x"], "one pocket model is shipped"),
        (["--task", "sudoku"], "sudoku"),
        (["--resume_from_checkpoint", "true"], "no checkpoint"),
        (["--num_generations", "1"], "at least 2"),
        (["--fingerprint_layers", "9"], "layers"),
        (["--answer_marker", "hashes"], "answer_marker"),
        (["--num_generations", "0"], "num_generations must be at least 2"),
        (["--eval_by", "nothere"], "eval_by must be a column"),
        (["--eval_before_from", "nowhere"], "eval_before_from: nowhere is no run folder"),
        (["--model_name_or_path", "/no/such/model"], "model"),
        (["--reward_funcs", "math.pi"], "not a function"),
        (["--task_options", '{"train_hard": 2, "train_easy": 1}'], "one generation batch needs 4"),
        (["--beta", "-1"], "beta must be"),
        (["--learning_rat", "1"], "Did you mean learning_rate"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_no_file(tmp_path, capsys, overrides, said):
    assert train(tmp_path / "run", *overrides) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("meds train: ")
    assert said in error
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.long
def test_chat_prompts_need_a_chat_template(tmp_path, capsys):
    file = tmp_path / "data.jsonl"
    rows = [{"problem": f"What is {a} + 1?", "answer": str(a + 1)} for a in range(8)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = json.dumps({"path": str(file), "system_prompt": "Be brief."})
    assert train(tmp_path / "run", "--task", "math", "--task_options", options, "--eval_by", "null") == 2
    assert "the model's tokenizer has no chat template. Take an instruction-tuned model" in capsys.readouterr().err
    assert not (tmp_path / "run").exists(), "so that the mended recipe is not refused"


@pytest.mark.long
def test_demo_trains_both_methods_and_compares(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    recipe = tmp_path / "recipe.yaml"
    pairs = dict(zip(SMALL[::2], SMALL[1::2], strict=True))
    settings = yaml.safe_load((ROOT / "recipes" / "pocket.yaml").read_text())
    settings |= {name.removeprefix("--"): yaml.safe_load(value) for name, value in pairs.items()}
    recipe.write_text(yaml.safe_dump(settings))
    arguments = ["--recipe", str(recipe), "--output", str(tmp_path / "demo")]
    assert main(["demo", *arguments]) == 0
    out = capsys.readouterr().out
    assert "after dapo" in out
    assert "after meds" in out
    assert '<meta name="generator" content="meds-rl">' in (tmp_path / "demo" / "report.html").read_text()
    dapo, meds = (RunFolder(tmp_path / "demo" / method) for method in ("dapo", "meds"))
    assert dapo.memory_path() is None
    assert meds.memory_path() is not None
    same = [pd.read_parquet(folder.evaluation_path / "before.parquet") for folder in (dapo, meds)]
    assert same[0].equals(same[1])
    assert main(["demo", *arguments]) == 2, "the runs are not overwritten"


@pytest.mark.long
def test_a_demo_that_fails_shows_the_log(tmp_path, capsys):
    assert main(["demo", "--recipe", str(tmp_path / "none.yaml"), "--output", str(tmp_path / "demo")]) == 2
    assert "There is no recipe at" in capsys.readouterr().err
