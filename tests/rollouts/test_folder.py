"""The run folder: written whole, read back, opened after a kill."""

import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest

from meds_rl import ErrorMemory
from meds_rl.files import write_atomically
from meds_rl.rollouts import ROLLOUT_COLUMNS, SCHEMA_VERSION, RunFolder, RunFolderError


def columns(n, **given):
    defaults = {"int64": 0, "float64": 0.5, "bool": False, "string": "x"}
    filled = {name: [defaults[kind]] * n for name, (kind, _) in ROLLOUT_COLUMNS.items()}
    return {**filled, **given}


def test_rollouts_round_trip_in_the_order_of_training(tmp_path):
    run = RunFolder(tmp_path / "run")
    for generation in (0, 2, 11, 1):
        run.write_rollouts(generation, columns(2, generation=[generation] * 2, answer=["7", None]))
    rollouts = run.rollouts()
    assert rollouts["generation"].tolist() == [0, 0, 1, 1, 2, 2, 11, 11]
    assert rollouts["answer"].isna().tolist() == [False, True] * 4
    assert list(rollouts.columns) == list(ROLLOUT_COLUMNS)


def test_a_batch_written_again_replaces_the_first_and_a_resume_drops_later_ones(tmp_path):
    run = RunFolder(tmp_path)
    for generation in range(4):
        run.write_rollouts(generation, columns(1, step=[generation]))
    run.write_rollouts(1, columns(1, step=[99]))
    run.drop_rollouts_from(2)
    assert run.rollouts()["step"].tolist() == [0, 99]


def test_a_run_of_version_1_still_opens_and_may_be_resumed(tmp_path):
    # Version 1 had whole numbers in `cluster_size`.
    run = RunFolder(tmp_path)
    run.write_rollouts(0, columns(2, cluster_size=[0.0, 3.0]))
    (path,) = run.rollouts_path.iterdir()
    table = pq.read_table(path)
    place = table.schema.get_field_index("cluster_size")
    table = table.set_column(place, "cluster_size", table["cluster_size"].cast("int64"))
    pq.write_table(table.replace_schema_metadata({"meds_rl_schema_version": "1"}), path)
    run.environment_path.write_text(json.dumps({"schema_version": 1}))
    assert pq.read_schema(path).field("cluster_size").type == "int64"
    run.write_rollouts(1, columns(1, cluster_size=[1.5]))
    rollouts = run.rollouts()
    assert rollouts["cluster_size"].tolist() == [0.0, 3.0, 1.5]
    assert rollouts["cluster_size"].dtype == np.float64


def test_each_column_says_what_it_means(tmp_path):
    run = RunFolder(tmp_path)
    run.write_rollouts(0, columns(1))
    schema = pq.read_schema(next(run.rollouts_path.iterdir()))
    assert schema.metadata[b"meds_rl_schema_version"] == str(SCHEMA_VERSION).encode()
    assert all(field.metadata[b"meaning"] for field in schema)


def test_missing_and_unknown_columns_are_refused(tmp_path):
    wrong = columns(1)
    del wrong["penalty"]
    wrong["penality"] = [0.0]
    with pytest.raises(ValueError, match=r"\['penality', 'penalty'\]"):
        RunFolder(tmp_path).write_rollouts(0, wrong)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_run_still_opens(tmp_path):
    run = RunFolder(tmp_path)
    run.write_rollouts(0, columns(3))
    run.metrics_path.write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "lo')
    assert run.metrics() == [{"step": 1, "loss": 0.5}]
    assert len(run.rollouts()) == 3
    assert run.memory_path() is None


def test_a_resumed_run_logs_on_after_a_torn_line(tmp_path):
    run = RunFolder(tmp_path)
    run.metrics_path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"step": 4, "lo')
    run.drop_metrics_after(2)
    with run.metrics_path.open("a") as file:
        file.write('{"step": 3, "again": 1}\n')
    assert run.metrics() == [{"step": 1}, {"step": 2}, {"step": 3, "again": 1}]


def test_an_empty_run_has_an_empty_table(tmp_path):
    run = RunFolder(tmp_path)
    run.write_environment({"seed": 0})
    assert len(run.rollouts()) == 0
    assert run.metrics() == []


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="no run folder at"):
        RunFolder(tmp_path / "none").rollouts()
    with pytest.raises(RunFolderError, match="not a run folder"):
        RunFolder(tmp_path).rollouts()
    (tmp_path / "environment.json").write_text(json.dumps({"schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(RunFolderError, match="Upgrade meds-rl"):
        RunFolder(tmp_path).rollouts()


def test_the_newest_memory_is_found(tmp_path):
    run = RunFolder(tmp_path)
    memory = ErrorMemory()
    memory.remember("x", np.eye(2))
    for number, step in enumerate((9, 10)):
        path = tmp_path / f"checkpoint-{step}" / "memory.safetensors"
        path.parent.mkdir()
        memory.save(path)
        os.utime(path, ns=(number, number))
    assert run.memory_path() == tmp_path / "checkpoint-10" / "memory.safetensors"
    memory.save(tmp_path / "memory.safetensors")
    assert run.memory_path() == tmp_path / "memory.safetensors"


def checkpoint(folder, step, run=None, state="{}"):
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    (path / "trainer_state.json").write_text(state)
    (path / "memory.safetensors").write_bytes(b"")
    if run is not None:
        (path / "meds_state.json").write_text(json.dumps({"run": run}))
    return path


def test_checkpoints_belong_to_the_run_that_they_name(tmp_path):
    first, second = RunFolder(tmp_path), RunFolder(tmp_path / "run-2")
    second.write_environment({"output_dir": ".."})
    ours = [checkpoint(tmp_path, 9), checkpoint(tmp_path, 10, ".")]
    theirs = [checkpoint(tmp_path, 8, "run-2"), checkpoint(tmp_path, 100, "run-2")]
    checkpoint(tmp_path, 11, ".", state='{"epo')  # cut off by a kill
    checkpoint(tmp_path, "x")
    assert (first.checkpoints(), second.checkpoints()) == (ours, theirs)
    for number, path in enumerate((*ours, *theirs)):
        os.utime(path / "memory.safetensors", ns=(number, number))
    assert second.memory_path() == theirs[-1] / "memory.safetensors"
    assert RunFolder(tmp_path / "run-2" / "none").checkpoints() == []


@pytest.mark.parametrize("state", ["[]", "{", '{"run": 3}', '{"run": null}', "\x00", "[" * 5000])
def test_a_damaged_state_names_no_other_run(tmp_path, state):
    path = checkpoint(tmp_path, 1)
    (path / "meds_state.json").write_text(state)
    assert RunFolder(tmp_path).checkpoints() == [path]


def test_a_damaged_file_hides_no_checkpoint_and_no_run(tmp_path):
    path = checkpoint(tmp_path, 1)
    (tmp_path / "environment.json").write_text("{")
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "after.parquet").write_bytes(b"cut off")
    assert RunFolder(tmp_path).checkpoints() == [path]
    assert RunFolder(tmp_path).has_begun()


def test_later_runs_are_found_by_number(tmp_path):
    for number in (2, 10):
        RunFolder(tmp_path / f"run-{number}").write_environment({})
    for name in ("run-x", "run-3", "run-", "run-2b"):
        (tmp_path / name).mkdir()
    (tmp_path / "run-4").write_text("")
    assert list(RunFolder(tmp_path).numbered_runs()) == [2, 10]
    assert not RunFolder(tmp_path / "run-2").has_begun()


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    target = tmp_path / "file"
    write_atomically(target, b"old")
    with pytest.raises(TypeError):
        write_atomically(target, object())
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_that_is_no_batch_of_rollouts_is_none(tmp_path):
    run = RunFolder(tmp_path)
    run.write_rollouts(0, columns(1))
    for name in ("generation-²", "generation-x", "generation-"):
        (run.rollouts_path / f"{name}.parquet").write_bytes(b"")
    run.evaluation_path.mkdir()
    (run.evaluation_path / "step-²5.parquet").write_bytes(b"")
    assert [number for number, _ in run.rollout_files()] == [0]
    assert run.evaluations() == []


def test_batches_beyond_six_digits_stay_in_order(tmp_path):
    run = RunFolder(tmp_path)
    for generation in (1_000_000, 999_999):
        run.write_rollouts(generation, columns(1, generation=[generation]))
    assert run.rollouts()["generation"].tolist() == [999_999, 1_000_000]


@pytest.mark.parametrize("text", ['{"schema_version": "2"}', "[1]", "{half", "[" * 100_000, '{"a": "\xff"}'])
def test_an_environment_that_is_none_is_named(tmp_path, text):
    run = RunFolder(tmp_path)
    run.environment_path.write_text(text, encoding="latin-1")
    with pytest.raises(RunFolderError, match=r"environment\.json"):
        run.check()
