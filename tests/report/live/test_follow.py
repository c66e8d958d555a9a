"""A run read while it is written: half files, resumed runs, many batches."""

import json

import pytest

from meds_rl.report.course import run_course
from meds_rl.report.live.follow import Follower
from meds_rl.report.source import read_run
from meds_rl.rollouts import RunFolder

from ..runs import RIGHT, WRONG, write_batch, write_run

BATCH = [("p", "2", WRONG), ("p", "2", WRONG), ("p", "1", RIGHT), ("q", None, WRONG)]
OTHER = [("p", "2", WRONG), ("p", "3", WRONG), ("p", "1", RIGHT), ("q", "1", RIGHT)]


def log(run, **row):
    run.path.mkdir(parents=True, exist_ok=True)
    with run.metrics_path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def test_it_ends_where_the_report_ends(tmp_path):
    write_run(tmp_path, [BATCH, OTHER, BATCH])
    follower = Follower(tmp_path)
    assert follower.poll()
    lines = run_course(read_run(tmp_path))
    assert follower.course == {key: points for key, points in lines.items() if key in follower.course}
    assert set(lines) - set(follower.course) == {
        ("eigenvalue", "pooled"),
        ("eigenvalue", "problem"),
        ("repeated", "cluster"),
    } & set(lines)
    assert (follower.num_completions, follower.num_wrong, follower.step) == (12, 8, 3)
    first, second, third = follower.largest_errors(3)
    assert (first.prompt_id, first.answer, first.count, first.first, first.last) == ("p", "2", 5, 0, 2)
    assert (second.answer, second.count) == (None, 2)
    assert third.count == 1
    assert follower.prompt_text(first) == "question p"


def test_nothing_is_read_twice(tmp_path, monkeypatch):
    run = write_run(tmp_path, [BATCH], memory=False)
    follower = Follower(tmp_path)
    follower.poll()
    read = []
    monkeypatch.setattr("meds_rl.report.live.follow._read_batch", lambda path: read.append(path.name))
    assert not follower.poll()
    assert read == []
    write_batch(run, 1, OTHER, None)
    follower.poll()
    assert read == ["generation-000001.parquet"]


def test_a_run_that_is_not_there_yet(tmp_path):
    run = RunFolder(tmp_path / "later")
    follower = Follower(run.path)
    assert not follower.poll()
    assert (follower.step, follower.course, follower.has_ended) == (0, {}, False)
    log(run, step=1, reward=0.5, step_time=2.0)
    assert follower.poll()
    assert follower.course["reward", "shaped"] == {0: 0.5}
    log(run, step=1, train_runtime=3.0)
    follower.poll()
    assert follower.has_ended
    assert follower.step_times == [2.0]


def test_half_a_line_is_read_when_it_is_whole(tmp_path):
    run = RunFolder(tmp_path)
    log(run, step=1, reward=0.5)
    follower = Follower(tmp_path)
    with run.metrics_path.open("a") as file:
        file.write('{"step": 2, "rew')
        file.flush()
        follower.poll()
        assert follower.step == 1
        file.write('ard": 0.75}\n')
    follower.poll()
    assert follower.course["reward", "shaped"] == {0: 0.5, 1: 0.75}


@pytest.mark.parametrize("line", [b"{half a line{", b"[1, 2]", b'"text"', b"\xff\xfe", b"{}", b'{"step": "x"}'])
def test_lines_that_are_no_figures_are_passed_over(tmp_path, line):
    run = RunFolder(tmp_path)
    log(run, step=1, reward=0.5)
    with run.metrics_path.open("ab") as file:
        file.write(line + b"\n")
    log(run, step=2, reward=1.0)
    follower = Follower(tmp_path)
    follower.poll()
    assert follower.course["reward", "shaped"] == {0: 0.5, 1: 1.0}


def test_metrics_replaced_by_a_resumed_run_are_read_anew(tmp_path):
    run = RunFolder(tmp_path)
    for step in (1, 2, 3):
        log(run, step=step, reward=step / 4)
    follower = Follower(tmp_path)
    follower.poll()
    run.drop_metrics_after(1)
    log(run, step=2, reward=0.9)
    follower.poll()
    assert follower.course["reward", "shaped"] == {0: 0.25, 1: 0.9}


def test_batches_sampled_anew_are_counted_once(tmp_path):
    run = write_run(tmp_path, [BATCH, OTHER, OTHER], memory=False)
    follower = Follower(tmp_path)
    follower.poll()
    assert follower.num_completions == 12
    run.drop_rollouts_from(1)
    follower.poll()
    assert follower.num_completions == 4
    write_batch(run, 1, [("p", "9", WRONG)], None)
    follower.poll()
    assert (follower.num_completions, follower.num_wrong) == (5, 4)
    assert follower.course["repeated", "answer"] == {1: 0.0}


def test_a_file_that_cannot_be_read_yet_is_tried_again(tmp_path):
    run = write_run(tmp_path, [BATCH, OTHER], memory=False)
    path = run.rollouts_path / "generation-000001.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    follower = Follower(tmp_path)
    follower.poll()
    assert (follower.num_completions, follower.unread, follower.damaged) == (4, 1, 0)
    path.write_bytes(whole)
    follower.poll()
    assert (follower.num_completions, follower.unread) == (8, 0)


def test_a_damaged_file_before_others_is_passed_over_and_counted(tmp_path):
    run = write_run(tmp_path, [BATCH, OTHER, BATCH], memory=False)
    (run.rollouts_path / "generation-000001.parquet").write_bytes(b"PAR1")
    follower = Follower(tmp_path)
    follower.poll()
    assert (follower.num_completions, follower.damaged, follower.unread) == (8, 1, 0)


def test_a_long_run_is_read_bit_by_bit(tmp_path):
    write_run(tmp_path, [BATCH] * 5, memory=False)
    follower = Follower(tmp_path)
    times = iter(range(100))
    unread = []
    for _ in range(5):
        follower.poll(seconds=2, clock=lambda: float(next(times)))
        unread.append(follower.unread)
    assert unread == [3, 1, 0, 0, 0]
    assert follower.num_completions == 20


def test_a_prompt_whose_file_has_gone_is_called_by_its_id(tmp_path):
    run = write_run(tmp_path, [BATCH], memory=False)
    follower = Follower(tmp_path)
    follower.poll()
    (run.rollouts_path / "generation-000000.parquet").unlink()
    assert follower.prompt_text(follower.largest_errors(1)[0]) == "p"
