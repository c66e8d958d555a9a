"""The samples table: round trip, older files, what is refused; a run's evaluations in order."""

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meds_rl.rollouts import RunFolder, SamplesFileError, read_samples
from meds_rl.rollouts.samples import (
    SAMPLE_COLUMNS,
    VERSION_KEY,
    samples_schema,
    samples_table,
    step_of,
    write_samples,
)

ROW = {
    "benchmark": "pocket",
    "group": "train hard",
    "problem_id": "p",
    "prompt": "what is 1 + 1?",
    "gold": "2",
    "sample": 0,
    "completion": "\\boxed{2} é\u202e\x00",
    "num_tokens": 5,
    "finished": True,
    "answer": "2",
    "is_correct": True,
    "fingerprint": [0.5, -1.25],
}


def test_round_trip_with_nulls_where_a_row_is_silent(tmp_path):
    rows = [ROW, {**ROW, "sample": 1, "answer": None, "fingerprint": None, "is_exact": False}]
    write_samples(tmp_path / "deep" / "s.parquet", samples_table(rows))
    back = read_samples(tmp_path / "deep" / "s.parquet").to_pylist()
    assert back[0] == {**ROW, "strategy": None, "is_exact": None, "outcome": None}
    assert (back[1]["answer"], back[1]["fingerprint"], back[1]["is_exact"]) == (None, None, False)


def test_equal_tables_give_equal_bytes_and_columns_say_what_they_mean(tmp_path):
    for name in ("a", "b"):
        write_samples(tmp_path / name, samples_table([ROW] * 100))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert all(field.metadata[b"meaning"] for field in pq.read_schema(tmp_path / "a"))
    assert samples_schema().names == list(SAMPLE_COLUMNS)


def test_a_file_from_before_there_was_a_version_is_read(tmp_path):
    names = ("group", "problem_id", "sample", "completion", "answer", "is_correct")
    old = pd.DataFrame([{name: ROW[name] for name in names} | {"strategy": None}])
    old.to_parquet(tmp_path / "before.parquet", index=False)
    table = read_samples(tmp_path / "before.parquet")
    assert table.schema.equals(samples_schema())
    (row,) = table.to_pylist()
    assert (row["completion"], row["num_tokens"], row["prompt"]) == (ROW["completion"], None, None)


def test_what_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"unknown: \['colour'\]"):
        samples_table([{"colour": "red"}])
    with pytest.raises(FileNotFoundError, match="no file of samples"):
        read_samples(tmp_path / "none")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(SamplesFileError, match="cannot be read as parquet"):
        read_samples(tmp_path / "text")
    pq.write_table(pa.table({"group": ["a"]}), tmp_path / "other")
    with pytest.raises(SamplesFileError, match="no column problem_id, sample"):
        read_samples(tmp_path / "other")
    newer = samples_table([ROW]).replace_schema_metadata({VERSION_KEY: "2"})
    pq.write_table(newer, tmp_path / "newer")
    with pytest.raises(SamplesFileError, match=r"version 2 .* reads up to 1"):
        read_samples(tmp_path / "newer")
    columns = {
        **{name: ["x"] for name in ("group", "problem_id", "completion", "is_correct")},
        "sample": ["x"],
    }
    pq.write_table(pa.table(columns), tmp_path / "kinds")
    with pytest.raises(SamplesFileError, match="columns of other kinds"):
        read_samples(tmp_path / "kinds")


def evaluated(folder, *names):
    run = RunFolder(folder)
    for name in names:
        write_samples(run.evaluation_path / f"{name}.parquet", samples_table([ROW]))
        (run.evaluation_path / f"{name}.json").write_text("{}")
    return run


def steps(run):
    return [(step, path.stem) for step, path in run.evaluations()]


def test_evaluations_in_the_order_of_training(tmp_path):
    run = evaluated(tmp_path, "after", "before", "step-000010", "step-000100", "step-x")
    run.metrics_path.write_text("".join(json.dumps({"step": step}) + "\n" for step in (1, 119, 120)))
    expected = [(0, "before"), (10, "step-000010"), (100, "step-000100"), (120, "after")]
    assert steps(run) == expected
    assert steps(RunFolder(tmp_path / "none")) == []


def test_without_metrics_the_last_evaluation_is_still_last(tmp_path):
    assert steps(evaluated(tmp_path / "a", "before", "after")) == [(0, "before"), (1, "after")]
    assert steps(evaluated(tmp_path / "b", "before", "step-000003", "after")) == [(0, "before"), (3, "after")]


def test_a_file_that_says_its_step_is_believed(tmp_path):
    run = evaluated(tmp_path, "before", "step-000002")
    write_samples(run.evaluation_path / "after.parquet", samples_table([ROW]), step=4)
    (run.evaluation_path / "after.json").write_text("{}")
    run.metrics_path.write_text(json.dumps({"step": 3}) + "\n")  # a resume has dropped the later ones
    assert steps(run) == [(0, "before"), (2, "step-000002"), (4, "after")]
    run.drop_evaluations_after(4)
    assert steps(run) == [(0, "before"), (2, "step-000002"), (4, "step-000004")]
    assert (run.evaluation_path / "step-000004.json").is_file()
    assert len(read_samples(run.evaluation_path / "step-000004.parquet")) == 1


@pytest.mark.parametrize("figures", [None, "step-000004.json"])
def test_an_evaluation_whose_figures_a_kill_left_out_or_moved(tmp_path, figures):
    run = evaluated(tmp_path, "before")
    write_samples(run.evaluation_path / "after.parquet", samples_table([ROW]), step=4)
    if figures is not None:
        (run.evaluation_path / figures).write_text("{}")
    run.drop_evaluations_after(4)
    assert steps(run) == [(0, "before"), *([] if figures is None else [(4, "step-000004")])]
    assert not list(run.evaluation_path.glob("after.*"))


def test_an_evaluation_after_training_does_not_replace_one_in_training(tmp_path):
    run = evaluated(tmp_path, "step-000004")
    before = (run.evaluation_path / "step-000004.parquet").read_bytes()
    write_samples(run.evaluation_path / "after.parquet", samples_table([ROW]), step=4)
    (run.evaluation_path / "after.json").write_text("{}")
    run.drop_evaluations_after(4)
    assert (run.evaluation_path / "step-000004.parquet").read_bytes() == before
    assert steps(run) == [(4, "step-000004")]


def test_a_resumed_run_drops_what_came_later(tmp_path):
    run = evaluated(tmp_path, "before", "step-000002", "step-000004", "after")
    run.drop_evaluations_after(2)
    assert steps(run) == [(0, "before"), (2, "step-000002")]
    assert sorted(path.name for path in run.evaluation_path.glob("*.json")) == [
        "before.json",
        "step-000002.json",
    ]


@pytest.mark.parametrize("said", ["x", "-1", "9" * 5000], ids=["word", "negative", "huge"])
def test_a_step_or_version_that_is_no_number(tmp_path, said):
    path = tmp_path / "samples.parquet"
    table = samples_table([ROW])
    pq.write_table(table.replace_schema_metadata({"meds_rl_step": said}), path)
    assert step_of(path) is None
    pq.write_table(table.replace_schema_metadata({"meds_rl_samples_version": said}), path)
    with pytest.raises(SamplesFileError, match="names no version"):
        read_samples(path)
