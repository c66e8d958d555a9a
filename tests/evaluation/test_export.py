"""The files of other harnesses: the fields that their own readers need, read with json and pyarrow."""

import hashlib
import json

import pyarrow.parquet as pq
import pytest

from meds_rl.evaluation.export import _names, read_finished, standard_error, write_lighteval, write_lm_eval
from meds_rl.evaluation.figures import group_figures
from meds_rl.evaluation.folder import write_results
from meds_rl.rollouts.samples import samples_table, write_samples

SETTINGS = {
    "model": "org/model",
    "samples": 2,
    "temperature": 1.0,
    "top_p": 1.0,
    "max_new_tokens": 96,
    "seed": 0,
    "batch_size": 64,
    "problems": None,
    "engine": "transformers",
}
HOSTILE = "\\boxed{2}\n\x00\x1b[31m\u202e</script>"
CHAT = json.dumps([{"role": "system", "content": "Box it."}, {"role": "user", "content": "1 + 1?"}])


@pytest.fixture
def folder(tmp_path):
    rows = [
        {
            "benchmark": benchmark,
            "group": group,
            "problem_id": problem,
            "prompt": prompt,
            "gold": gold,
            "sample": sample,
            "completion": HOSTILE if sample else "no idea",
            "num_tokens": 3,
            "finished": True,
            "answer": "2" if sample else None,
            "is_correct": bool(sample),
        }
        for benchmark, group, problem, prompt, gold in [
            ("aime24", "test", "p", CHAT, "2"),
            ("aime24", "test", "q", CHAT, "2"),
            ("pocket", "train hard", "r", "what is 1 + 1?", "2"),
            ("pocket", "test hard", "s", "[1, 2]: sum?", None),
        ]
        for sample in range(2)
    ]
    table = samples_table(rows)
    write_samples(tmp_path / "samples.parquet", table)
    write_results(tmp_path, SETTINGS, group_figures(table.to_pylist()), seconds=1.5)
    return tmp_path


def test_lm_eval_samples_and_results(folder):
    paths = write_lm_eval(folder)
    names = [path.name for path in paths]
    time = names[0].removeprefix("results_").removesuffix(".json")
    # Its readers take what follows the last underscore for the time, and what stands between for the task.
    assert "_" not in time
    assert ":" not in time
    assert names[1:] == [f"samples_{task}_{time}.jsonl" for task in ("aime24", "pocket_train_hard", "pocket_test_hard")]
    assert paths[0].parent.name == "org__model"
    results = json.loads(paths[0].read_text())
    assert results["results"]["aime24"]["pass@1,none"] == 0.5
    assert results["results"]["aime24"]["pass@2,none"] == 1.0
    assert results["results"]["aime24"]["maj@2,none"] == 1.0
    assert results["results"]["aime24"]["pass@1_stderr,none"] == 0.0
    assert results["results"]["pocket_train_hard"]["pass@1_stderr,none"] == "N/A"
    needed = "results configs versions n-shot higher_is_better n-samples config task_hashes model_name date"
    assert set(needed.split()) <= set(results)
    samples = [json.loads(line) for line in paths[1].read_text().splitlines()]
    assert [sample["doc_id"] for sample in samples] == [0, 1]
    first = samples[0]
    assert first["arguments"]["gen_args_0"]["arg_0"] == CHAT
    assert first["arguments"]["gen_args_0"]["arg_1"]["max_gen_toks"] == 96
    assert first["resps"] == [["no idea", HOSTILE]]
    assert first["target"] == "2"
    assert all(isinstance(first[metric], float) for metric in first["metrics"])
    assert first["target_hash"] == hashlib.sha256(b"2").hexdigest()
    assert {"doc", "filtered_resps", "filter", "doc_hash", "prompt_hash"} <= set(first)


def test_lighteval_details_and_results(folder):
    paths = write_lighteval(folder)
    root = folder / "lighteval"
    time = paths[0].stem.removeprefix("results_")
    assert paths[0] == root / "results" / "org" / "model" / f"results_{time}.json"
    # Its loader looks for details/<model>/<time>/details_*_<time>.parquet, and for the task before the last "|".
    assert paths[1] == root / "details" / "org" / "model" / time / f"details_aime24|0_{time}.parquet"
    results = json.loads(paths[0].read_text())
    assert results["results"]["aime24|0"] == {
        "pass@k:k=1": 0.5,
        "pass@k:k=2": 1.0,
        "maj@n:n=1": 0.5,
        "maj@n:n=2": 1.0,
        "pass@k:k=1_stderr": 0.0,
    }
    table = pq.read_table(paths[1])
    assert table.column_names == ["doc", "metric", "model_response"]
    row = table.to_pylist()[0]
    assert row["model_response"]["text"] == ["no idea", HOSTILE]
    assert row["model_response"]["input"] == json.loads(CHAT)
    assert (row["doc"]["query"], row["doc"]["choices"], row["doc"]["gold_index"]) == ("1 + 1?", ["2"], 0)
    # ModelResponse(**row["model_response"]): exactly the fields of lighteval 0.13's class.
    fields = "input input_tokens text output_tokens text_post_processed reasonings logprobs argmax_logits_eq_gold"
    more = "logits unconditioned_logprobs truncated_tokens_count padded_tokens_count"
    assert set(row["model_response"]) == {*fields.split(), *more.split()}
    other = pq.read_table(paths[3]).to_pylist()[0]
    assert (other["doc"]["query"], other["doc"]["choices"]) == ("[1, 2]: sum?", [])


def test_what_is_not_finished_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="no finished evaluation"):
        read_finished(tmp_path)


def test_names_that_are_equal_without_their_signs_are_numbered():
    groups = [
        ("a-b", "test"),
        ("a b", "test"),
        ("A_B", "test"),
        ("c", "x y"),
        ("c", "x_y"),
        ("a_b_2", "test"),
    ]
    names = _names(groups)
    assert list(names) == groups
    assert list(names.values()) == ["a_b", "a_b_2", "A_B_3", "c_x_y", "c_x_y_2", "a_b_2_2"]


def test_standard_error_by_hand():
    assert standard_error([0.5]) is None
    assert standard_error([0.0, 1.0]) == pytest.approx(0.5)  # variance 1/2 over 2 problems: root of 1/4
