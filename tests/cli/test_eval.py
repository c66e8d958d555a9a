"""`meds eval` from the command line, on the pocket model."""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from meds_rl.cli import main
from meds_rl.evaluation.problems import own_problems
from meds_rl.rollouts import read_samples
from meds_rl.tasks.pocket import checkpoint_path, pocket_task

SMALL = ["--samples", "8", "--problems", "3", "--by", "difficulty", "--batch-size", "16"]


def meds_eval(*arguments):
    return main(["eval", "pocket", *arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eval") / "out"
    arguments = ["--fingerprint", "layer_logits", "--fingerprint-layers", "-1"]
    assert meds_eval(*SMALL, *arguments, "--output", str(folder)) == 0
    return folder


def test_samples_and_results(folder):
    rows = read_samples(folder / "samples.parquet").to_pylist()
    assert len(rows) == 2 * 3 * 8
    assert {row["group"] for row in rows} <= {f"{s} {d}" for s in ("train", "test") for d in ("hard", "easy")}
    assert all(row["strategy"] for row in rows)
    for row in rows:
        assert row["is_exact"] == (row["is_correct"] and row["strategy"] == "precedence")
        assert (row["fingerprint"] is None) == (row["answer"] is None)
        assert row["fingerprint"] is None or np.shape(row["fingerprint"]) == (4,)
        assert 1 <= row["num_tokens"] <= 96
        assert row["finished"] or row["num_tokens"] == 96
    results = json.loads((folder / "results.json").read_text())
    assert results["model"] == "pocket"
    assert results["settings"]["task"] == "pocket"
    assert results["versions"]["torch"]
    for group in results["groups"]:
        assert [at["k"] for at in group["pass@k"]] == [at["k"] for at in group["maj@k"]] == list(range(1, 9))
        mine = [row for row in rows if row["group"] == group["group"]]
        assert group["pass@k"][0]["value"] == pytest.approx(np.mean([row["is_correct"] for row in mine]))
        assert group["exact pass@k"][0]["value"] == pytest.approx(np.mean([row["is_exact"] for row in mine]))
        assert group["mean_tokens"]["value"] == pytest.approx(np.mean([row["num_tokens"] for row in mine]))


def test_problems_of_ones_own_graded_by_a_reward_function(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        {"question": row["prompt"], "answer": row["answer"], "size": i % 2} for i, row in enumerate(pocket_task().test)
    ]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:4]))
    (tmp_path / "my_reward.py").write_text(
        "def right(completions, answer, **columns):\n"
        "    return [0.8 if '{' + gold + '}' in text else 0.6 for text, gold in zip(completions, answer)]\n"
        "def last_word(text):\n    return text.split()[-1]\n"
    )
    own = ["--data", "sums.jsonl", "--correctness", "my_reward.right", "--correct-above", "0.7", "--samples", "4"]
    assert meds_eval(*own, "--max-new-tokens", "48", "--by", "size", "--answer-marker", "Answer:") == 0
    out = capsys.readouterr().out
    assert "sums, test 1: 2 problems x 4 samples" in out
    assert "found in 0 of 8 (test 0), 0 of 8 (test 1) completions, so maj@k, no answer, repeated and distinct" in out
    assert meds_eval(*own, "--max-new-tokens", "48", "--answer-finder", "my_reward.last_word", "--output", "out") == 0
    samples = read_samples(tmp_path / "out" / "samples.parquet").to_pylist()
    assert [row["prompt"] for row in samples[::4]] == [row["question"] for row in rows[:4]]
    for row in samples:
        assert row["answer"] == row["completion"].split()[-1]
        assert row["is_correct"] == ("{" + row["gold"] + "}" in row["completion"])
    assert any(row["is_correct"] for row in samples)
    assert "maj@k" in capsys.readouterr().out


def test_problems_of_ones_own_that_cannot_be_read(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text('{"text": "a"}\n')
    with pytest.raises(ValueError, match=r"no column prompt, problem or question; found: text"):
        own_problems(path, bool)
    path.write_text('{"prompt": "a"}\n{"prompt": "b"}\n{"prompt": "b"}\n')
    with pytest.raises(ValueError, match=r"the same prompt 2 times, first in row 1"):
        own_problems(path, bool)
    with pytest.raises(ValueError, match="answer marker must be one of"):
        own_problems(path, bool, "boxd")
    path.write_text('{"prompt": "b", "prompt_id": 1}\n{"prompt": "b", "prompt_id": 2}\n')
    assert own_problems(path, bool).splits["test"]["prompt_id"][:] == [1, 2]


def test_a_run_without_a_final_model_is_evaluated_at_its_last_whole_checkpoint(tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "out"
    for step in (2, 10, 11):
        shutil.copytree(checkpoint_path(), run / f"checkpoint-{step}")
    for step in (2, 10):  # 11 was cut off by a kill
        (run / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    (run / "metrics.jsonl").write_text('{"step": 10}\n')
    arguments = ["eval", str(run), "--task", "pocket", *SMALL, "--output", str(out)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert f"{run} has no final model; its last whole checkpoint is evaluated: {run / 'checkpoint-10'}" in said
    # It trains on: the rest is not sampled from another checkpoint.
    (run / "checkpoint-11" / "trainer_state.json").write_text("{}")
    assert main([*arguments, "--resume"]) == 2
    assert "checkpoint was 'checkpoint-10', is 'checkpoint-11'" in capsys.readouterr().err


def test_stopped_anywhere_and_resumed_gives_the_same_bytes(folder, tmp_path):
    # What kills leave: the settings, the first parts, and a file of one that was killed before the part was finished.
    stopped = tmp_path / "stopped"
    (stopped / "samples").mkdir(parents=True)
    shutil.copy(folder / "settings.json", stopped)
    shutil.copy(folder / "samples" / "part-000000.parquet", stopped / "samples")
    (stopped / "samples" / f".part-000000.parquet.{'0a' * 16}.tmp").write_bytes(b"PAR1")
    arguments = ["--fingerprint", "layer_logits", "--fingerprint-layers", "-1", "--output", str(stopped)]
    assert meds_eval(*SMALL, *arguments, "--resume") == 0
    for path in ["samples.parquet", *(f"samples/part-{i:06d}.parquet" for i in range(3))]:
        assert (stopped / path).read_bytes() == (folder / path).read_bytes(), path
    figures = [json.loads((f / "results.json").read_text())["groups"] for f in (stopped, folder)]
    assert figures[0] == figures[1]
    assert not list(stopped.rglob("*.tmp"))


def test_other_settings_on_resume_and_an_existing_folder_are_refused(folder, capsys):
    assert meds_eval(*SMALL, "--output", str(folder)) == 2
    assert "exists; nothing was changed" in capsys.readouterr().err
    assert meds_eval(*SMALL, "--seed", "1", "--output", str(folder), "--resume") == 2
    said = capsys.readouterr().err
    assert "fingerprint was 'layer_logits', is None" in said
    assert "seed was 0, is 1" in said


def test_resuming_what_is_finished_changes_nothing(folder, capsys):
    arguments = [
        *SMALL,
        "--fingerprint",
        "layer_logits",
        "--fingerprint-layers",
        "-1",
        "--output",
        str(folder),
    ]
    assert meds_eval(*arguments, "--resume", "--format", "lm-eval") == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert meds_eval(*arguments, "--resume", "--format", "lm-eval") == 0
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    out = capsys.readouterr().out
    assert "finished before: nothing was sampled again" in out
    assert "pass@k" in out


def test_table_and_formats(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = ["--samples", "4", "--problems", "2", "--k", "1", "3"]
    assert meds_eval(*few, "--format", "lm-eval", "lighteval") == 0
    out = capsys.readouterr().out
    for text in ("pocket, train: 2 problems x 4 samples", "exact pass@k", "maj@k", "repeated", "tokens"):
        assert text in out
    assert "runs/eval/pocket-pocket" in out
    folder = tmp_path / "runs" / "eval" / "pocket-pocket"
    assert len(list(folder.glob("lm-eval/pocket/samples_*.jsonl"))) == 2
    assert len(list(folder.glob("lighteval/details/pocket/*/details_*.parquet"))) == 2


def test_a_benchmark_from_a_local_file(tmp_path, capsys):
    data = tmp_path / "aime24.jsonl"
    data.write_text('{"prompt": [{"role": "user", "content": "what is 7 + 3 * 4 - 2?"}], "answer": "17"}\n')
    out = str(tmp_path / "out")
    given = ["--benchmark", "aime24", "--data", str(data), "--samples", "2", "--output", out]
    # The pocket model's tokenizer has no chat template, and benchmarks are asked as chats.
    assert meds_eval(*given) == 2
    assert "no chat template" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--k", "9", "--samples", "8"], "k must be in 1..8"),
        (["--task", "pockte"], "did you mean 'pocket'"),
        (["--by", "colour"], "no column 'colour'"),
        (["--task", "pocket", "--task-options", '{"colour": 1}'], "no option 'colour'"),
        (["--max-new-tokens", "100000"], "--max-new-tokens can be at most"),
        (["--fingerprint", "x"], "fingerprint must be one of"),
        (
            ["--fingerprint", "layer_logits", "--fingerprint-layers", "9"],
            "asks for 9 layers of a model that has 4",
        ),
        (["--temperature", "inf"], "temperature must be above 0 and finite"),
        (["--engine", "vllm"], "pip install vllm"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(given, said, tmp_path, capsys):
    assert meds_eval(*given, "--output", str(tmp_path / "out")) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_killed_and_resumed_gives_the_same_bytes(tmp_path):
    command = [
        sys.executable,
        "-m",
        "meds_rl",
        "eval",
        "pocket",
        "--samples",
        "64",
        "--problems",
        "6",
        "--batch-size",
        "32",
    ]
    subprocess.run([*command, "--output", str(tmp_path / "whole")], check=True)
    killed = tmp_path / "killed"
    process = subprocess.Popen([*command, "--output", str(killed)])
    while len(list(killed.glob("samples/part-*"))) < 3:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "samples.parquet").exists()
    subprocess.run([*command, "--output", str(killed), "--resume"], check=True)
    assert (killed / "samples.parquet").read_bytes() == (tmp_path / "whole" / "samples.parquet").read_bytes()
