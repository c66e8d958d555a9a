"""The whole of a report's data: every kind of run gives some, and JSON can hold it."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meds_rl.report.data import report_data
from meds_rl.rollouts import RunFolder, RunFolderError

from .runs import RIGHT, WRONG, write_batch, write_run
from .test_completions import HOSTILE, hostile_run

BATCH = [*[("p", "2", WRONG)] * 3, *[("p", "3", WRONG)] * 3, ("p", "1", RIGHT), ("p", None, WRONG)]


def as_json(data):
    return json.loads(json.dumps(data, allow_nan=False))


def check(data):
    """What any report's data must hold together."""
    data = as_json(data)
    num_completions, num_prompts, num_runs = (len(data[name]) for name in ("prompts", "prompts", "runs"))
    num_completions = len(data["completions"]["run"])
    assert {len(column) for column in data["completions"].values()} == {num_completions}
    for table in (data["course"], data["evaluations"]):
        assert len({len(column) for column in table["values"].values()}) == 1
        known = {(panel["id"], line["id"]) for panel in table["panels"] for line in panel["lines"]}
        assert set(zip(table["values"]["panel"], table["values"]["line"], strict=True)) <= known
    for error in data["errors"]:
        assert 0 <= error["run"] < num_runs
        assert 0 <= error["prompt"] < num_prompts
        assert all(0 <= example < num_completions for example in error["examples"])
        assert error["size"] == sum(error["course"])
        assert len(error["course"]) == len(data["runs"][error["run"]]["stretches"])
        prompts = {data["completions"]["prompt"][example] for example in error["examples"]}
        assert prompts == {error["prompt"]}
    for drawn in data["maps"]:
        names = ("x", "y", "completion", "cluster", "answer", "step")
        assert {len(drawn[name]) for name in names} == {drawn["num_points"]}
    assert len(data["errors_left_out"]) == num_runs
    return data


def test_a_run_with_a_memory_and_one_without(tmp_path):
    write_run(tmp_path / "meds", [BATCH] * 3, spread=0.02)
    write_run(tmp_path / "dapo", [BATCH] * 3, memory=False)
    data = check(report_data([tmp_path / "dapo", RunFolder(tmp_path / "meds")]))
    dapo, meds = data["runs"]
    assert (dapo["name"], meds["name"]) == ("dapo, seed 0", "meds, seed 0")
    assert (dapo["has_memory"], meds["has_memory"]) == (False, True)
    assert (meds["num_completions"], meds["num_wrong"], meds["memory_size"], meds["num_prompts"]) == (
        24,
        21,
        21,
        1,
    )
    assert "meds_alpha" in meds["settings"]
    assert "meds_alpha" not in dapo["settings"]
    assert {drawn["run"] for drawn in data["maps"]} == {1}
    assert {(error["run"], error["by"]) for error in data["errors"]} == {
        (0, "answer"),
        (1, "answer"),
        (1, "cluster"),
    }


def test_hostile_completions(tmp_path):
    hostile_run(tmp_path)
    data = check(report_data([tmp_path]))
    assert set(HOSTILE.values()) <= set(data["completions"]["text"])


def test_a_megabyte_answer_is_shortened_where_only_a_name_is_wanted(tmp_path):
    answer = "y" * 1_000_000
    write_run(tmp_path, [[("p", answer, WRONG), ("p", "1", RIGHT)]], completions={answer: answer})
    data = check(report_data([tmp_path]))
    name = "y" * 200 + "… (1,000,000 characters)"
    assert {error["name"] for error in data["errors"] if error["by"] == "answer"} == {name}
    assert len(json.dumps(data)) < 1_000_000 + 20_000  # the text itself once


def test_a_killed_run(tmp_path):
    # The memory was saved before the last batch, which was then written, and the metrics end in half a line.
    run = write_run(tmp_path, [BATCH] * 2)
    memory = (tmp_path / "memory.safetensors").read_bytes()
    write_run(tmp_path, [BATCH] * 3, fields={"max_steps": 9})
    (tmp_path / "memory.safetensors").write_bytes(memory)
    with run.metrics_path.open("a") as file:
        file.write('{"step": 4, "rew')
    data = check(report_data([tmp_path]))
    notes = data["runs"][0]["notes"]
    assert notes[0].startswith("7 of 21 completions that were remembered are not in the saved memory")
    assert notes[-1] == "3 of 9 steps: stopped, or still running."
    by_answer = sum(error["size"] for error in data["errors"] if error["by"] == "answer")
    by_cluster = sum(error["size"] for error in data["errors"] if error["by"] == "cluster")
    assert (by_answer, by_cluster) == (21, 14)


def test_a_run_that_has_not_saved_its_memory_yet(tmp_path):
    write_run(tmp_path, [BATCH])
    (tmp_path / "memory.safetensors").unlink()
    data = check(report_data([tmp_path]))
    assert data["runs"][0]["has_memory"]
    assert {error["by"] for error in data["errors"]} == {"answer"}


def test_a_run_with_nothing_but_metrics_or_nothing_but_a_memory(tmp_path):
    run = RunFolder(tmp_path / "metrics")
    run.path.mkdir()
    run.metrics_path.write_text('{"step": 1, "reward": 0.5}\n')
    write_run(tmp_path / "memory", [BATCH])
    for path in (tmp_path / "memory").glob("*"):
        if path.name == "rollouts":
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
        elif path.name != "memory.safetensors":
            path.unlink()
    data = check(report_data([run, tmp_path / "memory"]))
    assert data["errors"] == []
    assert data["maps"] == []
    assert [len(entry["notes"]) for entry in data["runs"]] == [1, 1]


def test_a_batch_sampled_anew_after_a_resume_counts_once(tmp_path):
    run = write_run(tmp_path, [BATCH] * 2, memory=False)
    write_batch(run, 1, [("p", "9", WRONG)], None)
    data = check(report_data([tmp_path]))
    assert data["runs"][0]["num_completions"] == 9


def test_bad_arguments_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no run"):
        report_data([])
    with pytest.raises(RunFolderError, match="no run folder"):
        report_data([tmp_path / "nowhere"])
    for name in ("map_points", "num_errors", "max_characters"):
        with pytest.raises(ValueError, match=f"{name} must be 1 or more; got 0"):
            report_data([tmp_path], **{name: 0})
    with pytest.raises(ValueError, match="map_prompts must be 0 or more"):
        report_data([tmp_path], map_prompts=-1)
    for seed in (-1, 2**32):
        with pytest.raises(ValueError, match=f"seed must be 0 to 4,294,967,295; got {seed}"):
            report_data([tmp_path], seed=seed)


def test_prompts_in_words(tmp_path):
    write_run(tmp_path, [BATCH])
    (path,) = (tmp_path / "rollouts").iterdir()
    chat = '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]'
    table = pq.read_table(path)
    place = table.schema.get_field_index("prompt")
    pq.write_table(table.set_column(place, "prompt", pa.array([chat] * len(table))), path)
    (prompt,) = report_data([tmp_path])["prompts"]
    assert (prompt["text"], prompt["words"]) == (chat, "2 + 2?")


def test_the_same_runs_give_the_same_data(tmp_path):
    write_run(tmp_path, [BATCH * 3] * 2, spread=0.02)
    first, second = (report_data([tmp_path], seed=3) for _ in range(2))
    for data in (first, second):
        del data["made"]
    assert first == second


@pytest.mark.slow
def test_100_000_completions(tmp_path):
    rng = np.random.default_rng(0)
    batches = [
        [
            (f"p{p}", str(kind), bool(kind == 0))
            for p in rng.choice(500, 64, replace=False)
            for kind in rng.integers(0, 8, 16)
        ]
        for _ in range(98)
    ]
    write_run(tmp_path, batches, spread=0.02)
    data = check(report_data([tmp_path]))
    assert data["runs"][0]["num_completions"] == 98 * 1024
    assert len(data["errors"]) == 1000
    assert len(data["maps"]) == 12
