"""What the user means by MODEL, and what a run's recipe then settles."""

import json

import pytest

from meds_rl.evaluation.evaluate import EvaluationSettings, default_folder, resolve
from meds_rl.evaluation.problems import Subject, find_subject

RECIPE = """
task: reasoning_gym:chain_sum
task_options: {seed: 3}
eval_by: difficulty
eval_samples: 32
max_completion_length: 48
temperature: 0.7
fingerprint_layers: -1
"""


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs" / "demo" / "meds"
    (folder / "model").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "environment.json").write_text("{}")
    return folder


def resolved(model, **given):
    settings = EvaluationSettings(str(model), **given)
    return resolve(settings, find_subject(str(model)))


def test_a_run_says_what_it_is_evaluated_on(run):
    subject = find_subject(str(run))
    assert (subject.location, subject.label) == (str(run / "model"), "demo-meds")
    settings = resolved(run)
    assert (settings.task, settings.task_options, settings.by) == (
        "reasoning_gym:chain_sum",
        {"seed": 3},
        "difficulty",
    )
    assert (settings.samples, settings.max_new_tokens, settings.temperature, settings.top_p) == (
        32,
        48,
        0.7,
        1.0,
    )
    assert settings.fingerprint_layers == -1


def test_the_user_wins_and_another_task_has_none_of_the_runs_options(run):
    settings = resolved(run, task="pocket", samples=4, temperature=1.0)
    assert (settings.task, settings.task_options, settings.by) == ("pocket", {}, None)
    assert (settings.samples, settings.temperature, settings.max_new_tokens) == (4, 1.0, 48)
    assert resolved(run, benchmarks=("aime24",)).task is None


def test_defaults_without_a_run():
    settings = resolved("pocket")
    assert (settings.task, settings.samples, settings.max_new_tokens, settings.batch_size) == (
        "pocket",
        16,
        96,
        64,
    )
    settings = resolved("org/model", benchmarks=("aime24", "amc23"))
    assert (settings.temperature, settings.top_p, settings.max_new_tokens) == (1.0, 1.0, 3_072)
    assert settings.engine in ("transformers", "vllm")


def test_labels_are_fit_for_folders():
    assert [find_subject(name).label for name in ("Qwen/Qwen3-8B", "pocket:1", "smollm2")] == [
        "Qwen-Qwen3-8B",
        "pocket-1",
        "smollm2",
    ]


def test_the_default_folder_stays_below_runs_eval():
    settings = EvaluationSettings("pocket", benchmarks=("../../x", "a/b"))
    folder = default_folder(Subject("pocket", "pocket", "pocket"), settings, resume=False)
    assert folder.parent.as_posix() == "runs/eval"


def test_nothing_is_overwritten_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subject = Subject("pocket", "pocket", "pocket")
    settings = resolved("pocket", task="reasoning_gym:chain_sum")
    first = default_folder(subject, settings, resume=False)
    assert first.as_posix() == "runs/eval/pocket-reasoning_gym-chain_sum"
    assert default_folder(subject, settings, resume=True) == first
    first.mkdir(parents=True)
    second = default_folder(subject, settings, resume=False)
    assert second.name == first.name + "-2"
    assert default_folder(subject, settings, resume=True) == first
    second.mkdir()
    assert default_folder(subject, settings, resume=True) == second


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "Give --task or --benchmark"),
        ({"task": "pocket", "benchmarks": ("aime24",)}, "not both"),
        ({"task": "pocket", "data": "x"}, "give --task or --data, not both"),
        ({"data": "x"}, "name the reward function that grades it, --correctness"),
        ({"task": "pocket", "correctness": "my.right"}, "--correctness: only for problems of your own"),
        ({"data": "x", "correctness": "my.right", "answer_marker": "boxed", "answer_finder": "my.f"}, "not both"),
        ({"benchmarks": ("aime",)}, "unknown benchmark 'aime'"),
        ({"task": "pocket", "samples": 0}, "samples must be at least 1"),
        ({"task": "pocket", "problems": 0}, "problems must be at least 1"),
        ({"task": "pocket", "batch_size": 0}, "batch_size must be at least 1"),
        ({"task": "pocket", "seed": -1}, "seed must be 0 or more"),
        ({"task": "pocket", "temperature": 0.0}, "temperature must be above 0"),
        ({"task": "pocket", "top_p": 1.5}, "top_p must lie in"),
        ({"task": "pocket", "max_new_tokens": 0}, "max_new_tokens must be at least 1"),
        ({"task": "pocket", "engine": "x"}, "engine must be one of auto, transformers, vllm"),
        ({"task": "pocket", "engine": "vllm", "fingerprint": "layer_logits"}, "--engine transformers"),
    ],
)
def test_bad_settings(given, said):
    with pytest.raises(ValueError, match=said):
        resolved("org/model", **given)


@pytest.fixture
def own(tmp_path):
    """The folder of a script that trained twice: checkpoint 1 is of the first run, 2 of the second."""
    out = tmp_path / "out"
    for folder, place in ((out, "."), (out / "run-2", "..")):
        folder.mkdir()
        (folder / "recipe.yaml").write_text("temperature: 0.7\n")
        (folder / "environment.json").write_text(json.dumps({"output_dir": place}))
    for step, run in ((1, "."), (2, "run-2")):
        checkpoint = out / f"checkpoint-{step}"
        checkpoint.mkdir()
        (checkpoint / "trainer_state.json").write_text("{}")
        (checkpoint / "meds_state.json").write_text(json.dumps({"run": run}))
    return out


def test_each_run_of_a_folder_has_its_own_checkpoints(own):
    for run, step in ((own, 1), (own / "run-2", 2)):
        subject = find_subject(str(run))
        assert subject.location == str(own / f"checkpoint-{step}")
        assert subject.note.endswith(f"its last whole checkpoint is evaluated: {own / f'checkpoint-{step}'}")
        assert resolved(run, task="pocket").temperature == 0.7


def test_a_run_whose_checkpoints_were_replaced_names_the_later_one(own):
    (own / "checkpoint-1" / "meds_state.json").write_text('{"run": "run-2"}')
    with pytest.raises(ValueError, match=r"no trained model yet: .* For a later run give its folder: .*out/run-2\."):
        find_subject(str(own))


def test_a_model_saved_in_the_run_folder_is_evaluated_with_the_runs_settings(own):
    (own / "config.json").write_text("{}")
    subject = find_subject(str(own))
    assert (subject.location, subject.note) == (str(own), "")
    assert resolved(own, task="pocket").temperature == 0.7
    assert find_subject(str(own / "run-2")).location == str(own / "checkpoint-2")
    (own / "checkpoint-2" / "trainer_state.json").unlink()
    with pytest.raises(ValueError, match=r"no trained model yet: .* A model is saved in .*out: give that folder"):
        find_subject(str(own / "run-2"))
    with pytest.raises(ValueError, match=r"is no run of meds train, .* Give --task or --benchmark"):
        resolved(own)


def test_smollm2_is_not_for_vllm():
    with pytest.raises(ValueError, match="GGUF"):
        resolved("smollm2", task="pocket", engine="vllm")


def test_folders_that_are_neither_model_nor_run(tmp_path, run):
    with pytest.raises(ValueError, match="holds no model"):
        find_subject(str(tmp_path))
    (run / "recipe.yaml").write_text("task: [")
    with pytest.raises(ValueError, match="cannot be read"):
        find_subject(str(run))
    (run / "recipe.yaml").write_bytes(b"task: \xff")
    with pytest.raises(ValueError, match=r"recipe\.yaml cannot be read"):
        find_subject(str(run))
    (run / "recipe.yaml").write_text("task_options: '{'")
    with pytest.raises(ValueError, match=r"recipe\.yaml: task_options is no JSON"):
        find_subject(str(run))
    (run / "model").rmdir()
    with pytest.raises(ValueError, match="no trained model yet"):
        find_subject(str(run))
